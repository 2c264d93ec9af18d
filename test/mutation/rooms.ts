/**
 * The rules whose tests are tried by mutation, by their room in `src`, and the suites that are to notice.
 *
 * Suites without a server, a process or a wait, as each of them runs very often.
 */

export interface MutatedRoom {
  readonly name: string
  /** Relative to the package, as the suites are. */
  readonly sources: ReadonlyArray<string>
  readonly suites: ReadonlyArray<string>
}

const sources = (folder: string, ...names: ReadonlyArray<string>) => names.map((name) => `src/${folder}/${name}.ts`)
const suites = (folder: string, ...names: ReadonlyArray<string>) =>
  names.map((name) => `test/${folder}/${name}.test.ts`)

export const ROOMS: ReadonlyArray<MutatedRoom> = [
  {
    name: "internal/state",
    sources: sources("internal/state", "registry", "roster", "deadlines", "keyIndex"),
    suites: suites("internal/state", "registry", "roster", "deadlines", "keyIndex")
  },
  { name: "web/netDiff", sources: sources("web", "netDiff"), suites: suites("web", "netDiff") },
  {
    name: "socket/protocol",
    sources: sources("socket/protocol", "codec", "session", "sessionStep", "stateJson"),
    suites: [
      ...suites("socket/protocol", "codec", "stateJson"),
      ...suites("socket/protocol/session", "events", "hostile", "joining", "phoenix", "supabase", "tokens")
    ]
  },
  {
    name: "redis/protocol",
    sources: sources("redis/protocol", "values", "decoding", "calls", "pages"),
    suites: suites("redis/protocol", "values", "decoding", "calls", "pages")
  },
  {
    name: "redis/write",
    sources: sources("redis/write", "outbox", "lease", "answeredTime", "partition", "others"),
    suites: suites("redis/write", "outbox", "lease", "partition", "partitionEvents")
  },
  {
    name: "redis/read",
    sources: sources("redis/read", "topicCopy", "snapshotDraft", "copies", "cache"),
    suites: suites("redis/read", "topicCopy", "copies", "copiesTell", "cache")
  }
]
