/** The procedures, called by a client in the same process: what each does, and whom it refuses. */

import { Rpc, RpcGroup, RpcTest } from "@effect/rpc"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schema, type Scope, Stream, TestClock } from "effect"
import type { Authorize } from "../../src/http/index.js"
import { Presence, Unauthorized } from "../../src/index.js"
import { PresenceRpc } from "../../src/rpc/index.js"
import { at, Cursors, handlers, hear, line, type Options } from "./support.js"

const me = { topic: "board", key: "alice", id: "tab" }

/** With a client of one server, and its presence. */
const served = <A, E>(
  body: (
    client: Effect.Effect.Success<ReturnType<typeof RpcTest.makeClient<RpcGroup.Rpcs<typeof Cursors>>>>,
    presence: Presence.Service
  ) => Effect.Effect<A, E, Scope.Scope>,
  options?: Options
) =>
  Effect.gen(function* () {
    return yield* body(yield* RpcTest.makeClient(Cursors), yield* Presence)
  }).pipe(Effect.scoped, Effect.provide(handlers(options)), Effect.provide(Presence.layer()))

describe("Join", () => {
  it.effect("hears the snapshot with oneself in it, then diffs, and is present until the stream ends", () =>
    served((client, presence) =>
      Effect.gen(function* () {
        yield* presence.track("board", "bob", { x: 1, since: at(1).since.toISOString() })
        const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
        expect(line(yield* alice.next)).toBe("here: alice 0, bob 1")
        const carol = yield* hear(client.Join({ topic: "board", key: "carol", meta: at(2) }))
        expect(line(yield* carol.next)).toBe("here: alice 0, bob 1, carol 2")
        expect(line(yield* alice.next)).toBe("carol 2 joined")
        yield* Fiber.interrupt(alice.fiber)
        expect(line(yield* carol.next)).toBe("alice left, released")
        expect(yield* presence.list("board")).toHaveLength(2)
      })
    )
  )

  it.effect("is one more connection of its key, each with its own meta", () =>
    served((client) =>
      Effect.gen(function* () {
        const one = yield* hear(client.Join({ ...me, meta: at(0) }))
        yield* one.next
        yield* hear(client.Join({ ...me, id: "another", meta: at(5) }))
        yield* one.next
        yield* client.Update({ ...me, id: "another", meta: at(6) })
        expect(line(yield* one.next)).toBe("alice is at 6")
        expect(yield* client.List({ topic: "board" })).toEqual([{ key: "alice", metas: [at(0), at(6)] }])
        expect(yield* client.Count({ topic: "board" })).toEqual({ keys: 1, connections: 2 })
      })
    )
  )

  it.effect("is one of as many streams as may run, and so is Changes; one that is over makes room", () =>
    served(
      (client) =>
        Effect.gen(function* () {
          const one = yield* hear(client.Join({ ...me, meta: at(0) }))
          yield* one.next
          const two = yield* hear(client.Changes({ topic: "board" }))
          yield* two.next
          const refused = yield* Effect.flip(Stream.runDrain(client.Changes({ topic: "elsewhere" })))
          expect(refused).toMatchObject({
            _tag: "PresenceUnavailable",
            reason: "2 streams of this client are open, no more are allowed"
          })
          yield* Fiber.interrupt(one.fiber)
          yield* two.next
          const three = yield* hear(client.Join({ ...me, meta: at(0) }))
          yield* three.next
        }),
      { limits: { streamsPerClient: 2 } }
    )
  )

  it.effect("ends when its key is evicted", () =>
    served((client, presence) =>
      Effect.gen(function* () {
        const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
        yield* alice.next
        yield* presence.evict("board", "alice")
        expect(yield* Fiber.await(alice.fiber)).toEqual(Exit.void)
        expect(yield* Effect.flip(client.Update({ ...me, meta: at(1) }))).toBeInstanceOf(PresenceRpc.NotJoined)
      })
    )
  )

  it.effect("stays for the leave delay, so that who comes right back never left", () =>
    served(
      (client, presence) =>
        Effect.gen(function* () {
          const watcher = yield* hear(client.Changes({ topic: "board" }))
          yield* watcher.next
          const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
          expect(line(yield* watcher.next)).toBe("alice 0 joined")
          yield* Fiber.interrupt(alice.fiber)
          yield* TestClock.adjust("4 seconds")
          expect((yield* presence.count("board")).keys).toBe(1)
          yield* TestClock.adjust("2 seconds")
          expect(line(yield* watcher.next)).toMatch(/^alice left/)
        }),
      { leaveDelay: "5 seconds" }
    )
  )

  it.effect("is a typed refusal where track refuses, and nobody is there", () =>
    served((client, presence) =>
      Effect.gen(function* () {
        const refusal = (asked: { topic?: string; key?: string; id?: string }) =>
          Effect.flip(Stream.runDrain(client.Join({ ...me, meta: at(0), ...asked })))
        expect(yield* refusal({ topic: "" })).toMatchObject({ _tag: "InvalidTopic" })
        expect(yield* refusal({ key: "" })).toMatchObject({ _tag: "InvalidKey" })
        expect(yield* refusal({ key: "k".repeat(256) })).toMatchObject({ _tag: "LimitExceeded", limit: "keyBytes" })
        expect(yield* refusal({ id: "" })).toMatchObject({ _tag: "InvalidOption", option: "id", value: '""' })
        expect(yield* refusal({ id: "i".repeat(65) })).toMatchObject({ _tag: "InvalidOption" })
        expect(yield* presence.topics).toEqual([])
      })
    )
  )
})

describe("proof of life", () => {
  const patient = (of: Options["idleTimeout"]) => ({ idleTimeout: of }) as Options

  it.effect("who no longer takes what was sent is gone within idleTimeout, and present again once they do", () =>
    served(
      (client, presence) =>
        Effect.gen(function* () {
          // A client whose buffer is full does not say that it got more.
          const mailbox = yield* client.Join({ ...me, meta: at(0) }, { asMailbox: true, streamBufferSize: 1 })
          expect(line(yield* mailbox.take)).toBe("here: alice 0")
          yield* TestClock.adjust("1 minute")
          yield* TestClock.adjust("1 minute")
          expect((yield* presence.count("board")).keys).toBe(0)
          while ((yield* presence.count("board")).keys === 0) yield* Effect.zipRight(mailbox.takeAll, Effect.yieldNow())
          expect(yield* presence.list("board")).toHaveLength(1)
        }),
      patient("1 minute")
    )
  )

  it.effect("who reads on stays, however quiet it is, and hears diffs that change nothing", () =>
    served(
      (client, presence) =>
        Effect.gen(function* () {
          const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
          const snapshot = yield* alice.next
          for (let i = 0; i < 6; i++) {
            yield* TestClock.adjust("20 seconds")
            const change = yield* alice.next
            expect(change).toMatchObject({ _tag: "Diff", from: snapshot.version, version: snapshot.version })
            expect(line(change)).toBe("")
          }
          expect((yield* presence.count("board")).keys).toBe(1)
        }),
      patient("1 minute")
    )
  )
})

describe("Update", () => {
  it.effect("goes to the newest join with the id, and to the older one when that has gone", () =>
    served((client, presence) =>
      Effect.gen(function* () {
        const old = yield* hear(client.Join({ ...me, meta: at(0) }))
        yield* old.next
        const back = yield* hear(client.Join({ ...me, meta: at(1) }))
        yield* back.next
        yield* client.Update({ ...me, meta: at(2) })
        expect(yield* client.List({ topic: "board" })).toEqual([{ key: "alice", metas: [at(0), at(2)] }])
        yield* Fiber.interrupt(back.fiber)
        // The server hears of it a moment later.
        while ((yield* presence.count("board")).connections > 1) yield* Effect.yieldNow()
        yield* client.Update({ ...me, meta: at(3) })
        expect(yield* client.List({ topic: "board" })).toEqual([{ key: "alice", metas: [at(3)] }])
      })
    )
  )

  it.effect("of no join says which", () =>
    served((client) =>
      Effect.gen(function* () {
        yield* Effect.flatMap(hear(client.Join({ ...me, meta: at(0) })), ({ next }) => next)
        for (const other of [{ id: "other" }, { key: "bob" }, { topic: "elsewhere" }]) {
          const refusal = yield* Effect.flip(client.Update({ ...me, meta: at(1), ...other }))
          expect(refusal).toMatchObject({ _tag: "NotJoined", ...other })
          expect(refusal.message).toContain(JSON.stringify(Object.values(other)[0]))
        }
      })
    )
  )
})

describe("who only reads", () => {
  it.effect("lists, counts and follows from where they stand", () =>
    served((client, presence) =>
      Effect.gen(function* () {
        const { epoch, version } = yield* presence.snapshot("board")
        const first = yield* hear(client.Changes({ topic: "board" }))
        yield* first.next
        yield* Effect.flatMap(hear(client.Join({ ...me, meta: at(0) })), ({ next }) => next)
        const since = { epoch, version: version }
        const second = yield* hear(client.Changes({ topic: "board", since }))
        const change = yield* second.next
        expect(change.version).toBeGreaterThan(version)
        expect(yield* client.List({ topic: "board" })).toEqual([{ key: "alice", metas: [at(0)] }])
        expect(yield* client.List({ topic: "nobody's" })).toEqual([])
      })
    )
  )

  it.effect("is refused a topic that is none", () =>
    served((client) =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(client.List({ topic: "" }))).toMatchObject({ _tag: "InvalidTopic" })
        expect(yield* Effect.flip(client.Count({ topic: "\ud800" }))).toMatchObject({ _tag: "InvalidTopic" })
        expect(yield* Effect.flip(Stream.runDrain(client.Changes({ topic: "t".repeat(256) })))).toMatchObject({
          _tag: "LimitExceeded"
        })
      })
    )
  )

  it.effect("does not meet metas of another type", () =>
    served((client, presence) =>
      Effect.gen(function* () {
        yield* presence.track("board", "old", { role: "viewer" })
        expect(yield* client.List({ topic: "board" })).toEqual([])
        expect(line(yield* Effect.flatMap(hear(client.Changes({ topic: "board" })), ({ next }) => next))).toBe("here: ")
      })
    )
  )
})

describe("authorize", () => {
  const as =
    (grant: Authorize.Grant): Authorize.Authorize =>
    () =>
      Effect.succeed(grant)

  const join = (options: Options) =>
    served(
      (client, presence) =>
        Effect.gen(function* () {
          const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
          return yield* Effect.raceFirst(
            Effect.zipRight(alice.next, presence.list("board")),
            Effect.zipRight(Fiber.join(alice.fiber), Effect.never)
          )
        }),
      options
    )

  it.effect("is asked for each call, with the payload as it came", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const authorize: Authorize.Authorize = ({ route, on, topic, payload, request }) => {
        asked.push({ route, on, topic, payload, user: request.headers["x-user"] })
        return Effect.succeed({ key: "alice" })
      }
      yield* served(
        (client) =>
          Effect.gen(function* () {
            const headers = { "x-user": "alice" }
            yield* Effect.flatMap(hear(client.Join({ ...me, meta: at(0) }, { headers })), ({ next }) => next)
            yield* client.Update({ ...me, meta: at(1) }, { headers })
            yield* client.List({ topic: "board" }, { headers })
          }),
        { authorize }
      )
      const meta = (x: number) => ({ x, since: at(x).since.toISOString() })
      const common = { route: "rpc", topic: "board", user: "alice" }
      expect(asked).toEqual([
        { ...common, on: "join", payload: { ...me, meta: meta(0) } },
        { ...common, on: "join", payload: { ...me, meta: meta(1) } },
        { ...common, on: "read", payload: { topic: "board" } }
      ])
    })
  )

  it.effect("says who it is, whatever key they ask for", () =>
    Effect.gen(function* () {
      expect(yield* join({ authorize: as({ key: "somebody" }) })).toMatchObject([
        { key: "somebody", metas: [{ x: 0 }] }
      ])
    })
  )

  it.effect("may say with which meta", () =>
    Effect.gen(function* () {
      const meta = { x: 7, since: at(7).since.toISOString() }
      expect(yield* join({ authorize: as({ key: "alice", meta }) })).toMatchObject([{ metas: [{ x: 7 }] }])
      const refusal = yield* Effect.flip(join({ authorize: as({ key: "alice", meta: { x: "7" } }) }))
      expect(refusal).toMatchObject({ _tag: "InvalidMeta", path: "$.x" })
      // What a client may not say nobody has said: `{}`, which is no cursor.
      expect(yield* Effect.flip(join({ authorize: as({ key: "alice", clientMeta: false }) }))).toMatchObject({
        _tag: "InvalidMeta"
      })
    })
  )

  it.effect("may keep the meta from being updated", () =>
    served(
      (client) =>
        Effect.gen(function* () {
          yield* Effect.flatMap(hear(client.Join({ ...me, meta: at(0) })), ({ next }) => next)
          expect(yield* Effect.flip(client.Update({ ...me, meta: at(1) }))).toMatchObject({ _tag: "Unauthorized" })
        }),
      { authorize: as({ key: "alice", meta: { x: 7, since: at(7).since.toISOString() }, clientMeta: false }) }
    )
  )

  it.effect("that names nobody lets watch, and not join", () =>
    served(
      (client) =>
        Effect.gen(function* () {
          const refusal = yield* Effect.flip(Stream.runDrain(client.Join({ ...me, meta: at(0) })))
          expect(refusal).toMatchObject({ _tag: "Unauthorized", reason: "may watch, but not join" })
          expect(yield* client.List({ topic: "board" })).toEqual([])
        }),
      { authorize: as({}) }
    )
  )

  it.effect("that refuses is told, and nothing was done", () =>
    Effect.gen(function* () {
      const no = new Unauthorized({ status: 401, reason: "who are you?" })
      yield* served(
        (client, presence) =>
          Effect.gen(function* () {
            expect(yield* Effect.flip(Stream.runDrain(client.Join({ ...me, meta: at(0) })))).toEqual(no)
            expect(yield* Effect.flip(client.List({ topic: "board" }))).toEqual(no)
            expect(yield* presence.topics).toEqual([])
          }),
        { authorize: () => Effect.fail(no) }
      )
    })
  )

  it.effect("that throws, dies, answers no grant or never answers refuses this call and no other", () =>
    Effect.gen(function* () {
      const authorize: Authorize.Authorize = ({ topic }) => {
        if (topic === "throws") throw new Error("a bug")
        if (topic === "dies") return Effect.die("a bug")
        if (topic === "grants nothing") return Effect.succeed({ key: "alice", expiresAt: 0 })
        return topic === "hangs" ? Effect.never : Effect.succeed({ key: "alice" })
      }
      yield* served(
        (client) =>
          Effect.gen(function* () {
            const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
            yield* alice.next
            for (const topic of ["throws", "dies"]) {
              expect(yield* Effect.flip(client.List({ topic }))).toMatchObject({ reason: "authorization failed" })
            }
            expect(yield* Effect.flip(client.List({ topic: "grants nothing" }))).toMatchObject({
              status: 403,
              reason: "authorization failed"
            })
            const hanging = yield* Effect.fork(Effect.flip(client.List({ topic: "hangs" })))
            yield* TestClock.adjust("30 seconds")
            expect(yield* Fiber.join(hanging)).toMatchObject({ reason: "authorize gave no answer within 30s" })
            yield* client.Update({ ...me, meta: at(1) })
          }),
        { authorize }
      )
    })
  )

  it.effect("until when: streams fail then, and a grant that has ended is none", () =>
    Effect.gen(function* () {
      yield* served(
        (client, presence) =>
          Effect.gen(function* () {
            const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
            const watcher = yield* hear(client.Changes({ topic: "board" }))
            yield* Effect.all([alice.next, watcher.next])
            yield* TestClock.adjust("90 seconds")
            for (const { fiber } of [alice, watcher]) {
              expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "Unauthorized", status: 401 })
            }
            expect(yield* presence.list("board")).toEqual([])
            expect(yield* Effect.flip(client.List({ topic: "board" }))).toMatchObject({ status: 401 })
          }),
        { authorize: as({ key: "alice", expires: 90_000 }) }
      )
    })
  )
})

describe("a procedure of one's own", () => {
  const Own = RpcGroup.make(
    Rpc.make("Whoami", { payload: { topic: Schema.String }, success: Schema.String, error: Unauthorized }),
    Rpc.make("Nowhere", { success: Schema.String })
  ).middleware(PresenceRpc.Authorization)
  const answers = Own.toLayer({
    Whoami: () => Effect.map(PresenceRpc.Granted, ({ key }) => key ?? "nobody"),
    Nowhere: () => Effect.succeed("here")
  })

  it.effect("may ask the same way, to read the topic that it names", () =>
    Effect.gen(function* () {
      const client = yield* RpcTest.makeClient(Own)
      expect(yield* client.Whoami({ topic: "board" })).toBe("alice, to read board")
      expect((yield* Effect.flip(client.Nowhere())).reason).toBe("Nowhere names no topic")
    }).pipe(
      Effect.scoped,
      Effect.provide(answers),
      Effect.provide(PresenceRpc.layerAuthorize(({ on, topic }) => Effect.succeed({ key: `alice, to ${on} ${topic}` })))
    )
  )
})

describe("a group", () => {
  it.effect("may have a prefix and stand beside another, in one server", () =>
    Effect.gen(function* () {
      const cursors = PresenceRpc.make(Schema.Struct({ x: Schema.Number })).prefix("cursors.")
      const viewers = PresenceRpc.make(Schema.Struct({ name: Schema.String })).prefix("viewers.")
      const client = yield* RpcTest.makeClient(cursors.merge(viewers)).pipe(
        Effect.provide(Layer.merge(PresenceRpc.layer(cursors), PresenceRpc.layer(viewers))),
        Effect.provide(PresenceRpc.layerAuthorize(() => Effect.succeed({ key: "alice" })))
      )
      const joined = yield* Stream.runHead(client.cursors.Join({ topic: "board", key: "alice", meta: { x: 1 } }))
      expect(joined).toMatchObject({ value: { connections: [{ meta: { x: 1 } }] } })
      expect(yield* client.viewers.List({ topic: "post" })).toEqual([])
    }).pipe(Effect.scoped, Effect.provide(Presence.layer()))
  )

  it.effect("with procedures that are not presence's is a defect, with their name", () =>
    Effect.gen(function* () {
      const built = <A>(layer: Layer.Layer<A, never, Presence>) =>
        Effect.map(Effect.flip(Effect.sandbox(Effect.scoped(Layer.build(layer)))), Cause.pretty)
      expect(yield* built(PresenceRpc.layer(RpcGroup.make(Rpc.make("Alien"))))).toContain(
        "Alien is no procedure of presence"
      )
      expect(yield* built(PresenceRpc.layer(Cursors, { idleTimeout: 0 }))).toContain("the option idleTimeout is 0")
    }).pipe(Effect.provide(Presence.layer()))
  )
})
