/** Many people in a room of the ready server, each over a socket of their own that is told of nobody, as that is n² frames. */
import { Effect, type Scope } from "effect"
import WebSocket from "ws"

export interface Person {
  readonly key: string
  /** Replaces what they carry. */
  readonly say: (meta: Readonly<Record<string, unknown>>) => void
  readonly leave: () => void
}

/** Here until the scope closes: when it returns, all have been let in. */
export const crowd = (
  port: number,
  room: string,
  people: Readonly<Record<string, Readonly<Record<string, unknown>>>>
): Effect.Effect<ReadonlyArray<Person>, never, Scope.Scope> =>
  Effect.forEach(Object.entries(people), ([key, meta]) => enter(port, room, key, meta), { concurrency: "unbounded" })

const enter = (port: number, room: string, key: string, meta: Readonly<Record<string, unknown>>) =>
  Effect.acquireRelease(
    Effect.async<Person & { readonly socket: WebSocket }>((resume) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/realtime/v1/websocket?vsn=2.0.0`)
      const send = (ref: string, event: string, payload: unknown) =>
        socket.send(JSON.stringify(["1", ref, `realtime:${room}`, event, payload]))
      const say = (payload: unknown) => send("2", "presence", { type: "presence", event: "track", payload })
      const fail = (why: unknown) => resume(Effect.dieMessage(`${key} could not join: ${String(why)}`))
      socket.once("open", () => {
        send("1", "phx_join", { config: { presence: { key, enabled: false } } })
        say(meta)
      })
      socket.on("error", fail)
      socket.on("message", (data) => {
        const [, ref, , event, { status, response }] = JSON.parse(String(data))
        if (event !== "phx_reply") return
        if (status !== "ok") fail(JSON.stringify(response))
        else if (ref === "2") resume(Effect.succeed({ key, say, leave: () => socket.close(), socket }))
      })
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  )
