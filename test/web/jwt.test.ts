/** `Authorize.jwt` with keys of somebody else's: one public key, or those that a server lists. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it, vi } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Logger, Option, TestClock } from "effect"
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose"
import { Authorize } from "../../src/http/index.js"
import { InvalidOption } from "../../src/index.js"
import { serve } from "../server/support/server.js"
import { connect, phoenixUrl } from "../socket/support/client.js"
import { ask } from "../support/http.js"

const HTTP = {} as Authorize.Attempt["request"]

/** What somebody with a token is told who reads a topic. */
const reads = (authorize: Authorize.Authorize, token: string, topic = "room") =>
  authorize({
    route: "http",
    on: "read",
    topic,
    request: { ...HTTP, headers: {} } as Authorize.Attempt["request"],
    payload: { access_token: token, key: "me" }
  }).pipe(
    Effect.match({ onFailure: ({ status, reason }) => `${status} ${reason}`, onSuccess: ({ key }) => key ?? "nobody" })
  )

interface Signer {
  readonly sign: (claims: JWTPayload, header?: { readonly kid?: string }) => Effect.Effect<string>
  readonly pem: string
  readonly jwk: object
}

const signer = (alg: Authorize.Algorithm, kid?: string): Effect.Effect<Signer> =>
  Effect.promise(async () => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
    const named = kid === undefined ? {} : { kid }
    return {
      sign: (claims, header = named) =>
        Effect.promise(() => new SignJWT(claims).setProtectedHeader({ alg, ...header }).sign(privateKey)),
      pem: await exportSPKI(publicKey),
      jwk: { ...(await exportJWK(publicKey)), ...named, use: "sig" }
    }
  })

const alice = { sub: "alice", topics: ["room"] }

interface Listed {
  /** `undefined`: it does not answer properly; "hangs": it does not at all. */
  keys: ReadonlyArray<object> | "hangs" | undefined
  asked: number
  /** Answers whoever hangs, without a key. */
  waiting: () => void
}

/** A server that lists keys until the scope closes. */
const jwks = Effect.gen(function* () {
  const state: Listed = { keys: [], asked: 0, waiting: () => {} }
  const server = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((_, response) => {
        state.asked++
        if (state.keys === "hangs") {
          state.waiting = () => response.end(JSON.stringify({ keys: [] }))
          return
        }
        response.writeHead(state.keys === undefined ? 500 : 200, { connection: "close" })
        response.end(JSON.stringify({ keys: state.keys ?? [] }))
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)).closeAllConnections())
  )
  const { port } = server.address() as AddressInfo
  return Object.assign(state, { url: `http://127.0.0.1:${port}/jwks.json` })
})

describe("a public key", () => {
  for (const alg of ["RS256", "ES256", "EdDSA"] as const) {
    it.effect(`checks what is signed with ${alg}, and no other key's`, () =>
      Effect.gen(function* () {
        const [one, other] = yield* Effect.all([signer(alg), signer(alg)])
        const authorize = Authorize.jwt({ publicKey: one.pem })
        expect(yield* reads(authorize, yield* one.sign(alice))).toBe("alice")
        expect(yield* reads(authorize, yield* other.sign(alice))).toBe("401 unauthorized")
        // As an environment holds it.
        const inOneLine = Authorize.jwt({ publicKey: one.pem.replaceAll("\n", "\\n"), algorithms: [alg] })
        expect(yield* reads(inOneLine, yield* one.sign(alice))).toBe("alice")
      })
    )
  }

  it.effect("is no secret: HS256 signed with it is refused, whatever form of it was signed with", () =>
    Effect.gen(function* () {
      const { pem, jwk } = yield* signer("RS256", "1")
      const listed = yield* jwks
      listed.keys = [jwk]
      for (const secret of [pem, pem.trim(), JSON.stringify(jwk)]) {
        const forged = yield* Effect.promise(() =>
          new SignJWT(alice).setProtectedHeader({ alg: "HS256", kid: "1" }).sign(new TextEncoder().encode(secret))
        )
        expect(yield* reads(Authorize.jwt({ publicKey: pem }), forged)).toBe("401 unauthorized")
        expect(yield* reads(Authorize.jwt({ jwksUrl: listed.url }), forged)).toBe("401 unauthorized")
        // It was a good one but for that.
        if (secret === pem) expect(yield* reads(Authorize.jwt({ secret }), forged)).toBe("alice")
      }
    }).pipe(Effect.scoped)
  )

  it.effect("lets nobody in whose token names no algorithm", () =>
    Effect.gen(function* () {
      const { pem, jwk } = yield* signer("ES256", "1")
      const listed = yield* jwks
      listed.keys = [jwk]
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
      for (const alg of ["none", "None", "NONE"]) {
        const unsigned = `${part({ alg, kid: "1" })}.${part(alice)}.`
        expect(yield* reads(Authorize.jwt({ publicKey: pem }), unsigned)).toBe("401 unauthorized")
        expect(yield* reads(Authorize.jwt({ jwksUrl: listed.url }), unsigned)).toBe("401 unauthorized")
        expect(yield* reads(Authorize.jwt({ secret: "x".repeat(32) }), unsigned)).toBe("401 unauthorized")
      }
    }).pipe(Effect.scoped)
  )
})

describe("keys that a server lists", () => {
  it.scoped("check tokens that name their key, or none, of any of the algorithms", () =>
    Effect.gen(function* () {
      const listed = yield* jwks
      const signers = yield* Effect.all([
        signer("RS256", "a"),
        signer("RS256", "b"),
        signer("ES256", "c"),
        signer("EdDSA", "d")
      ])
      listed.keys = signers.map(({ jwk }) => jwk)
      const authorize = Authorize.jwt({ jwksUrl: listed.url })
      for (const { sign } of signers) {
        expect(yield* reads(authorize, yield* sign(alice))).toBe("alice")
        expect(yield* reads(authorize, yield* sign(alice, {}))).toBe("alice")
      }
      expect(listed.asked).toBe(1)
      const only = Authorize.jwt({ jwksUrl: listed.url, algorithms: ["ES256"] })
      expect(
        yield* Effect.forEach(signers, ({ sign }) => Effect.flatMap(sign(alice), (jwt) => reads(only, jwt)))
      ).toEqual(["401 unauthorized", "401 unauthorized", "alice", "401 unauthorized"])
    })
  )

  it.scoped("rotate: a new one is picked up, one that is gone counts no more", () =>
    Effect.gen(function* () {
      const listed = yield* jwks
      const [old, next, unnamed] = yield* Effect.all([signer("ES256", "1"), signer("ES256", "2"), signer("RS256")])
      listed.keys = [old.jwk]
      const authorize = Authorize.jwt({ jwksUrl: listed.url })
      expect(yield* reads(authorize, yield* old.sign(alice))).toBe("alice")
      listed.keys = [old.jwk, next.jwk]
      yield* TestClock.adjust("5 seconds")
      expect(yield* reads(authorize, yield* next.sign(alice))).toBe("alice")
      expect(yield* reads(authorize, yield* old.sign(alice))).toBe("alice")
      listed.keys = [next.jwk, unnamed.jwk]
      yield* TestClock.adjust("10 minutes")
      expect(yield* reads(authorize, yield* old.sign(alice))).toBe("401 unauthorized")
      expect(yield* reads(authorize, yield* unnamed.sign(alice))).toBe("alice")
      // Another key under no name, or the same one.
      const renewed = yield* signer("RS256")
      listed.keys = [next.jwk, renewed.jwk]
      yield* TestClock.adjust("5 seconds")
      expect(yield* reads(authorize, yield* renewed.sign(alice))).toBe("alice")
    })
  )

  it.scoped("are asked for once in five seconds, whatever tokens come, and by one of those who wait", () =>
    Effect.gen(function* () {
      const listed = yield* jwks
      const [good, bad] = yield* Effect.all([signer("ES256", "1"), signer("ES256", "2")])
      listed.keys = [good.jwk]
      const authorize = Authorize.jwt({ jwksUrl: listed.url })
      const [token, forged] = yield* Effect.all([good.sign(alice), bad.sign(alice)])
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () => reads(authorize, token)),
        { concurrency: "unbounded" }
      )
      expect([new Set(answers), listed.asked]).toEqual([new Set(["alice"]), 1])
      for (let i = 0; i < 20; i++) expect(yield* reads(authorize, forged)).toBe("401 unauthorized")
      expect(listed.asked).toBe(1)
      yield* TestClock.adjust("5 seconds")
      for (let i = 0; i < 20; i++) expect(yield* reads(authorize, forged)).toBe("401 unauthorized")
      expect(listed.asked).toBe(2)
    })
  )

  it.scoped("are asked for by whoever is first, and are there for the others also if that one goes", () =>
    Effect.gen(function* () {
      const listed = yield* jwks
      const token = yield* Effect.flatMap(signer("ES256", "1"), ({ sign }) => sign(alice))
      listed.keys = "hangs"
      const authorize = Authorize.jwt({ jwksUrl: listed.url })
      const first = yield* Effect.fork(reads(authorize, token))
      yield* Effect.promise(() => vi.waitFor(() => expect(listed.asked).toBe(1), { timeout: 300_000, interval: 5 }))
      const others = yield* Effect.forEach(Array.from({ length: 5 }), () => Effect.fork(reads(authorize, token)))
      yield* Fiber.interrupt(first)
      listed.waiting()
      const answers = yield* Effect.forEach(others, Fiber.join)
      // They are told that it is of none of those keys.
      expect([new Set(answers), listed.asked]).toEqual([new Set(["401 unauthorized"]), 1])
    })
  )

  it.scoped("that cannot be read at the start let nobody in until they can, and one warning says so", () =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const listed = yield* jwks
      const { sign, jwk } = yield* signer("EdDSA", "1")
      const token = yield* sign(alice)
      listed.keys = undefined
      const authorize = Authorize.jwt({ jwksUrl: listed.url })
      yield* Effect.gen(function* () {
        for (let i = 0; i < 3; i++) {
          expect(yield* reads(authorize, token)).toBe("503 tokens cannot be checked at the moment")
          yield* TestClock.adjust("5 seconds")
        }
        listed.keys = [jwk]
        expect(yield* reads(authorize, token)).toBe("alice")
      }).pipe(
        Effect.provide(
          Logger.replace(
            Logger.defaultLogger,
            Logger.make(({ message }) => warnings.push(String(message)))
          )
        )
      )
      expect(warnings).toEqual([
        `the keys at ${listed.url} cannot be read, and no token can be checked until they can: Error: the answer has status 500`
      ])
    })
  )

  it.scoped("that nobody listens for are away too", () =>
    Effect.gen(function* () {
      const { sign } = yield* signer("EdDSA", "1")
      const gone = yield* Effect.scoped(Effect.map(jwks, ({ url }) => url))
      const token = yield* sign(alice)
      expect(yield* reads(Authorize.jwt({ jwksUrl: gone }), token)).toBe("503 tokens cannot be checked at the moment")
    })
  )

  it.scoped("that do not answer, having done so before, are waited for by nobody whose key is known", () =>
    Effect.gen(function* () {
      const listed = yield* jwks
      const { sign, jwk } = yield* signer("EdDSA", "1")
      const token = yield* sign(alice)
      listed.keys = [jwk]
      const authorize = Authorize.jwt({ jwksUrl: listed.url })
      expect(yield* reads(authorize, token)).toBe("alice")
      listed.keys = "hangs"
      yield* TestClock.adjust("10 minutes")
      const first = yield* Effect.fork(reads(authorize, token))
      yield* Effect.promise(() => vi.waitFor(() => expect(listed.asked).toBe(2), { timeout: 300_000, interval: 5 }))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(first)).toBe("alice")
      // From now on the question goes on beside.
      for (let asked = 3; asked < 6; asked++) {
        yield* TestClock.adjust("5 seconds")
        expect(yield* reads(authorize, token)).toBe("alice")
        yield* Effect.promise(() =>
          vi.waitFor(() => expect(listed.asked).toBe(asked), { timeout: 300_000, interval: 5 })
        )
        yield* TestClock.adjust("5 seconds")
      }
    })
  )

  it.scoped("that are away later: who is in stays, known keys count, and others' tokens do not get in", () =>
    Effect.gen(function* () {
      const listed = yield* jwks
      const [known, other] = yield* Effect.all([signer("RS256", "1"), signer("RS256", "2")])
      listed.keys = [known.jwk]
      const port = yield* serve({
        jwt: Option.some({ jwksUrl: listed.url, topics: ["room"] }),
        diffInterval: Duration.zero
      })
      const client = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
      const join = (ref: string, access_token: string) => {
        client.say(ref, ref, "room", "phx_join", { key: "me", access_token })
        return client.reply(ref)
      }
      expect(yield* join("1", yield* known.sign({ sub: "alice" }))).toMatchObject({ status: "ok" })
      listed.keys = undefined
      // Longer than keys are fresh; the client shows that it lives.
      for (let i = 0; i < 24; i++) {
        yield* TestClock.adjust("30 seconds")
        client.say(null, `beat ${i}`, "phoenix", "heartbeat", {})
        yield* client.reply(`beat ${i}`)
      }
      const late = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
      late.say("1", "1", "room", "phx_join", { key: "me", access_token: yield* other.sign({ sub: "bob" }) })
      expect(yield* late.reply("1")).toMatchObject({ status: "error", response: { reason: "unauthorized" } })
      late.say("2", "2", "room", "phx_join", { key: "me", access_token: yield* known.sign({ sub: "carol" }) })
      expect(yield* late.reply("2")).toMatchObject({ status: "ok" })
      const headers = { authorization: `Bearer ${yield* known.sign({ sub: "root" })}` }
      expect((yield* ask(port, "/presence/room", { headers })).json).toEqual([
        { key: "alice", metas: [{}] },
        { key: "carol", metas: [{}] }
      ])
    })
  )
})

describe("claims", () => {
  const secret = "a secret that is long enough for anybody"
  const sign = (claims: JWTPayload) =>
    Effect.promise(() =>
      new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret))
    )

  it.effect("issuer and audience must be one of those that are named", () =>
    Effect.gen(function* () {
      const authorize = Authorize.jwt({ secret, issuer: "https://a.example/", audience: ["web", "mobile"] })
      const enters = (claims: JWTPayload) =>
        Effect.flatMap(sign({ ...alice, ...claims }), (jwt) => reads(authorize, jwt))
      expect(yield* enters({ iss: "https://a.example/", aud: "web" })).toBe("alice")
      expect(yield* enters({ iss: "https://a.example/", aud: ["other", "mobile"] })).toBe("alice")
      for (const claims of [
        {},
        { iss: "https://a.example/" },
        { aud: "web" },
        { iss: "https://a.example", aud: "web" }
      ]) {
        expect(yield* enters(claims)).toBe("401 unauthorized")
      }
      expect(yield* enters({ iss: "https://a.example/", aud: "other" })).toBe("401 unauthorized")
    })
  )

  it.effect("the claim that is the key must be there, a text, and the token's own", () =>
    Effect.gen(function* () {
      const enters = (keyClaim: string, claims: JWTPayload) =>
        Effect.flatMap(sign({ topics: ["room"], ...claims }), (jwt) => reads(Authorize.jwt({ secret, keyClaim }), jwt))
      expect(yield* enters("email", { email: "a@example.com" })).toBe("a@example.com")
      for (const [keyClaim, claims] of [
        ["email", { sub: "alice" }],
        ["email", { email: "" }],
        ["email", { email: 7 }],
        ["constructor", {}]
      ] as const) {
        expect(yield* enters(keyClaim, claims)).toBe("401 unauthorized")
      }
    })
  )

  /** Whether somebody gets in by the templates. */
  const cases: ReadonlyArray<readonly [template: string, claims: JWTPayload, topic: string, allowed: boolean]> = [
    ["room:*", { sub: "alice" }, "room:1", true],
    ["user:{sub}", { sub: "alice" }, "user:alice", true],
    ["user:{sub}", { sub: "auth0|1" }, "user:auth0|1", true],
    ["user:{sub}", { sub: "alice" }, "user:bob", false],
    ["user:{sub}", { sub: "alice" }, "user:{sub}", false],
    // A name that is a pattern, or reaches below another's.
    ["user:{sub}", { sub: "*" }, "user:bob", false],
    ["user:{sub}", { sub: "b*" }, "user:bob", false],
    ["user:{sub}", { sub: "alice:private" }, "user:alice:private", false],
    ["user:{sub}:*", { sub: "alice" }, "user:alice:1", true],
    ["user:{sub}:*", { sub: "alice" }, "user:alice2:1", false],
    ["user:{sub}:*", { sub: "alice:private" }, "user:alice:private:1", false],
    ["{sub}*", { sub: "{sub}" }, "alice", false],
    ["org:{org}:{sub}", { sub: "alice", org: "acme" }, "org:acme:alice", true],
    ["org:{org}:*", { sub: "alice" }, "org::1", false],
    ["org:{org}:*", { sub: "alice", org: "" }, "org::1", false],
    ["org:{org}:*", { sub: "alice", org: ["acme"] }, "org:acme:1", false],
    ["x:{constructor}", { sub: "alice" }, "x:", false],
    // What the token says of topics counts alone.
    ["room:*", { sub: "alice", topics: [] }, "room:1", false],
    ["room:*", { sub: "alice", exact_topics: ["lobby"] }, "room:1", false],
    ["room:{sub}", { sub: "alice", topics: ["room:{sub}"] }, "room:alice", false]
  ]
  for (const [template, claims, topic, allowed] of cases) {
    it.effect(`${template} ${allowed ? "lets" : "does not let"} ${JSON.stringify(claims)} into ${topic}`, () =>
      Effect.gen(function* () {
        const told = yield* reads(Authorize.jwt({ secret, topics: [template] }), yield* sign(claims), topic)
        expect(told).toBe(allowed ? claims.sub : "403 forbidden topic")
      })
    )
  }
})

describe("options that make no sense", () => {
  const secret = "x".repeat(32)
  const wrong: ReadonlyArray<readonly [Authorize.JwtOptions, string]> = [
    [{}, "exactly one of secret, jwksUrl and publicKey"],
    [{ secret, jwksUrl: "https://a.example/" }, "given together with jwksUrl"],
    [{ secret, publicKey: "" }, "given together with publicKey"],
    [{ secret: "short" }, "the option secret is 5 bytes, but must be at least 32 bytes, as HS256 wants"],
    [{ jwksUrl: "a.example" }, `the option jwksUrl is "a.example"`],
    [{ jwksUrl: "file:///etc/passwd" }, "the option jwksUrl is file://…"],
    [{ publicKey: "abc" }, "the option publicKey is none that can be read"],
    [{ publicKey: "-----BEGIN PRIVATE KEY-----" }, "the option publicKey is a private key"],
    [{ secret, algorithms: ["RS256"] }, `the option algorithms is "RS256", but must be of HS256`],
    [{ jwksUrl: "https://a.example/", algorithms: ["ES256", "HS256"] }, `the option algorithms is "HS256"`],
    [{ secret, algorithms: [] }, "the option algorithms is empty"],
    [{ secret, issuer: "" }, "the option issuer is"],
    [{ secret, audience: [] }, "the option audience is"],
    [{ secret, clockTolerance: -1 }, "the option clockTolerance is"],
    [{ secret, keyClaim: "" }, "the option keyClaim is"],
    [{ secret, topics: [""] }, "the option topics is"]
  ]
  for (const [options, message] of wrong) {
    it(JSON.stringify(options), () => {
      const thrown = Effect.runSyncExit(Effect.try({ try: () => Authorize.jwt(options), catch: (error) => error }))
      expect(Exit.isFailure(thrown) && thrown.cause._tag === "Fail" && thrown.cause.error).toBeInstanceOf(InvalidOption)
      expect(() => Authorize.jwt(options)).toThrow(message)
    })
  }

  it.effect("a public key of a kind that signs by none of the algorithms", () =>
    Effect.gen(function* () {
      const pem = yield* Effect.promise(async () => {
        const { publicKey } = await generateKeyPair("ES384", { extractable: true })
        return exportSPKI(publicKey)
      })
      expect(() => Authorize.jwt({ publicKey: pem })).toThrow("the option publicKey is of the kind ec secp384r1")
    })
  )
})
