/**
 * Which room may know which: the arrows between the folders of the sources run one way. A room is a folder; its files
 * know each other. Only types may be known where `types` says so.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

interface Room {
  /** The rooms that it may know, beside itself. `.` are the public words and services. */
  readonly knows: ReadonlyArray<string>
  /** Rooms of which it may know types only. */
  readonly types?: ReadonlyArray<string>
  /** Packages that it may not know. */
  readonly without?: RegExp
}

const ROOMS: Readonly<Record<string, Room>> = {
  ".": { knows: ["internal", "internal/feed", "internal/input"] },
  internal: { knows: [".", "internal/state", "internal/leases", "internal/feed", "internal/input"] },
  "internal/state": { knows: ["internal/input"], without: /^(effect|@effect|node:|ws|ioredis)/ },
  "internal/input": { knows: ["."], types: ["internal/state"] },
  "internal/leases": { knows: [".", "internal", "internal/state", "internal/input"] },
  "internal/feed": { knows: [".", "internal", "internal/input"] },
  web: { knows: [".", "internal", "internal/input"] },
  http: { knows: [".", "web", "internal", "internal/input", "internal/leases", "internal/feed"] },
  socket: {
    knows: [
      ".",
      "web",
      "internal",
      "internal/input",
      "internal/leases",
      "socket/protocol",
      "socket/connection",
      "socket/longpoll",
      "socket/topic"
    ]
  },
  "socket/protocol": { knows: [".", "internal/input"], without: /^(effect|@effect|node:|ws)/ },
  "socket/topic": { knows: [".", "web", "internal/input", "internal/feed", "socket/protocol"] },
  "socket/longpoll": { knows: ["web"] },
  "socket/connection": {
    knows: [".", "web", "internal/input", "internal/leases", "socket/protocol", "socket/topic"],
    types: ["socket"]
  },
  redis: {
    knows: [
      ".",
      "internal",
      "internal/input",
      "internal/leases",
      "internal/feed",
      "redis/client",
      "redis/protocol",
      "redis/write",
      "redis/read"
    ]
  },
  "redis/client": { knows: [".", "redis"], types: ["redis/protocol"] },
  "redis/protocol": { knows: [".", "internal/input", "redis/protocol/scripts"], types: ["redis/client"] },
  "redis/write": {
    knows: [".", "redis", "redis/client", "redis/protocol"],
    types: ["internal/leases", "internal/input"]
  },
  // Of the writing side it knows what the service hands it, as a type.
  "redis/read": {
    knows: [".", "redis", "redis/client", "redis/protocol", "internal/state", "internal/feed", "internal/input"],
    types: ["redis/write"]
  },
  // What a page bundles knows types, and words that know types.
  state: { knows: ["."], without: /./ },
  // For browsers: the rules of what is let in, and nothing that Node or a framework has.
  client: { knows: ["internal/input"], without: /^(?!phoenix$)/ },
  react: { knows: ["client"], without: /^(?!react$)/ },
  node: { knows: [".", "web", "http", "socket", "redis", "internal/input"], types: ["redis/client"] },
  rpc: { knows: [".", "web", "internal/input"], without: /^(node:|ws|@effect\/platform-node)/ },
  server: { knows: [".", "web", "http", "socket", "redis", "internal"] },
  testing: { knows: [".", "internal", "internal/input", "internal/leases", "internal/feed"] }
}

const src = fileURLToPath(new URL("../src", import.meta.url))

interface Import {
  readonly room: string
  readonly file: string
  /** A room, or a package. */
  readonly known: string
  readonly isPackage: boolean
  readonly isType: boolean
}

const imports: ReadonlyArray<Import> = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => {
    const room = dirname(file)
    const text = readFileSync(join(src, file), "utf8").replace(/\/\*[\s\S]*?\*\//g, "")
    return [...text.matchAll(/^(?:import|export)\s+(type\s)?[^"]*?from "([^"]+)"/gm)].map(
      ([, type, from = ""]): Import => {
        const isPackage = !from.startsWith(".")
        const known = isPackage ? from : dirname(relative(src, resolve(src, room, from)))
        return { room, file, known, isPackage, isType: type !== undefined }
      }
    )
  })

describe("a room knows only the rooms it may", () => {
  it("and each folder of the sources is a room", () => {
    expect(new Set(imports.map(({ room }) => room))).toEqual(new Set(Object.keys(ROOMS)))
  })

  it.each(Object.keys(ROOMS).filter((room) => room !== "."))(
    "%s says what it is for, what comes in and what stays out",
    (room) => {
      const text = readFileSync(join(src, room, "README.md"), "utf8")
      expect(text).toMatch(/^# .+\n\n.+\n\n\*\*Comes in:\*\* .+\n\n\*\*Stays out:\*\* .+\n$/)
      // And every file that it names is there.
      for (const [, name = ""] of text.matchAll(/`([\w/]+\.ts)`/g)) expect(existsSync(join(src, room, name))).toBe(true)
    }
  )

  it.each(Object.entries(ROOMS))("%s", (room, { knows, types = [], without }) => {
    const wrong = imports
      .filter((known) => known.room === room)
      .filter(({ known, isPackage, isType }) => {
        if (isPackage) return without?.test(known) ?? false
        return known !== room && !knows.includes(known) && !(isType && types.includes(known))
      })
      .map(({ file, known, isType }) => `${file} knows ${known}${isType ? ", as a type" : ""}`)
    expect(wrong).toEqual([])
  })
})

it("nobody waits at a semaphore of Effect's: each release wakes all who wait, and they hold more each time", () => {
  const waiting = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .filter((file) => /\b(withPermits|[mM]akeSemaphore|SynchronizedRef)\b/.test(readFileSync(join(src, file), "utf8")))
  // `web/oneByOne.ts` is there for that.
  expect(waiting).toEqual([])
})
