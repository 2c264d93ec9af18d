/**
 * Presence as one writes it first: a `Ref` of nested `HashMap`s, a `PubSub`, `acquireRelease`. The measure of what the
 * care in this package is worth.
 */
import { Clock, Effect, HashMap, Option, PubSub, Ref, type Scope } from "effect"

interface Member {
  readonly meta: unknown
  readonly heartbeat: number
}

type Members = HashMap.HashMap<string, HashMap.HashMap<number, Member>>

type Event = { readonly type: "join" | "leave"; readonly topic: string; readonly key: string }

export interface NaivePresence {
  readonly track: (topic: string, key: string, meta: unknown) => Effect.Effect<void, never, Scope.Scope>
  readonly size: Effect.Effect<number>
}

export const make: Effect.Effect<NaivePresence> = Effect.gen(function* () {
  const state = yield* Ref.make(HashMap.empty<string, Members>())
  const events = yield* PubSub.sliding<Event>(64)
  let ids = 0

  const add = (topic: string, key: string, id: number, member: Member) =>
    Ref.update(state, (topics) => {
      const members = Option.getOrElse(HashMap.get(topics, topic), (): Members => HashMap.empty())
      const connections = Option.getOrElse(HashMap.get(members, key), () => HashMap.empty<number, Member>())
      return HashMap.set(topics, topic, HashMap.set(members, key, HashMap.set(connections, id, member)))
    })

  const remove = (topic: string, key: string, id: number) =>
    Ref.modify(state, (topics) => {
      const members = Option.getOrElse(HashMap.get(topics, topic), (): Members => HashMap.empty())
      const connections = Option.getOrElse(HashMap.get(members, key), () => HashMap.empty<number, Member>())
      const left = HashMap.remove(connections, id)
      if (!HashMap.isEmpty(left)) return [false, HashMap.set(topics, topic, HashMap.set(members, key, left))]
      const others = HashMap.remove(members, key)
      return [true, HashMap.isEmpty(others) ? HashMap.remove(topics, topic) : HashMap.set(topics, topic, others)]
    })

  return {
    track: (topic, key, meta) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.gen(function* () {
            const id = ++ids
            yield* add(topic, key, id, { meta, heartbeat: yield* Clock.currentTimeMillis })
            yield* PubSub.publish<Event>(events, { type: "join", topic, key })
            return id
          }),
          (id) =>
            Effect.gen(function* () {
              const last = yield* remove(topic, key, id)
              if (last) yield* PubSub.publish<Event>(events, { type: "leave", topic, key })
            })
        )
      ),
    size: Effect.map(Ref.get(state), HashMap.size)
  }
})
