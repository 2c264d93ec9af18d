import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema, TestClock } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { PresenceTest, type UnmetExpectation } from "../../src/testing/index.js"

/** An application under test: a room that one joins for a while. */
const visit = (room: string, name: string) =>
  Effect.gen(function* () {
    const presence = yield* Presence
    yield* presence.track(room, name, { role: "viewer" })
    yield* Effect.sleep("10 seconds")
  }).pipe(Effect.scoped)

describe("a test of an application", () => {
  it.scoped("is short", () =>
    Effect.gen(function* () {
      const presence = yield* PresenceTest
      yield* Effect.fork(visit("room:1", "alice"))
      yield* presence.joined("room:1", "alice", { role: "viewer" })
      yield* presence.none()
      yield* TestClock.adjust("10 seconds")
      yield* presence.left("room:1", "alice")
      yield* presence.none()
    }).pipe(Effect.provide(PresenceTest.layer()))
  )

  it.live("works without a TestClock too", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const test = yield* PresenceTest
      yield* Effect.scoped(presence.track("room:1", "alice"))
      yield* test.joined("room:1", "alice")
      yield* test.left("room:1", "alice")
    }).pipe(Effect.provide(PresenceTest.layer()))
  )
})

describe("assertions", () => {
  const check = (
    name: string,
    body: (presence: Presence.Service, test: PresenceTest.Service) => Effect.Effect<void, unknown, Channels>,
    options?: PresenceTest.Options
  ) =>
    it.effect(name, () =>
      Effect.flatMap(Effect.all([Presence, PresenceTest]), ([presence, test]) => body(presence, test)).pipe(
        Effect.provide(PresenceTest.layer({ patience: 0, ...options }))
      )
    )

  const failure = <A>(effect: Effect.Effect<A, UnmetExpectation>) => Effect.map(Effect.flip(effect), (e) => e.message)

  check("each takes one event, the oldest that matches", (presence, test) =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* presence.track("room", "alice", 1)
          yield* presence.track("room", "alice", 2)
        })
      )
      expect(yield* test.joined("room", "alice")).toEqual({ type: "join", topic: "room", key: "alice", meta: 1 })
      expect(yield* test.joined("room", "alice")).toMatchObject({ meta: 2 })
      yield* Effect.flip(test.joined("room", "alice"))
      yield* test.left("room", "alice")
      yield* test.none()
    })
  )

  check("a meta is compared as JSON, in whatever order its names stand", (presence, test) =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.flatMap(presence.track("room", "alice", { a: 1, b: [2] }), (lease) => lease.update({ c: null }))
      )
      yield* Effect.flip(test.joined("room", "alice", { a: 1 }))
      yield* Effect.flip(test.joined("room", "alice", { at: new Date(0) }))
      yield* test.joined("room", "alice", { b: [2], a: 1 })
      yield* Effect.flip(test.updated("room", "alice", {}))
      yield* test.updated("room", "alice", { c: null })
    })
  )

  check("a typed meta is asserted as it is stored", (presence, test) =>
    Effect.gen(function* () {
      const visitors = presence.forSchema(Schema.Struct({ since: Schema.Date }))
      yield* Effect.scoped(visitors.track("room", "alice", { since: new Date(0) }))
      yield* test.joined("room", "alice", { since: "1970-01-01T00:00:00.000Z" })
    })
  )

  check("forSchema takes and gives typed metas", (presence, test) =>
    Effect.gen(function* () {
      const Visit = Schema.Struct({ since: Schema.Date })
      const at = (millis: number) => ({ since: new Date(millis) })
      const visits = test.forSchema(Visit)
      const alice = yield* Effect.scoped(
        Effect.tap(presence.forSchema(Visit).track("room", "alice", at(0)), (lease) => lease.update(at(1)))
      )
      expect(alice.key).toBe("alice")
      expect(yield* failure(visits.joined("room", "alice", at(1)))).toContain(
        'expected "alice" to join "room" with {"since":"1970-01-01T00:00:00.001Z"}'
      )
      expect(yield* visits.joined("room", "alice", at(0))).toEqual({
        type: "join",
        topic: "room",
        key: "alice",
        meta: at(0)
      })
      expect(yield* visits.updated("room", "alice")).toMatchObject({ meta: at(1) })
      yield* visits.left("room", "alice")
      yield* visits.none()
      expect((yield* visits.recorded()).map((event) => event.type)).toEqual(["join", "update", "leave"])
    })
  )

  check("forSchema compares what metas encode to, however they were stored", (presence, test) =>
    Effect.gen(function* () {
      yield* presence.track("room", "alice", { n: "1", and: "more" })
      yield* test.forSchema(Schema.Struct({ n: Schema.NumberFromString })).joined("room", "alice", { n: 1 })
    }).pipe(Effect.scoped)
  )

  check("forSchema does not take what does not decode, and none finds it", (presence, test) =>
    Effect.gen(function* () {
      const numbers = test.forSchema(Schema.Number)
      yield* presence.track("room", "alice", "one")
      yield* Effect.flip(numbers.joined("room", "alice"))
      expect(yield* failure(numbers.none())).toContain('"alice" joined "room" with "one"')
      expect(yield* numbers.recorded()).toEqual([])
      expect(yield* failure(numbers.joined("room", "alice", Number.NaN))).toContain("does not encode to JSON")
      yield* numbers.forget
      yield* test.none()
    }).pipe(Effect.scoped)
  )

  check("forSchema does not take what the schema throws at", (presence, test) =>
    Effect.gen(function* () {
      const path = { decode: decodeURIComponent, encode: encodeURIComponent }
      const paths = test.forSchema(Schema.transform(Schema.String, Schema.String, path))
      yield* presence.track("room", "mallory", "%")
      yield* presence.track("room", "alice", "a%20b")
      expect((yield* paths.recorded()).map(({ key }) => key)).toEqual(["alice"])
      yield* paths.joined("room", "alice", "a b")
    }).pipe(Effect.scoped)
  )

  check("no topic needs to be named beforehand, and each is its own", (presence, test) =>
    Effect.gen(function* () {
      yield* Effect.scoped(presence.track("presence:room", "alice"))
      yield* Effect.scoped(presence.track("__proto__", "alice"))
      yield* Effect.flip(test.joined("room", "alice"))
      yield* test.joined("presence:room", "alice")
      yield* test.left("presence:room", "alice")
      yield* test.none("presence:room")
      yield* Effect.flip(test.none())
      expect((yield* test.recorded("__proto__")).map((event) => event.type)).toEqual(["join", "leave"])
      expect(yield* test.recorded()).toHaveLength(4)
    })
  )

  check("none lets others run first", (presence, test) =>
    Effect.gen(function* () {
      const late = Effect.zipRight(Effect.replicateEffect(Effect.yieldNow(), 5), presence.track("room", "alice"))
      yield* Effect.fork(Effect.scoped(late))
      expect(yield* failure(test.none())).toContain('"alice" joined "room" with {}')
    })
  )

  check("forget takes what the test only prepared", (presence, test) =>
    Effect.gen(function* () {
      yield* Effect.scoped(presence.track("room", "alice"))
      yield* test.forget
      yield* test.none()
      yield* Effect.flip(test.joined("room", "alice"))
    })
  )

  check("an assertion that is not met says what was expected and what was told", (presence, test) =>
    Effect.gen(function* () {
      yield* Effect.scoped(presence.track("room", "alice", { role: "viewer" }))
      yield* test.joined("room", "alice")
      expect(yield* failure(test.joined("room", "bob", { role: "editor" }))).toBe(
        [
          'expected "bob" to join "room" with {"role":"editor"}',
          "  told and not yet asserted:",
          '    "alice" left "room"',
          "  asserted before:",
          '    "alice" joined "room" with {"role":"viewer"}'
        ].join("\n")
      )
      expect(yield* failure(test.none())).toMatch(/^expected nothing more\n {2}told and not yet asserted:\n/)
      yield* test.left("room", "alice")
      expect(yield* failure(test.updated("lobby", "bob"))).toMatch(
        /^expected "bob" to update its meta on "lobby"\n {2}told and not yet asserted: nothing\n/
      )
    })
  )

  check("a message shows the last of very many", (presence, test) =>
    Effect.gen(function* () {
      for (let i = 0; i < 50; i++) yield* Effect.scoped(presence.track("room", `user ${i}`))
      const message = yield* failure(test.none())
      expect(message).toContain("… 80 before")
      expect(message).toContain('"user 49" left "room"')
      expect(message.split("\n").length).toBeLessThan(30)
    })
  )

  check(
    "an assertion waits for what other fibers do, in real time",
    (presence, test) =>
      Effect.gen(function* () {
        yield* Effect.fork(
          Effect.async<void>((resume) => {
            setTimeout(() => resume(Effect.void), 20)
          }).pipe(Effect.zipRight(Effect.scoped(presence.track("room", "alice"))))
        )
        yield* test.joined("room", "alice")
        yield* test.left("room", "alice")
      }),
    { patience: "10 seconds" }
  )

  check(
    "an assertion that is interrupted takes nothing",
    (presence, test) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(test.joined("room", "alice"))
        yield* Effect.yieldNow()
        yield* fiber.interruptAsFork(fiber.id())
        yield* Effect.yieldNow()
        yield* Effect.scoped(presence.track("room", "alice"))
        yield* test.joined("room", "alice")
      }),
    { patience: "10 seconds" }
  )

  check(
    "what an application publishes itself is no event, and its subscribers hear presence as ever",
    (presence, test) =>
      Effect.gen(function* () {
        const channels = yield* Channels
        yield* Effect.gen(function* () {
          const { take } = yield* channels.subscribe("presence:room")
          yield* channels.publish("presence:room", '{"type":"join","key":"mallory","meta":{}}')
          yield* presence.track("room", "alice")
          expect(yield* take).toEqual([
            '{"type":"join","key":"mallory","meta":{}}',
            '{"type":"join","key":"alice","meta":{}}'
          ])
        }).pipe(Effect.scoped)
        yield* Effect.flip(test.joined("room", "mallory"))
        expect((yield* test.recorded()).map((event) => event.key)).toEqual(["alice", "alice"])
      })
  )

  it.effect("each layer that is built has its own recording", () =>
    Effect.gen(function* () {
      const layer = PresenceTest.layer()
      const use = Effect.gen(function* () {
        const presence = yield* Presence
        const test = yield* PresenceTest
        yield* Effect.scoped(presence.track("room", "alice"))
        return yield* test.recorded()
      })
      expect(yield* Effect.provide(use, layer)).toHaveLength(2)
      expect(yield* Effect.provide(use, layer)).toHaveLength(2)
    })
  )

  it.effect("options are those of Presence", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const test = yield* PresenceTest
      yield* Effect.gen(function* () {
        yield* presence.track("room", "alice")
        yield* TestClock.adjust("2 seconds")
        yield* test.joined("room", "alice")
        yield* test.left("room", "alice")
      }).pipe(Effect.scoped)
    }).pipe(Effect.provide(PresenceTest.layer({ ttl: "2 seconds" })))
  )
})
