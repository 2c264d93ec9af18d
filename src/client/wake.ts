/**
 * Sleep: a laptop that was shut, a phone that changed its network, a tab that was frozen.
 *
 * Phoenix's client comes back when it knows that its connection is gone. A connection that died asleep looks open until
 * a heartbeat stays away, up to a minute later; so whoever wakes asks at once, and waits five seconds. And who is online
 * again does not wait for the next try.
 */
import type { Socket } from "phoenix"

/** Milliseconds that a server has to answer whoever wakes. */
const PATIENCE = 5_000

/** What is used of a page. Elsewhere there is none, and nobody sleeps. */
interface Page {
  readonly addEventListener?: (event: string, listener: () => void) => void
  readonly document?: { readonly visibilityState: string; addEventListener(event: string, listener: () => void): void }
}

/** For as long as the page lives, as the socket listens too. */
export const onWake = (socket: Socket, isWanted: () => boolean): void => {
  const page = globalThis as Page
  let asking: ReturnType<typeof setTimeout> | undefined
  const again = () => {
    asking = undefined
    if (isWanted()) socket.disconnect(() => isWanted() && socket.connect())
  }
  const wake = () => {
    if (!isWanted() || page.document?.visibilityState === "hidden" || asking !== undefined) return
    const state = socket.connectionState()
    if (state === "closed") again()
    else if (state === "open") {
      asking = setTimeout(again, PATIENCE)
      socket.ping(() => {
        clearTimeout(asking)
        asking = undefined
      })
    }
  }
  page.addEventListener?.("online", wake)
  page.addEventListener?.("pageshow", wake)
  page.document?.addEventListener("visibilitychange", wake)
  page.document?.addEventListener("resume", wake)
}
