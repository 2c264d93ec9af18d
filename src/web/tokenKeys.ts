/**
 * What tokens are checked with: a secret, a public key, or the keys that a server lists. Exactly one of them, and each with
 * the algorithms that are its own, so that nobody signs with a public key as if it were a secret.
 */
import { createPublicKey, type KeyObject } from "node:crypto"
import { Effect, Redacted } from "effect"
import type { CryptoKey, JWTPayload } from "jose"
// By its path: the whole package takes its time to load.
import { type JWTVerifyOptions, jwtVerify } from "jose/jwt/verify"
import { show } from "../internal/input/names.js"
import { InvalidOption } from "../PresenceError.js"
import { KeySet, type Keys } from "./keySet.js"

/**
 * How a token may be signed.
 *
 * @since 0.2.0
 * @category models
 */
export type Algorithm = "HS256" | "RS256" | "ES256" | "EdDSA"

export interface KeyOptions {
  readonly secret?: string | Redacted.Redacted | undefined
  readonly jwksUrl?: string | URL | undefined
  readonly publicKey?: string | undefined
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
}

/** The claims of a token that is good. What is wrong with another nobody is told. */
export type Verify = (token: string, options: JWTVerifyOptions) => Effect.Effect<JWTPayload, "bad" | "cannot tell">

/** Throws `InvalidOption`. */
export const make = (options: KeyOptions): Verify => {
  const given = (["secret", "jwksUrl", "publicKey"] as const).filter((name) => options[name] !== undefined)
  const [one, other] = given
  if (one === undefined || other !== undefined) {
    throw new InvalidOption({
      option: one ?? "secret",
      value: one === undefined ? "undefined" : `given together with ${given.slice(1).join(" and ")}`,
      allowed: "exactly one of secret, jwksUrl and publicKey, as tokens are checked with one of them"
    })
  }
  if (options.jwksUrl !== undefined) return listed(readUrl(options.jwksUrl), algorithmsOf(options, PUBLIC))
  if (options.publicKey !== undefined) {
    const { key, algorithm } = readPublicKey(options.publicKey)
    return fixed(key, algorithmsOf(options, [algorithm]))
  }
  return fixed(importSecret(readSecret(options.secret ?? "")), algorithmsOf(options, ["HS256"]))
}

const PUBLIC: ReadonlyArray<Algorithm> = ["RS256", "ES256", "EdDSA"]

const fixed =
  (key: KeyObject | Promise<CryptoKey>, algorithms: Array<string>): Verify =>
  (token, options) =>
    check(token, key, { ...options, algorithms }).pipe(Effect.mapError(() => "bad" as const))

const listed = (url: URL, algorithms: Array<string>): Verify => {
  const keySet = new KeySet(url)
  return (token, options) =>
    Effect.gen(function* () {
      const withKeys = (keys: Keys) => checkWithAny(token, keys, { ...options, algorithms })
      const keys = yield* keySet.keys
      if (keys === undefined) return yield* Effect.fail("cannot tell" as const)
      return yield* withKeys(keys).pipe(
        Effect.catchAll((error) =>
          isOfAnotherKey(error)
            ? Effect.flatMap(keySet.newer(keys), (newer) =>
                newer === undefined ? Effect.fail(error) : withKeys(newer)
              )
            : Effect.fail(error)
        ),
        Effect.mapError(() => "bad" as const)
      )
    })
}

/** A token that names no key is tried with each that may be its. */
const checkWithAny = (token: string, keys: Keys, options: JWTVerifyOptions): Effect.Effect<JWTPayload, unknown> =>
  Effect.catchAll(check(token, keys, options), (error) => {
    if (codeOf(error) !== "ERR_JWKS_MULTIPLE_MATCHING_KEYS") return Effect.fail(error)
    return Effect.tryPromise({
      try: async () => {
        let last: unknown = error
        for await (const key of error as AsyncIterable<CryptoKey>) {
          try {
            return (await jwtVerify(token, key, options)).payload
          } catch (refused) {
            last = refused
            if (!isOfAnotherKey(refused)) break
          }
        }
        throw last
      },
      catch: (error) => error
    })
  })

const check = (token: string, key: Keys | KeyObject | Promise<CryptoKey>, options: JWTVerifyOptions) =>
  Effect.tryPromise({
    // The two forms of a key are two overloads.
    try: async () =>
      (await (typeof key === "function" ? jwtVerify(token, key, options) : jwtVerify(token, await key, options)))
        .payload,
    catch: (error) => error
  })

const isOfAnotherKey = (error: unknown): boolean =>
  ["ERR_JWKS_NO_MATCHING_KEY", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"].includes(codeOf(error))

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : ""

// Options

/** As many bytes as the hash has: RFC 7518, 3.2. */
const SECRET_BYTES = 32

const readSecret = (secret: string | Redacted.Redacted): Uint8Array<ArrayBuffer> => {
  const text: unknown = Redacted.isRedacted(secret) ? Redacted.value(secret) : secret
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : undefined
  if (bytes !== undefined && bytes.length >= SECRET_BYTES) return bytes
  throw new InvalidOption({
    option: "secret",
    value: bytes === undefined ? `a ${typeof text}` : `${bytes.length} bytes`,
    allowed: `at least ${SECRET_BYTES} bytes, as HS256 wants`
  })
}

/** Once: bytes would be made a key for each token, which takes as long as to check it. */
const importSecret = (secret: Uint8Array<ArrayBuffer>): Promise<CryptoKey> =>
  crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["verify"])

const readUrl = (input: string | URL): URL => {
  const text = typeof input === "string" || input instanceof URL ? String(input) : ""
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "") return url
  throw new InvalidOption({
    option: "jwksUrl",
    // It may hold a password.
    value: url === undefined ? show(input) : `${url.protocol}//…`,
    allowed: "a whole http or https URL without a user, such as https://example.com/.well-known/jwks.json"
  })
}

/** The key, and how tokens of it are signed. */
const readPublicKey = (pem: string): { readonly key: KeyObject; readonly algorithm: Algorithm } => {
  const refuse = (value: string) =>
    new InvalidOption({
      option: "publicKey",
      value,
      allowed: "a public key or certificate as PEM (-----BEGIN PUBLIC KEY-----), of RSA (2048 bits), P-256 or Ed25519"
    })
  if (typeof pem !== "string") throw refuse(show(pem))
  // Of one it would take the public half, and somebody would have handed out the other.
  if (pem.includes("PRIVATE KEY")) throw refuse("a private key")
  let key: KeyObject
  try {
    // An environment holds it in one line.
    key = createPublicKey(pem.replaceAll("\\n", "\n"))
  } catch {
    throw refuse("none that can be read")
  }
  const { asymmetricKeyType, asymmetricKeyDetails: { modulusLength = 0, namedCurve } = {} } = key
  if (asymmetricKeyType === "rsa" && modulusLength >= 2_048) return { key, algorithm: "RS256" }
  if (asymmetricKeyType === "ec" && namedCurve === "prime256v1") return { key, algorithm: "ES256" }
  if (asymmetricKeyType === "ed25519") return { key, algorithm: "EdDSA" }
  throw refuse(
    `of the kind ${[asymmetricKeyType, namedCurve ?? (modulusLength || undefined)].filter(Boolean).join(" ")}`
  )
}

/** Those that are asked for, each one that the key can have made; without any all of these. */
const algorithmsOf = ({ algorithms }: KeyOptions, possible: ReadonlyArray<Algorithm>): Array<string> => {
  if (algorithms === undefined) return [...possible]
  const isList = Array.isArray(algorithms)
  const wrong = isList ? algorithms.find((algorithm) => !possible.includes(algorithm)) : undefined
  if (isList && wrong === undefined && algorithms.length > 0) return [...algorithms]
  throw new InvalidOption({
    option: "algorithms",
    value: !isList ? show(algorithms) : wrong === undefined ? "empty" : show(wrong),
    allowed: `of ${possible.join(", ")}, which are the ones of this key`
  })
}
