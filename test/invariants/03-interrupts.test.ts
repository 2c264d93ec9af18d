import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Schema, Scope, Stream } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { atEveryOperation, interruptAt } from "../support/interruptAt.js"
import { check } from "../support/invariant.js"
import { listen } from "../support/listen.js"

describe("3. track interrupted at any point leaves either a connection whose scope will end it, or none", () => {
  const Name = Schema.Struct({ name: Schema.String })
  const cases = {
    "the first on its scope": (presence: Presence.Service) => presence.track("room", "alice"),
    "with options": (presence: Presence.Service) =>
      presence.track("room", "alice", { a: [1, 2, 3] }, { ttl: "1 minute" }),
    typed: (presence: Presence.Service) => presence.forSchema(Name).track("room", "alice", { name: "Alice" }),
    "the second on its scope": (presence: Presence.Service) =>
      Effect.zipRight(presence.track("lobby", "alice"), presence.track("room", "alice"))
  } as const

  for (const [name, track] of Object.entries(cases)) {
    check(name, () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const operations = yield* atEveryOperation((n) =>
          Effect.gen(function* () {
            const heard = yield* listen("room")
            const scope = yield* Scope.make()
            const outcome = yield* interruptAt(Scope.extend(Effect.asVoid(track(presence)), scope), n)
            const { connections } = yield* presence.count("room")
            expect(connections).toBeLessThanOrEqual(1)
            if (Exit.isSuccess(outcome.exit)) expect(connections).toBe(1)
            expect(yield* presence.list("room")).toHaveLength(connections)
            expect((yield* heard).map((event) => event.type)).toEqual(connections === 1 ? ["join"] : [])
            yield* Scope.close(scope, Exit.void)
            expect(yield* presence.topics).toEqual([])
            expect((yield* heard).map((event) => event.type)).toEqual(connections === 1 ? ["leave"] : [])
            return outcome
          }).pipe(Effect.scoped)
        )
        expect(operations).toBeGreaterThan(2)
      })
    )
  }

  check("a fiber that tracks and is interrupted leaves nobody behind", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const operations = yield* atEveryOperation((n) =>
        Effect.gen(function* () {
          const outcome = yield* interruptAt(Effect.scoped(presence.track("room", "alice")), n)
          expect(yield* presence.topics).toEqual([])
          return outcome
        })
      )
      expect(operations).toBeGreaterThan(5)
    })
  )

  check("a subscription that is interrupted at any operation leaves no subscriber behind", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      const unknown = (yield* presence.snapshot("never seen")).epoch
      for (const subscribe of [
        Effect.asVoid(presence.subscribe("room")),
        Effect.asVoid(Effect.orDie(channels.subscribe("room"))),
        Effect.asVoid(Stream.runHead(presence.changes("room")))
      ]) {
        const operations = yield* atEveryOperation((n) =>
          Effect.gen(function* () {
            const outcome = yield* interruptAt(Effect.scoped(subscribe), n)
            expect((yield* channels.stats).total.subscribers).toBe(0)
            // A topic that was followed and is no more has no life: it stands where an unknown one does.
            expect((yield* presence.snapshot("room")).epoch).toBe(unknown)
            return outcome
          })
        )
        expect(operations).toBeGreaterThan(5)
      }
    })
  )
})
