/** Leases: what `track` returns, its scope, `release`, `evict`, `ended`. */
import { inspect } from "node:util"
import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { Presence } from "../../../src/index.js"
import { join, leave, listen } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

export const leases = ({ check, ticks }: Subject) =>
  describe("leases", () => {
    check("a lease names its topic, its key and its ref, which is nobody else's", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const refs = new Set<string>()
        for (const [topic, key] of [
          ["room", "alice"],
          ["room", "alice"],
          ["room", "bob"],
          ["lobby", "alice"]
        ] as const) {
          const lease = yield* presence.track(topic, key)
          expect([lease.topic, lease.key, typeof lease.ref]).toEqual([topic, key, "string"])
          refs.add(lease.ref)
        }
        expect(refs.size).toBe(4)
      })
    )

    check("a lease that is logged shows its topic, key, ref and meta, and nothing of its neighbours", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const { ref } = yield* presence.track("room", "alice", 1)
        const lease = yield* presence.track("room", "bob", { role: "viewer" })
        expect(JSON.stringify(lease)).toBe(
          JSON.stringify({ topic: "room", key: "bob", ref: lease.ref, meta: { role: "viewer" } })
        )
        expect(inspect(lease)).toContain(lease.ref)
        expect(inspect(lease, { depth: null })).not.toContain(ref)
      })
    )

    check("a join for each connection, a leave for the key's last", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const first = yield* presence.track("room", "alice", 1)
        const second = yield* presence.track("room", "alice", 2)
        const bob = yield* presence.track("room", "bob", 3)
        yield* second.release
        yield* bob.release
        yield* first.release
        expect(yield* heard).toEqual([join("alice", 1), join("alice", 2), join("bob", 3), leave("bob"), leave("alice")])
      })
    )

    check("release ends it now; releasing again, and the scope's close, do nothing", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const scope = yield* Scope.make()
        const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
        yield* lease.release
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* lease.ended).toBe("released")
        yield* lease.release
        yield* Scope.close(scope, Exit.void)
        yield* lease.release
        expect(yield* heard).toEqual([join("alice"), leave("alice")])
      })
    )

    check("a scope ends its leases in reverse order", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        yield* Effect.scoped(Effect.forEach(["a", "b", "c", "d"], (key) => presence.track("room", key)))
        expect(yield* heard).toEqual([...[..."abcd"].map((key) => join(key)), ...[..."dcba"].map(leave)])
      })
    )

    check("a scope ends its leases at the place of the first, and early releases move nothing", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const seen: Array<string> = []
        const note = (when: string) =>
          Effect.addFinalizer(() =>
            Effect.orDie(
              Effect.map(presence.list("room"), (list) => seen.push(`${when}: ${list.map((entry) => entry.key)}`))
            )
          )
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* note("opened before")
            yield* presence.track("room", "a")
            const early = yield* presence.track("room", "b")
            yield* note("opened between")
            yield* presence.track("room", "c")
            yield* early.release
          })
        )
        expect(seen).toEqual(["opened between: a,c", "opened before: "])
      })
    )

    check("a lease in a scope of its own ends when that one does", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const own = yield* Scope.make()
        yield* presence.track("room", "a")
        yield* Scope.extend(presence.track("room", "b"), own)
        yield* Scope.close(own, Exit.void)
        expect((yield* presence.list("room")).map((entry) => entry.key)).toEqual(["a"])
      })
    )

    check("a scope that fails, dies or is interrupted ends its leases as well", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const present = presence.track("room", "alice")
        yield* Effect.exit(Effect.scoped(Effect.zipRight(present, Effect.fail("broken"))))
        yield* Effect.exit(Effect.scoped(Effect.zipRight(present, Effect.die("broken"))))
        const fiber = yield* Effect.fork(Effect.scoped(Effect.zipRight(present, Effect.never)))
        while ((yield* presence.count("room")).keys === 0) yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        const once = [join("alice"), leave("alice")]
        expect(yield* heard).toEqual([...once, ...once, ...once])
      })
    )

    check("track in a closed scope gives a released lease and tells nobody", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const scope = yield* Scope.make()
        yield* Scope.close(scope, Exit.void)
        const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
        expect([lease.topic, lease.key, typeof lease.ref]).toEqual(["room", "alice", "string"])
        expect(yield* lease.ended).toBe("released")
        expect(yield* lease.refresh).toBe("released")
        expect(yield* lease.update(1)).toBe("released")
        yield* lease.release
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* presence.topics).toEqual([])
        expect(yield* heard).toEqual([])
      })
    )

    check("a released lease stores nothing more", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice")
        yield* lease.release
        const heard = yield* listen("room")
        expect(yield* lease.refresh).toBe("released")
        expect(yield* lease.update({ back: true })).toBe("released")
        expect(yield* lease.update((meta) => [meta])).toBe("released")
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        expect(yield* heard).toEqual([])
      })
    )

    check("evict ends every connection of a key, counts them, and tells their leases", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const first = yield* presence.track("room", "alice", 1)
        const second = yield* presence.track("room", "alice", 2, { leaveDelay: ticks(10) })
        yield* presence.track("room", "bob", 3)
        const elsewhere = yield* presence.track("lobby", "alice", 4)
        const waiting = yield* Effect.fork(first.ended)
        yield* Effect.yieldNow()
        expect(yield* presence.evict("room", "alice")).toBe(2)
        expect(yield* Fiber.join(waiting)).toBe("evicted")
        expect(yield* second.ended).toBe("evicted")
        expect(yield* presence.list("room")).toEqual([{ key: "bob", metas: [3] }])
        expect(yield* presence.list("lobby")).toEqual([{ key: "alice", metas: [4] }])
        expect(yield* elsewhere.refresh).toBe("renewed")
        expect(yield* heard).toEqual([join("alice", 1), join("alice", 2), join("bob", 3), leave("alice")])
      })
    )

    check("an evicted lease stays out, and its end is told once", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const scope = yield* Scope.make()
        const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
        expect(yield* presence.evict("room", "alice")).toBe(1)
        expect(yield* lease.refresh).toBe("evicted")
        expect(yield* lease.update({ back: true })).toBe("evicted")
        yield* lease.release
        yield* Scope.close(scope, Exit.void)
        expect(yield* lease.ended).toBe("evicted")
        expect(yield* presence.evict("room", "alice")).toBe(0)
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        expect(yield* heard).toEqual([join("alice"), leave("alice")])
      })
    )

    check("an eviction is no ban", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice", 1)
        yield* presence.evict("room", "alice")
        const again = yield* presence.track("room", "alice", 2)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [2] }])
        expect(yield* again.refresh).toBe("renewed")
      })
    )

    check("ended waits for the end, for everybody who waits", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const scope = yield* Scope.make()
        const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
        const waiting = yield* Effect.forEach([1, 2], () => Effect.fork(lease.ended))
        yield* Effect.yieldNow()
        expect(waiting.map((fiber) => fiber.unsafePoll())).toEqual([null, null])
        yield* Scope.close(scope, Exit.void)
        expect(yield* Fiber.join(Fiber.all(waiting))).toEqual(["released", "released"])
        expect(yield* lease.ended).toBe("released")
      })
    )
  })
