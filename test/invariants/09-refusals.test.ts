import { describe, expect } from "@effect/vitest"
import { Effect, Either, Exit, Scope } from "effect"
import fc from "fast-check"
import { Presence } from "../../src/index.js"
import { check } from "../support/invariant.js"
import { listen } from "../support/listen.js"
import { holds } from "../support/property.js"

describe("9. what is refused is refused whole, with a typed error; nothing is stored, nothing told", () => {
  /** Whether a value is JSON, written as plainly as can be. */
  const isJson = (value: unknown): boolean => {
    if (value === null || typeof value === "string" || typeof value === "boolean") return true
    if (typeof value === "number") return Number.isFinite(value)
    if (typeof value !== "object") return false
    const prototype: unknown = Object.getPrototypeOf(value)
    if (Array.isArray(value)) return prototype === Array.prototype && Array.from(value).every(isJson)
    if (prototype !== null && prototype !== Object.prototype) return false
    return Object.getOwnPropertySymbols(value).length === 0 && Object.values(value).every(isJson)
  }

  const anything = fc.oneof(
    fc.jsonValue(),
    fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true
    })
  )

  check("any value at all: it is stored as JSON says it, or it is InvalidMeta and nothing has happened", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const heard = yield* listen("room")
      const met = { stored: 0, refused: 0 }
      yield* holds({ name: "metas", runs: 1_000, atOnce: 1 }, anything, (meta) =>
        Effect.gen(function* () {
          const key = `user ${met.stored + met.refused}`
          const { version } = yield* presence.snapshot("room")
          const result = yield* Effect.either(Effect.scoped(presence.track("room", key, meta)))
          const told = (yield* heard).filter((event) => event.key === key)
          if (isJson(meta ?? null)) {
            met.stored++
            expect(result._tag).toBe("Right")
            // `undefined` is no meta at all, and that is an empty one.
            expect(told.map((event) => JSON.stringify(event))).toEqual([
              JSON.stringify({ type: "join", key, meta: meta === undefined ? {} : meta }),
              JSON.stringify({ type: "leave", key })
            ])
          } else {
            met.refused++
            expect(Either.flip(result)).toMatchObject({ right: { _tag: "InvalidMeta", topic: "room", key } })
            expect(told).toEqual([])
            expect((yield* presence.snapshot("room")).version).toBe(version + 2)
          }
        })
      )
      expect(met.stored).toBeGreaterThan(100)
      expect(met.refused).toBeGreaterThan(100)
    })
  )

  check("any name at all: it is an ordinary name, or it is refused and named", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const name = fc.oneof(
        fc.string({ unit: "binary" }),
        fc.string({ unit: "grapheme", minLength: 1 }),
        fc.array(fc.nat({ max: 0xffff })).map((units) => String.fromCharCode(...units)),
        fc.string({ minLength: 200, maxLength: 400 }),
        fc.constantFrom("__proto__", "constructor", "", "*", "}", ":")
      )
      const met = { good: 0, refused: 0 }
      yield* holds({ name: "names", runs: 500, atOnce: 1 }, fc.tuple(name, name), ([topic, key]) =>
        Effect.gen(function* () {
          const bytes = [topic, key].map((text) => Buffer.byteLength(text))
          const broken = (text: string) => text === "" || /\p{Surrogate}/u.test(text)
          const tag = broken(topic)
            ? "InvalidTopic"
            : (bytes[0] ?? 0) > 255
              ? "LimitExceeded"
              : broken(key)
                ? "InvalidKey"
                : (bytes[1] ?? 0) > 255
                  ? "LimitExceeded"
                  : undefined
          const scope = yield* Scope.make()
          const result = yield* Effect.either(Scope.extend(presence.track(topic, key), scope))
          const list = yield* presence.list(topic)
          if (tag === undefined) {
            met.good++
            expect(result._tag).toBe("Right")
            expect(list).toContainEqual({ key, metas: [{}] })
            expect(yield* presence.topics).toContain(topic)
          } else {
            met.refused++
            // A name that is too long and broken as well may be refused for either.
            const tooLong = (broken(topic) && (bytes[0] ?? 0) > 255) || (broken(key) && (bytes[1] ?? 0) > 255)
            const actual = Either.isLeft(result) ? result.left._tag : "none"
            expect(tooLong ? ["LimitExceeded", tag] : [tag]).toContain(actual)
            expect(list).toEqual([])
          }
          yield* Scope.close(scope, Exit.void)
          expect(yield* presence.list(topic)).toEqual([])
        })
      )
      expect(met.good).toBeGreaterThan(100)
      expect(met.refused).toBeGreaterThan(100)
    })
  )
})
