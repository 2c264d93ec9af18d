/** Which pages may talk to a server, as it is found out from a request's headers. */
import { HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { refusal } from "../../src/web/originList.js"
import { make } from "../../src/web/origins.js"
import { ask, serve } from "../support/http.js"

type Headers = Record<string, string>

/** Whether a server that listens there lets it in. */
const judge = (hostname: string, allowed: ReadonlyArray<string> | undefined, headers: Headers) =>
  make(allowed).pipe(
    Effect.map((isAllowed) => isAllowed({ headers } as unknown as Parameters<typeof isAllowed>[0])),
    Effect.provide(
      Layer.succeed(HttpServer.HttpServer, {
        address: { _tag: "TcpAddress", hostname, port: 1 }
      } as unknown as HttpServer.HttpServer)
    )
  )

describe("a list of origins", () => {
  const allowed = [
    "https://*.example.com",
    "http://*.dev.example:8080",
    "https://whole.example",
    "capacitor://localhost"
  ]

  it.effect.each([
    ["https://a.example.com", true],
    ["https://a.b.example.com", true],
    ["https://example.com", false],
    ["https://evilexample.com", false],
    ["http://a.example.com", false],
    ["https://a.example.com:8443", false],
    ["https://a.example.com.evil.example", false],
    ["https://evil.example/.example.com", false],
    ["https://evil.example?.example.com", false],
    ["https://user@a.example.com", false],
    ["https://A.example.com", false],
    ["https://.example.com", false],
    ["http://x.dev.example:8080", true],
    ["http://x.dev.example", false],
    ["https://whole.example", true],
    ["capacitor://localhost", true],
    ["ionic://localhost", false],
    ["null", false]
  ] as const)("and %s", ([origin, allows]) =>
    Effect.gen(function* () {
      expect(yield* judge("0.0.0.0", allowed, { origin, host: "x" })).toBe(allows)
    })
  )

  it.effect("pages from files and without an origin, where they are listed", () =>
    Effect.gen(function* () {
      for (const origin of ["file://", "null"]) {
        expect(yield* judge("0.0.0.0", [origin], { origin, host: "x" })).toBe(true)
        expect(yield* judge("0.0.0.0", ["https://example.com"], { origin, host: "x" })).toBe(false)
        expect(yield* judge("127.0.0.1", undefined, { origin, host: "127.0.0.1" })).toBe(false)
      }
    })
  )

  it("takes what browsers send, of any scheme, and says why it takes nothing else", () => {
    for (const entry of [
      "https://example.com",
      "http://localhost:3000",
      "http://[::1]:3000",
      "https://*.example.com",
      "capacitor://localhost",
      "ionic://localhost",
      "tauri://localhost",
      "https://tauri.localhost",
      "chrome-extension://abcdefghijklmnop",
      "moz-extension://0b3c4f6e-1111-4a3c-9c1b-2d7e5a1f0a11",
      "app://-"
    ]) {
      expect([entry, refusal(entry)]).toEqual([entry, undefined])
    }
    expect(refusal("https://example.com/")).toMatch(/is no origin/)
    expect(refusal("https://EXAMPLE.com")).toBe("never matches: browsers send https://example.com")
    expect(refusal("https://example.com:443")).toBe("never matches: browsers send https://example.com")
    for (const entry of ["*", "", "example.com", "https://", "https://a.*.example.com", "https://*", "app://*.x"]) {
      expect([entry, refusal(entry)]).toEqual([entry, expect.any(String)])
    }
  })

  it.effect("that holds what can never match is a defect that names it", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(make(["https://example.com/"]))
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain(
        'the option allowedOrigins is "https://example.com/", which is no origin'
      )
    })
  )
})

describe("without a list, and without the header", () => {
  it.effect.each([
    ["127.0.0.1", "localhost:4000", true],
    ["127.0.0.1", "127.0.0.1", true],
    ["::1", "[::1]:4000", true],
    ["127.0.0.1", "evil.example", false],
    ["127.0.0.1", "localhost.evil.example:4000", false],
    ["0.0.0.0", "anything.example", true]
  ] as const)("a server on %s lets in a request to %s: %s", ([hostname, host, allows]) =>
    Effect.gen(function* () {
      expect(yield* judge(hostname, undefined, { host })).toBe(allows)
      expect(yield* judge(hostname, ["https://example.com"], { host })).toBe(true)
    })
  )

  it.effect("a page of another site that asks as an image, a frame or a link does is none of this machine's", () =>
    Effect.gen(function* () {
      for (const site of ["cross-site", "same-site"]) {
        const headers = { host: "localhost", "sec-fetch-site": site }
        for (const allowed of [undefined, ["https://example.com"]]) {
          expect([site, yield* judge("127.0.0.1", allowed, headers)]).toEqual([site, false])
          expect([site, yield* judge("0.0.0.0", allowed, headers)]).toEqual([site, false])
        }
        // Who says which page it is goes by that.
        const origin = "http://localhost:3000"
        expect(yield* judge("127.0.0.1", undefined, { ...headers, origin })).toBe(true)
        expect(yield* judge("127.0.0.1", [origin], { ...headers, origin })).toBe(true)
      }
      // A page of its own, and an address that somebody has typed.
      for (const site of ["same-origin", "none"]) {
        expect(yield* judge("127.0.0.1", undefined, { host: "localhost", "sec-fetch-site": site })).toBe(true)
        expect(yield* judge("0.0.0.0", ["https://example.com"], { host: "x", "sec-fetch-site": site })).toBe(true)
      }
    })
  )

  it.scopedLive("a page whose name was made to lead to this machine reads nothing", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const { status, json } = yield* ask(port, "/presence/room", { headers: { host: "evil.example" } })
      expect(status).toBe(403)
      expect(json).toEqual({
        error: "the host evil.example is not this machine's; who may connect by another name is said by allowedOrigins"
      })
    })
  )
})
