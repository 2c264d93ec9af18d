/** What the model test does to presence: commands and settings, by chance. */
import fc from "fast-check"

export const topics = ["lobby", "room:1", "__proto__"] as const
export const keys = ["alice", "bob", "constructor", "😀"] as const
export const metas = [{}, { a: 1, b: [2] }, { b: [2], a: 1 }, "away", null] as const

export type Command =
  | { readonly do: "nothing" }
  | {
      readonly do: "track"
      readonly topic: number
      readonly key: number
      readonly meta: number
      readonly scope: number
      readonly ttl: number
      readonly delay: number
    }
  | { readonly do: "close"; readonly scope: number }
  | { readonly do: "release" | "refresh"; readonly lease: number }
  | { readonly do: "update"; readonly lease: number; readonly meta: number; readonly function: boolean }
  | { readonly do: "evict"; readonly topic: number; readonly key: number }
  | { readonly do: "pass"; readonly seconds: number }
  | { readonly do: "sweep" }
  | { readonly do: "follow" | "listen"; readonly topic: number }
  | { readonly do: "read" | "resume" | "unfollow" | "hear" | "unlisten"; readonly who: number }

export interface Settings {
  readonly sweeps: boolean
  readonly bufferSize: number
}

const index = (length: number) => fc.nat({ max: length - 1 })
const some = fc.nat({ max: 1_000 })

/** How often each command comes, the first the simplest. */
const command: fc.Arbitrary<Command> = fc.oneof(
  { withCrossShrink: true },
  { weight: 1, arbitrary: fc.constant<Command>({ do: "nothing" }) },
  {
    weight: 26,
    arbitrary: fc.record({
      do: fc.constant("track" as const),
      topic: index(topics.length),
      key: index(keys.length),
      meta: index(metas.length),
      scope: index(4),
      ttl: fc.constantFrom(3, 2, 1, 8, Number.POSITIVE_INFINITY),
      delay: fc.constantFrom(0, 0, 2, 6)
    })
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("close" as const), scope: index(4) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom("release" as const, "refresh" as const), lease: some }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("refresh" as const), lease: some }) },
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant("update" as const),
      lease: some,
      meta: index(metas.length),
      function: fc.boolean()
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("evict" as const), topic: index(topics.length), key: index(keys.length) })
  },
  // Few, because the TestClock waits for real timers whenever time passes.
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), seconds: fc.constantFrom(2, 1, 4) }) },
  { weight: 4, arbitrary: fc.constant<Command>({ do: "sweep" }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constantFrom("follow" as const, "listen" as const), topic: index(topics.length) })
  },
  {
    weight: 17,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "read" as const,
        "read" as const,
        "hear" as const,
        "hear" as const,
        "resume" as const,
        "unfollow" as const,
        "unlisten" as const
      ),
      who: some
    })
  }
)

export const run = fc.record({
  settings: fc.record<Settings>({
    sweeps: fc.constantFrom(false, false, true),
    bufferSize: fc.constantFrom(4_096, 1, 3, 10)
  }),
  commands: fc.array(command, { minLength: 100, maxLength: 100 }).map(
    (commands): ReadonlyArray<Command> =>
      Object.assign(commands, {
        [fc.toStringMethod]: () => fc.stringify(commands.filter((command) => command.do !== "nothing"))
      })
  )
})
