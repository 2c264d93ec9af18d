/**
 * Presence for tests: the real thing in process, with everything it tells recorded, and assertions on that.
 *
 * All topics are recorded from the beginning, without subscribing to them and without changing what they would do
 * otherwise. It needs no test runner and works with `TestClock` and without it.
 *
 * @since 0.1.0
 */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import { Channels } from "../Channels.js"
import { equal, isJson } from "../internal/input/json.js"
import { Presence } from "../Presence.js"
import type { PresenceEvent } from "../PresenceEvent.js"

/**
 * Recorded presence. Provide its layer where the application takes `Presence` (and `Channels`), then say what should
 * have been told.
 *
 * An assertion takes the oldest event that matches and that none has taken before; `none` says that nothing is left.
 *
 * ```ts
 * import { Effect, TestClock, TestContext } from "effect"
 * import { Presence } from "effect-presence"
 * import { PresenceTest } from "effect-presence/testing"
 *
 * const test = Effect.gen(function*() {
 *   const presence = yield* Presence
 *   const expected = yield* PresenceTest
 *
 *   yield* presence.track("room:1", "alice", { role: "viewer" })
 *   yield* expected.joined("room:1", "alice", { role: "viewer" })
 *
 *   yield* TestClock.adjust("30 seconds") // nobody refreshed
 *   yield* expected.left("room:1", "alice")
 *   yield* expected.none()
 * }).pipe(Effect.scoped, Effect.provide(PresenceTest.layer()), Effect.provide(TestContext.TestContext))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class PresenceTest extends Context.Tag("effect-presence/testing/PresenceTest")<
  PresenceTest,
  PresenceTest.Service
>() {
  /**
   * Presence and its channels in this process, and the recorder.
   *
   * @since 0.1.0
   * @category layers
   */
  static layer(options?: PresenceTest.Options): Layer.Layer<PresenceTest | Presence | Channels> {
    return Layer.suspend(() => {
      const recorder = new Recorder(Duration.toMillis(options?.patience ?? "1 second"))
      const recorded = Presence.layerWithoutChannels(options).pipe(
        Layer.provide(
          Layer.effect(
            Channels,
            Effect.map(Channels, (channels) => recorder.listenTo(channels))
          )
        )
      )
      return Layer.merge(recorded, Layer.succeed(PresenceTest, recorder.service)).pipe(
        Layer.provideMerge(Channels.layer(options))
      )
    })
  }
}

/**
 * The types of the recorder.
 *
 * @since 0.1.0
 */
export declare namespace PresenceTest {
  /**
   * The options of presence, and how patient assertions are.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Options extends Presence.Options {
    /**
     * Real time that an assertion waits for its event, whatever the `TestClock` says, so that what other fibers or
     * sockets do need not be waited for. Default 1 second; it only passes when the assertion fails.
     */
    readonly patience?: Duration.DurationInput | undefined
  }

  /**
   * An event with its topic.
   *
   * @since 0.1.0
   * @category models
   */
  export type Recorded = PresenceEvent & { readonly topic: string }

  /**
   * The assertions.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /** A connection of the key joined. With a meta: with an equal one, as JSON. Without: with any. */
    readonly joined: (topic: string, key: string, meta?: unknown) => Effect.Effect<Recorded, UnmetExpectation>
    /** The key's last connection left. */
    readonly left: (topic: string, key: string) => Effect.Effect<Recorded, UnmetExpectation>
    /** A meta of the key was replaced, by an equal one if it is given. */
    readonly updated: (topic: string, key: string, meta?: unknown) => Effect.Effect<Recorded, UnmetExpectation>
    /** Nothing was told that no assertion took: on the topic, or at all. It lets others run first, but does not wait. */
    readonly none: (topic?: string) => Effect.Effect<void, UnmetExpectation>
    /** Takes everything there is, unseen: what the test only prepares. */
    readonly forget: Effect.Effect<void>
    /** Everything told so far, in order: on the topic, or at all. It takes nothing. */
    readonly recorded: (topic?: string) => Effect.Effect<ReadonlyArray<Recorded>>
  }
}

/**
 * What was expected was not told, or something was told that should not have been. The message lists what was.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnmetExpectation extends Schema.TaggedError<UnmetExpectation>("effect-presence/testing/UnmetExpectation")(
  "UnmetExpectation",
  {
    expected: Schema.String,
    /** Told and taken by no assertion. */
    left: Schema.Array(Schema.String),
    /** Told and taken by assertions before. */
    taken: Schema.Array(Schema.String)
  }
) {
  override get message(): string {
    return [
      `expected ${this.expected}`,
      ...listed("told and not yet asserted", this.left),
      ...listed("asserted before", this.taken)
    ].join("\n")
  }
}

/** The last lines that a message shows. */
const SHOWN = 20

const listed = (title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (lines.length === 0) return [`  ${title}: nothing`]
  const more = lines.length - SHOWN
  return [
    `  ${title}:`,
    ...(more > 0 ? [`    … ${more} before`] : []),
    ...lines.slice(-SHOWN).map((line) => `    ${line}`)
  ]
}

interface Note {
  readonly event: PresenceTest.Recorded
  taken: boolean
}

class Recorder {
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
    joined: (topic, key, meta) => this.expect("join", topic, key, meta),
    left: (topic, key) => this.expect("leave", topic, key),
    updated: (topic, key, meta) => this.expect("update", topic, key, meta),
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
    recorded: (topic) => Effect.sync(() => this.of(topic).map((note) => note.event))
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

  private expect(
    type: PresenceEvent["type"],
    topic: string,
    key: string,
    meta?: unknown
  ): Effect.Effect<PresenceTest.Recorded, UnmetExpectation> {
    const take = (): PresenceTest.Recorded | undefined => {
      const note = this.notes.find(
        ({ event, taken }) =>
          !taken &&
          event.type === type &&
          event.topic === topic &&
          event.key === key &&
          (meta === undefined || event.type === "leave" || (isJson(meta) && equal(event.meta, meta)))
      )
      if (note !== undefined) note.taken = true
      return note?.event
    }
    return Effect.async((resume) => {
      const look = (): void => {
        const event = take()
        if (event === undefined) return
        stop()
        resume(Effect.succeed(event))
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
