/**
 * What presence told, in order, and which of it an assertion took.
 *
 * It stands between presence and its channels, where every event passes, whoever follows.
 */
import { Effect, Option } from "effect"
import type { Channels } from "../Channels.js"
import { equal, isJson } from "../internal/input/json.js"
import type { PresenceEvent } from "../PresenceEvent.js"
import type { PresenceTest } from "./PresenceTest.js"
import { typed } from "./typed.js"
import { UnmetExpectation } from "./UnmetExpectation.js"

interface Note {
  readonly event: PresenceTest.Recorded
  taken: boolean
}

/** What is looked for. The meta is what messages show. */
export interface Expected {
  readonly type: PresenceEvent["type"]
  readonly topic: string
  readonly key: string
  readonly meta: unknown
}

/** An event whose meta is equal as JSON, if there is one to be equal to. */
const withMeta =
  (meta: unknown) =>
  (event: PresenceTest.Recorded): Option.Option<PresenceTest.Recorded> =>
    meta === undefined || event.type === "leave" || (isJson(meta) && equal(event.meta, meta))
      ? Option.some(event)
      : Option.none()

export class Recorder {
  private readonly notes: Array<Note> = []
  /** Assertions that wait: each looks again when something is recorded. */
  private readonly waiting = new Set<() => void>()

  constructor(private readonly patience: number) {}

  /** Channels as they are, except that what presence tells is noted first. */
  listenTo(channels: Channels.Service): Channels.Service {
    return {
      ...channels,
      unsafePublish: (channel, text) => {
        const made = typeof text === "string" ? text : text()
        this.record(channel.slice("presence:".length), made)
        return channels.unsafePublish(channel, made)
      }
    }
  }

  readonly service: PresenceTest.Service = {
    joined: (topic, key, meta) => this.expect({ type: "join", topic, key, meta }, withMeta(meta)),
    left: (topic, key) => this.expect({ type: "leave", topic, key, meta: undefined }, Option.some),
    updated: (topic, key, meta) => this.expect({ type: "update", topic, key, meta }, withMeta(meta)),
    none: (topic) =>
      Effect.zipRight(
        othersRun,
        Effect.suspend(() =>
          this.of(topic).every((note) => note.taken)
            ? Effect.void
            : Effect.fail(this.unmet(topic === undefined ? "nothing more" : `nothing more on ${quote(topic)}`, topic))
        )
      ),
    forget: Effect.sync(() => {
      for (const note of this.notes) note.taken = true
    }),
    recorded: (topic) => Effect.sync(() => this.of(topic).map((note) => note.event)),
    forSchema: (schema) => typed(this, schema)
  }

  private record(topic: string, text: string): void {
    // What presence tells is the text of an event.
    const event = JSON.parse(text) as PresenceEvent
    this.notes.push({ event: { ...event, topic }, taken: false })
    for (const look of Array.from(this.waiting)) look()
  }

  private of(topic: string | undefined): ReadonlyArray<Note> {
    return topic === undefined ? this.notes : this.notes.filter((note) => note.event.topic === topic)
  }

  /** Takes the oldest event that is as expected, and that `read` reads. */
  expect<A>(
    { type, topic, key, meta }: Expected,
    read: (event: PresenceTest.Recorded) => Option.Option<A>
  ): Effect.Effect<A, UnmetExpectation> {
    const take = (): Option.Option<A> => {
      for (const note of this.notes) {
        const { event, taken } = note
        if (taken || event.type !== type || event.topic !== topic || event.key !== key) continue
        const found = read(event)
        if (Option.isNone(found)) continue
        note.taken = true
        return found
      }
      return Option.none()
    }
    return Effect.async((resume) => {
      const look = (): void => {
        const found = take()
        if (Option.isNone(found)) return
        stop()
        resume(Effect.succeed(found.value))
      }
      const stop = (): void => {
        clearTimeout(timer)
        this.waiting.delete(look)
      }
      const timer = setTimeout(() => {
        stop()
        // Of all topics: perhaps it was told on another.
        resume(Effect.fail(this.unmet(say(expected, type, topic, key, meta))))
      }, this.patience)
      this.waiting.add(look)
      look()
      return Effect.sync(stop)
    })
  }

  private unmet(what: string, topic?: string): UnmetExpectation {
    const said = (taken: boolean): ReadonlyArray<string> =>
      this.of(topic)
        .filter((note) => note.taken === taken)
        .map(({ event }) =>
          say(told, event.type, event.topic, event.key, event.type === "leave" ? undefined : event.meta)
        )
    return new UnmetExpectation({ expected: what, left: said(false), taken: said(true) })
  }
}

type Verbs = { readonly [type in PresenceEvent["type"]]: string }

const expected: Verbs = { join: "to join", leave: "to leave", update: "to update its meta on" }

const told: Verbs = { join: "joined", leave: "left", update: "updated its meta on" }

const say = (verbs: Verbs, type: PresenceEvent["type"], topic: string, key: string, meta: unknown): string =>
  `${quote(key)} ${verbs[type]} ${quote(topic)}${meta === undefined ? "" : ` with ${quote(meta)}`}`

const quote = (value: unknown): string => (isJson(value) ? JSON.stringify(value) : String(value))

/** All that can run does, before what comes next. */
const othersRun = Effect.async<void>((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 0)
  return Effect.sync(() => clearTimeout(timer))
})
