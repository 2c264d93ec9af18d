/** A change made while a change is told: by followers that resume inside whoever wakes them, and by channels. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Scope, Stream } from "effect"
import { Channels, Presence, type PresenceChange } from "../../src/index.js"
import { hearOf } from "../../src/internal/feed/direct.js"
import { atOnce, collecting, fold, reacting, turn } from "../support/atOnce.js"

const keys = (presence: Presence.Service, topic: string) =>
  Effect.map(presence.list(topic), (list) => list.map(({ key }) => key))

describe("a change that is made while another is told", () => {
  it.scoped("by a follower that tracks the moment it hears a join, is told once, to all, in order", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const scope = yield* Effect.scope
      const { changes } = yield* collecting(presence, "room")
      const { take } = yield* presence.subscribe("room")
      yield* reacting(presence, "room", ({ type, key }) =>
        type === "join" && key.length < 4
          ? Effect.orDie(Scope.extend(presence.track("room", `${key}+`), scope))
          : Effect.void
      )
      yield* presence.track("room", "a")
      const all = ["a", "a+", "a++", "a+++"]
      expect(yield* keys(presence, "room")).toEqual(all)
      expect((yield* take).map(({ key }) => key)).toEqual(all)
      expect(fold(changes)).toEqual(all)
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.scoped("on a topic that the same step has changed, does not blur its versions", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const scope = yield* Effect.scope
      const a = yield* collecting(presence, "a")
      const b = yield* collecting(presence, "b")
      yield* reacting(presence, "a", ({ type }) =>
        type === "leave" ? Effect.orDie(Scope.extend(presence.track("b", "late"), scope)) : Effect.void
      )
      // Closing the scope is one step that both leave in.
      yield* Effect.scoped(Effect.zip(presence.track("a", "x"), presence.track("b", "y")))
      yield* Effect.scoped(Effect.zip(presence.track("b", "y"), presence.track("a", "x")))
      expect(yield* keys(presence, "b")).toEqual(["late"])
      expect([fold(a.changes), fold(b.changes)]).toEqual([[], ["late", "late"]])
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.scoped("by one who begins to follow meanwhile, is not told to them twice", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const scope = yield* Effect.scope
      const begun: Array<ReadonlyArray<PresenceChange>> = []
      yield* reacting(presence, "room", ({ type, key }) =>
        type !== "join" || key !== "a"
          ? Effect.void
          : Effect.orDie(Scope.extend(presence.track("room", "b"), scope)).pipe(
              Effect.zipRight(
                Effect.map(Effect.provideService(collecting(presence, "room"), Scope.Scope, scope), ({ changes }) =>
                  begun.push(changes)
                )
              )
            )
      )
      yield* presence.track("room", "a")
      while (begun.length === 0) yield* turn
      yield* presence.track("room", "c")
      expect(begun.map(fold)).toEqual([["a", "b", "c"]])
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.scoped("is not told again to one who went on from a state that shows it", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const { take } = yield* (yield* Channels).subscribe("presence:room")
      const changes: Array<PresenceChange> = []
      yield* Effect.forkScoped(
        Effect.gen(function* () {
          // The text of a change comes before its followers are told.
          yield* take
          const at = yield* presence.snapshot("room")
          changes.push(at)
          yield* Stream.runForEach(presence.changes("room", { since: at }), (change) =>
            Effect.sync(() => changes.push(change))
          )
        }).pipe(Effect.withScheduler(atOnce))
      )
      yield* Effect.yieldNow()
      // Versions go on from where somebody follows.
      yield* presence.subscribe("room")
      yield* presence.track("room", "a")
      yield* presence.track("room", "b")
      while (fold(changes).length < 2) yield* turn
      expect(fold(changes)).toEqual(["a", "b"])
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.scoped("by channels that call presence back, is told after, and once", () =>
    Effect.gen(function* () {
      const texts: Array<string> = []
      let presence: Presence.Service | undefined
      const scope = yield* Effect.scope
      const own = Layer.effect(
        Channels,
        Effect.map(Channels, (channels) => ({
          ...channels,
          unsafePublish: (topic: string, text: string | (() => string)) => {
            const said = typeof text === "string" ? text : text()
            texts.push(said)
            const { type, key } = JSON.parse(said)
            if (type === "join" && key.length < 3 && presence !== undefined) {
              Effect.runSync(Effect.orDie(Scope.extend(presence.track("room", `${key}+`), scope)))
            }
            return channels.unsafePublish(topic, said)
          }
        }))
      ).pipe(Layer.provide(Channels.layer()))
      const context = yield* Layer.build(Layer.provide(Presence.layerWithoutChannels(), own))
      presence = Context.get(context, Presence)
      const { changes } = yield* collecting(presence, "room")
      yield* presence.track("room", "a")
      expect(texts.map((text) => JSON.parse(text).key)).toEqual(["a", "a+", "a++"])
      while (fold(changes).length < 3) yield* turn
      expect(fold(changes)).toEqual(["a", "a+", "a++"])
    })
  )

  it.scoped("as the text that answers another, is heard after it however it is heard", () =>
    Effect.gen(function* () {
      const channels = yield* Channels
      const heard: Array<string> = []
      yield* Effect.acquireRelease(
        Effect.sync(() => hearOf(channels)?.("room", (text) => heard.push(text))),
        (stop) => Effect.sync(() => stop?.())
      )
      const { take } = yield* channels.subscribe("room")
      yield* Effect.forkScoped(
        Effect.withScheduler(
          Effect.forever(
            Effect.map(take, ([text = ""]) => text.length < 3 && channels.unsafePublish("room", `${text}+`))
          ),
          atOnce
        )
      )
      yield* Effect.yieldNow()
      yield* channels.publish("room", "a")
      expect(heard).toEqual(["a", "a+", "a++"])
    }).pipe(Effect.provide(Channels.layer()))
  )
})
