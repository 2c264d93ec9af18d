/** Over Redis: changes that are made while others are told, and tracks that are interrupted at each of their steps. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { Channels, Presence, type PresenceChange } from "../../src/index.js"
import { followOf } from "../../src/internal/feed/direct.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { atOnce, collecting, fold, reacting, turn } from "../support/atOnce.js"
import { atEveryOperation, interruptAt } from "../support/interruptAt.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("over Redis", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  let worlds = 0
  const build = (prefix: string) =>
    Effect.map(Layer.build(PresenceRedis.layer({ url: redis.url, prefix })), (context) => ({
      presence: Context.get(context, Presence),
      channels: Context.get(context, Channels)
    }))

  const until = (is: () => boolean) => Effect.repeat(turn, { until: is })

  it.scopedLive("a follower that tracks the moment it hears a join is told with all others, once, in order", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const [{ presence: a }, { presence: b, channels }] = [yield* build(prefix), yield* build(prefix)]
      const scope = yield* Effect.scope
      const [here, there] = [yield* collecting(a, "room"), yield* collecting(b, "room")]
      const mirrored = yield* channels.subscribe("presence:room")
      for (const [presence, mark] of [
        [a, "+"],
        [b, "-"]
      ] as const) {
        yield* reacting(presence, "room", ({ type, key }) =>
          type === "join" && key.length < 4
            ? Effect.asVoid(Effect.forkDaemon(Scope.extend(presence.track("room", key + mark), scope)))
            : Effect.void
        )
      }
      yield* a.track("room", "a")
      // Each of both answers each join of one to three letters: 1 + 2 + 4 + 8.
      yield* until(() => fold(here.changes).length === 15 && fold(there.changes).length === 15)
      expect(new Set(fold(here.changes)).size).toBe(15)
      expect(fold(there.changes)).toEqual(fold(here.changes))
      const texts: Array<string> = []
      while (texts.length < 15) texts.push(...(yield* mirrored.take))
      expect(texts.map((text) => JSON.parse(text).key).sort()).toEqual(fold(here.changes))
    })
  )

  it.scopedLive("a follower that goes and comes back while it is told hears on from a state, without a gap", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const [{ presence: a }, { presence: b }] = [yield* build(prefix), yield* build(prefix)]
      const scope = yield* Effect.scope
      const begun: Array<ReadonlyArray<unknown>> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* reacting(b, "room", () =>
            Effect.map(Effect.provideService(collecting(b, "room"), Scope.Scope, scope), ({ changes }) =>
              begun.push(changes)
            )
          )
          for (const key of ["a", "b", "c"]) yield* Scope.extend(a.track("room", key), scope)
          yield* until(() => begun.length === 3)
        })
      )
      yield* a.track("room", "d")
      yield* until(() => begun.every((changes) => fold(changes as never).length === 4))
    })
  )

  it.scopedLive(
    "a route that begins to follow while a topic is told, and who goes on from a state, hear nothing twice",
    () =>
      Effect.gen(function* () {
        const { presence, channels } = yield* build(`world ${++worlds}`)
        const follow = followOf(presence)
        if (follow === undefined) throw new Error("nobody follows directly")
        const routes: Array<Array<PresenceChange>> = []
        const begin = (onFirst: () => void) => {
          const changes: Array<PresenceChange> = []
          routes.push(changes)
          const stop = follow("room", {
            onChange: (change) => {
              if (changes.push(change) === 2) onFirst()
            },
            onEnd: () => {}
          })
          return Effect.addFinalizer(() => Effect.sync(stop))
        }
        const scope = yield* Effect.scope
        yield* begin(() =>
          Effect.runSync(
            Scope.extend(
              begin(() => {}),
              scope
            )
          )
        )
        yield* until(() => routes[0]?.length === 1)
        // The text of a change comes before its followers are told.
        const late: Array<PresenceChange> = []
        const { take } = yield* channels.subscribe("presence:room")
        yield* Effect.forkScoped(
          Effect.gen(function* () {
            yield* take
            const at = yield* Effect.orDie(presence.snapshot("room"))
            late.push(at)
            yield* Stream.runForEach(presence.changes("room", { since: at }), (change) =>
              Effect.sync(() => late.push(change))
            )
          }).pipe(Effect.withScheduler(atOnce))
        )
        yield* Effect.yieldNow()
        yield* presence.track("room", "a")
        yield* presence.track("room", "b")
        yield* until(() => [...routes, late].every((changes) => fold(changes).length === 2))
        expect(routes).toHaveLength(2)
      })
  )

  for (const name of ["in a scope of its own", "in a scope that lives on"] as const) {
    it.scopedLive(`a track that is interrupted at any point leaves nobody whom its scope will not end, ${name}`, () =>
      Effect.gen(function* () {
        const { presence } = yield* build(`world ${++worlds}`)
        const operations = yield* atEveryOperation((n) =>
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            const track = Effect.asVoid(presence.track("room", "alice"))
            const outcome = yield* interruptAt(
              name === "in a scope of its own" ? Effect.scoped(track) : Scope.extend(track, scope),
              n
            )
            const { connections } = yield* presence.health
            if (name === "in a scope of its own") expect(connections).toBe(0)
            else if (Exit.isSuccess(outcome.exit)) expect(connections).toBe(1)
            yield* Scope.close(scope, Exit.void)
            expect((yield* presence.health).connections).toBe(0)
            expect(yield* presence.list("room")).toEqual([])
            return outcome
          })
        )
        expect(operations).toBeGreaterThan(10)
      })
    )
  }
})
