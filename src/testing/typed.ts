/**
 * Assertions with typed metas: what was told is decoded, and what is expected is compared as it is encoded, so that a type
 * needs no equality of its own.
 */
import { Effect, Option, Schema } from "effect"
import { equal } from "../internal/input/json.js"
import { decoder, metaSchema } from "../internal/input/metaSchema.js"
import type { Json } from "../Json.js"
import type { PresenceTest } from "./PresenceTest.js"
import type { Expected } from "./recorder.js"
import type { UnmetExpectation } from "./UnmetExpectation.js"

/** The recorder, as far as these assertions need it. */
export interface Recording {
  readonly service: PresenceTest.Service
  readonly expect: <A>(
    expected: Expected,
    read: (event: PresenceTest.Recorded) => Option.Option<A>
  ) => Effect.Effect<A, UnmetExpectation>
}

export const typed = <A, I>(recording: Recording, schema: Schema.Schema<A, I>): PresenceTest.ServiceFor<A> => {
  const meta = metaSchema(schema)
  const decode = decoder(meta)
  const encode = Schema.encodeOption(meta)

  const decodeEvent = (event: PresenceTest.Recorded): Option.Option<PresenceTest.Recorded<A>> =>
    event.type === "leave" ? Option.some(event) : Option.map(decode(event.meta), (meta) => ({ ...event, meta }))

  const encodesTo = (event: PresenceTest.Recorded<A>, wanted: Option.Option<Json>): boolean =>
    event.type !== "leave" &&
    Option.exists(encode(event.meta), (told) => Option.exists(wanted, (wanted) => equal(told, wanted)))

  const expectMeta = (type: "join" | "update", topic: string, key: string, meta: A | undefined) =>
    Effect.suspend(() => {
      if (meta === undefined) return recording.expect({ type, topic, key, meta }, decodeEvent)
      const wanted = encode(meta)
      return recording.expect({ type, topic, key, meta: Option.getOrElse(wanted, () => NO_JSON) }, (event) =>
        Option.filter(decodeEvent(event), (event) => encodesTo(event, wanted))
      )
    })

  return {
    joined: (topic, key, meta) => expectMeta("join", topic, key, meta),
    left: (topic, key) => recording.expect({ type: "leave", topic, key, meta: undefined }, decodeEvent),
    updated: (topic, key, meta) => expectMeta("update", topic, key, meta),
    none: recording.service.none,
    forget: recording.service.forget,
    recorded: (topic) =>
      Effect.map(recording.service.recorded(topic), (events) =>
        events.flatMap((event) => Option.toArray(decodeEvent(event)))
      )
  }
}

/** Shown for a meta that nobody could have tracked. */
const NO_JSON = "a meta that does not encode to JSON"
