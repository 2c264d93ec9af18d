import { createServer } from "node:http"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { allowAll, createPresence, InvalidOption, jwt, type NodePresence } from "../../src/node/index.js"

/** As they come to somebody who has no types. */
const BAD: ReadonlyArray<readonly [name: string, value: unknown]> = [
  ["null", null],
  ["a number", -1],
  ["a text", ""],
  ["a list", [-1]],
  ["a function", () => {}],
  ["a symbol", Symbol("bad")],
  ["an object without a prototype", Object.assign(Object.create(null), { bad: 1 })]
]

let presence: NodePresence
beforeAll(async () => {
  presence = await createPresence()
})
afterAll(() => presence.close())

const secret = "s".repeat(32)
const attach = async (options: object) => {
  const attached = await presence.attach(createServer(), options as never)
  await attached.close()
}

/** Each with the name that the error says, what takes the value, and which values are good there. */
const CALLS: ReadonlyArray<readonly [option: string, call: (value: never) => unknown, good?: string]> = [
  ["", (value) => createPresence(value)],
  ["ttl", (ttl) => createPresence({ ttl })],
  ["sweepInterval", (sweepInterval) => createPresence({ sweepInterval })],
  ["bufferSize", (bufferSize) => createPresence({ bufferSize })],
  ["limits", (limits) => createPresence({ limits })],
  ["keyIndex", (keyIndex) => createPresence({ keyIndex })],
  ["redis", (redis) => createPresence({ redis })],
  ["", (options) => presence.track("room", "alice", {}, options)],
  ["ttl", (ttl) => presence.track("room", "alice", {}, { ttl })],
  ["leaveDelay", (leaveDelay) => presence.track("room", "alice", {}, { leaveDelay })],
  ["topics", (topics) => presence.counts(topics), "a list"],
  ["", (options) => presence.changes("room", options)],
  ["signal", (signal) => presence.changes("room", { signal })],
  ["since", (since) => presence.changes("room", { since })],
  ["since", (epoch) => presence.changes("room", { since: { epoch, version: 1 } }), "a text"],
  ["since", (version) => presence.changes("room", { since: { epoch: "e", version } }), "a number"],
  ["", (options) => presence.live("room", options)],
  ["signal", (signal) => presence.live("room", { signal })],
  ["", (options) => presence.events("room", options)],
  ["signal", (signal) => presence.events("room", { signal })],
  ["server", (server) => presence.attach(server, { authorize: allowAll })],
  ["", (options) => attach(options)],
  ["authorize", (authorize) => attach({ authorize }), "a function"],
  ["allowedOrigins", (allowedOrigins) => attach({ authorize: allowAll, allowedOrigins })],
  ["allowedOrigins", (origin) => attach({ authorize: allowAll, allowedOrigins: [origin] })],
  ["authorizeTimeout", (authorizeTimeout) => attach({ authorize: allowAll, authorizeTimeout })],
  ["diffInterval", (diffInterval) => attach({ authorize: allowAll, diffInterval })],
  ["drain", (drain) => attach({ authorize: allowAll, drain })],
  ["limits", (limits) => attach({ authorize: allowAll, limits })],
  ["limits.streams", (streams) => attach({ authorize: allowAll, limits: { streams } })],
  ["limits.frameBytes", (frameBytes) => attach({ authorize: allowAll, limits: { frameBytes } })],
  ["limits.idleTimeout", (idleTimeout) => attach({ authorize: allowAll, limits: { idleTimeout } })],
  ["paths", (paths) => attach({ authorize: allowAll, paths })],
  ["paths.http", (http) => attach({ authorize: allowAll, paths: { http } })],
  ["", (options) => presence.fetch(options)],
  ["path", (path) => presence.fetch({ authorize: allowAll, path })],
  ["request", (request) => presence.fetch({ authorize: allowAll })(request)],
  ["", (options) => jwt(options)],
  ["secret", (secret) => jwt({ secret })],
  ["jwksUrl", (jwksUrl) => jwt({ jwksUrl })],
  ["publicKey", (publicKey) => jwt({ publicKey })],
  ["algorithms", (algorithms) => jwt({ secret, algorithms })],
  ["issuer", (issuer) => jwt({ secret, issuer })],
  ["audience", (audience) => jwt({ secret, audience })],
  ["clockTolerance", (clockTolerance) => jwt({ secret, clockTolerance })],
  ["keyClaim", (keyClaim) => jwt({ secret, keyClaim })],
  ["topics", (topics) => jwt({ secret, topics })]
]

/** What is named by words alone is the same to all calls: nobody is ever under a name that cannot be. */
const ABOUT: ReadonlyArray<readonly [what: "topic" | "key", call: (name: never) => unknown]> = [
  ["topic", (topic) => presence.track(topic, "alice")],
  ["key", (key) => presence.track("room", key)],
  ["topic", (topic) => presence.list(topic)],
  ["topic", (topic) => presence.get(topic, "alice")],
  ["key", (key) => presence.get("room", key)],
  ["topic", (topic) => presence.count(topic)],
  ["topic", (topic) => presence.counts(["room", topic])],
  ["topic", (topic) => presence.snapshot(topic)],
  ["key", (key) => presence.topicsOf(key)],
  ["topic", (topic) => presence.evict(topic, "alice")],
  ["key", (key) => presence.evict("room", key)],
  ["key", (key) => presence.evictEverywhere(key)],
  ["topic", (topic) => presence.changes(topic)],
  ["topic", (topic) => presence.live(topic)],
  ["topic", (topic) => presence.events(topic)]
]

describe("each call refuses a name that cannot be, and says what was given", () => {
  it.each(ABOUT.map(([what, call]) => ({ what, call })))("the $what of $call", async ({ what, call }) => {
    const said = (name: unknown) =>
      (async () => call(name as never))().then(
        () => "it was taken",
        (error: unknown) => String(error)
      )
    const invalid = `Invalid${what === "topic" ? "Topic" : "Key"}: invalid ${what} `
    expect(await said(undefined)).toContain(`${invalid}"undefined"`)
    expect(await said(undefined)).toMatch(/ is no string but undefined$/)
    for (const [name, shown] of [
      [null, "null"],
      [42, "42"],
      [{ id: 1 }, "an object"],
      [["room"], "a list"],
      ["", ""]
    ] as const) {
      expect(await said(name)).toContain(`${invalid}"${shown}"`)
    }
    expect(await said("x".repeat(256))).toContain(`over the limit ${what}Bytes: 256, at most 255`)
  })
})

describe("each call answers what makes no sense with the option and what is allowed", () => {
  it.each(CALLS.map(([option, call, good]) => ({ option, call, good })))(
    "$option: $call",
    async ({ option, call, good }) => {
      for (const [name, value] of BAD) {
        if (name === good) continue
        const refused = await (async () => call(value as never))().then(
          () => `${name} was taken`,
          (error: unknown) => error
        )
        expect(refused, name).toBeInstanceOf(InvalidOption)
        if (option !== "") expect((refused as InvalidOption).option.split(".")[0], name).toBe(option.split(".")[0])
        expect((refused as InvalidOption).message, name).toMatch(/^the option [\w.]+ is .+, but must be ./)
      }
      expect(await presence.topics()).toEqual([])
    }
  )

  it("names what there is, each once", async () => {
    const said = async (call: () => unknown) =>
      String(
        await (async () => call())().then(
          () => "it was taken",
          (error: unknown) => error
        )
      )
    const ofAttach = await said(() => attach({ authorize: allowAll, path: "/x" }))
    expect(ofAttach).toContain("there are paths, drain, authorize, ")
    const ofFetch = await said(() => presence.fetch({ authorize: allowAll, paths: {} } as never))
    expect(ofFetch).toContain("there are path, authorize, ")
    const [, limits = ""] =
      /there are (.*)/.exec(await said(() => attach({ authorize: allowAll, limits: { a: 1 } }))) ?? []
    const names = limits.split(", ")
    expect(names).toContain("idleTimeout")
    expect(new Set(names).size).toBe(names.length)
  })

  it("also what is misspelt", async () => {
    expect(() => jwt({ secret, audiance: "me" } as never)).toThrow("the option audiance is ")
    expect(() => presence.live("room", { abort: new AbortController().signal } as never)).toThrow(
      "the option abort is "
    )
    expect(() => presence.changes("room", { epoch: "e" } as never)).toThrow("there are signal, since")
  })

  it("below redis it says so too", async () => {
    const url = "redis://127.0.0.1:1"
    for (const prefix of [5, null, Symbol("bad"), {}]) {
      await expect(createPresence({ redis: { url, prefix: prefix as never } })).rejects.toThrow("the prefix ")
    }
    for (const whenUnavailable of [1n, Object.create(null)]) {
      await expect(createPresence({ redis: { url, whenUnavailable } })).rejects.toThrow(
        /whenUnavailable is .+, and may be/
      )
    }
    await expect(createPresence({ redis: { url, lease: null as never } })).rejects.toThrow("the option lease is null")
  })
})
