/** Spans: of what is cold, by a tracer that somebody provided, and of nothing else. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Presence } from "../../src/index.js"
import { heard } from "../../src/internal/tracing.js"
import { apply } from "../../src/redis/protocol/scripts.js"
import { traced } from "../../src/redis/traced.js"
import { connect, phoenixUrl } from "../socket/support/client.js"
import { makeServer } from "../socket/support/server.js"
import { FakePort } from "../support/port.js"
import { recordingTracer } from "../support/spans.js"

describe("in one process", () => {
  it.effect("evict is a span, and nothing else is", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recordingTracer()
      yield* Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice")
        yield* lease.update({ at: 1 })
        yield* lease.refresh
        yield* presence.list("room")
        yield* presence.sweepExpired
        yield* presence.evict("room", "alice")
      }).pipe(Effect.scoped, Effect.provide(Presence.layer()), Effect.withTracer(tracer))
      expect(spans).toMatchObject([{ name: "presence.evict", kind: "internal", exit: Exit.succeed(1) }])
      expect(spans[0]?.attributes).toEqual(
        new Map(Object.entries({ "presence.topic": "room", "presence.key": "alice" }))
      )
    })
  )
})

describe("of Redis", () => {
  it.effect("each call is a span by the conventions for databases, and says whether it failed", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recordingTracer()
      const fake = new FakePort()
      const port = traced(fake, tracer, yield* Effect.clock)
      const calls = [port.run(apply, ["key"], []), port.command("hlen", ["key"])]
      expect(spans.map(({ exit }) => exit)).toEqual([undefined, undefined])
      fake.asked[0]?.answer("OK")
      fake.asked[1]?.fail()
      yield* Effect.promise(() => Promise.allSettled(calls))
      expect(spans).toMatchObject([
        { name: "EVALSHA apply", kind: "client", parent: undefined, exit: Exit.void },
        { name: "HLEN", kind: "client", exit: { _tag: "Failure" } }
      ])
      expect(Object.fromEntries(spans[0]?.attributes ?? [])).toEqual({
        "db.system.name": "redis",
        "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": "apply"
      })
    })
  )
})

describe("of sockets", () => {
  const joined = (server: { readonly url: string }) =>
    Effect.gen(function* () {
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* client.reply("1")
    })

  it.scopedLive("a join is a span where a tracer was provided", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recordingTracer()
      const server = yield* makeServer().pipe(Effect.withTracer(tracer))
      yield* joined(server)
      const joins = spans.filter(({ name }) => name === "presence.join")
      expect(joins).toMatchObject([{ kind: "server", parent: undefined }])
      expect(Object.fromEntries(joins[0]?.attributes ?? [])).toEqual({
        "presence.topic": "room",
        "presence.granted": true
      })
    })
  )
})

describe("nobody who hears of spans", () => {
  it.effect("is what Effect's own tracer is", () =>
    Effect.gen(function* () {
      expect(yield* heard).toMatchObject({ _tag: "None" })
      expect(yield* Effect.withTracer(heard, recordingTracer().tracer)).toMatchObject({ _tag: "Some" })
    })
  )
})
