/** A connection whose server a test plays, for what takes minutes. */
import type { Transport, TransportConstructor } from "../../../src/client/index.js"

type Frame = readonly [joinRef: string | null, ref: string | null, topic: string, event: string, payload: unknown]

/** Answers a frame with frames. */
export type Answer = (frame: Frame) => ReadonlyArray<Frame>

export const accepts: Answer = ([joinRef, ref, topic, event]) => {
  const reply: Frame = [joinRef, ref, topic, "phx_reply", { status: "ok", response: {} }]
  return event === "phx_join" ? [reply, [joinRef, null, topic, "presence_state", {}]] : [reply]
}

export const refuses: Answer = ([joinRef, ref, topic]) => [
  [joinRef, ref, topic, "phx_reply", { status: "error", response: { reason: "forbidden topic" } }]
]

/** Opens at once, unless there is no answer. `closesAfter` milliseconds it is over. */
export const playServer = (answer: Answer | undefined, closesAfter?: number) => {
  const opened: Array<Transport> = []
  const transport = class implements Transport {
    onopen: Transport["onopen"] = null
    onerror: Transport["onerror"] = null
    onmessage: Transport["onmessage"] = null
    onclose: Transport["onclose"] = null
    readyState = 0
    constructor() {
      opened.push(this)
      if (answer === undefined) return
      queueMicrotask(() => {
        this.readyState = 1
        this.onopen?.({} as never)
        if (closesAfter !== undefined) setTimeout(() => this.close(), closesAfter)
      })
    }
    send(text: string): void {
      for (const frame of answer?.(JSON.parse(text)) ?? []) {
        queueMicrotask(() => this.onmessage?.({ data: JSON.stringify(frame) } as never))
      }
    }
    close(): void {
      if (this.readyState === 3) return
      this.readyState = 3
      this.onclose?.({ code: 4403 } as never)
    }
  } satisfies TransportConstructor
  return { opened, transport }
}
