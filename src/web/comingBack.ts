/**
 * What a stream of events is answered that is refused for the moment only. An `EventSource` that is answered anything but 200
 * never comes back, so it is answered a stream that ends, with when to come and why.
 */

/** The headers of all streams of events. */
export const EVENT_STREAM = {
  "content-type": "text/event-stream",
  // Whatever packs what it passes on, as development servers and some proxies do, keeps an event until a block is full.
  "cache-control": "no-cache, no-transform",
  "x-content-type-options": "nosniff",
  // Else nginx collects a buffer full before it passes anything on.
  "x-accel-buffering": "no",
  // Else the connection idles on after the last event and the server waits for it at shutdown.
  connection: "close"
}

/** Milliseconds after which it may be otherwise. */
const LATER = 5_000

/** Whether whoever asks is one that comes back by itself. */
export const comesBack = (accept: string | undefined): boolean => accept?.includes("text/event-stream") === true

export const comingBack = (why: string): string =>
  `retry: ${LATER}\nevent: refused\ndata: ${JSON.stringify({ error: why })}\n\n`
