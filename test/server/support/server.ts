/** The ready server inside the test's process, on a free port of this machine, and tokens that it takes. */
import { createHmac } from "node:crypto"
import { HttpServer } from "@effect/platform"
import { Context, Duration, Effect, Layer, LogLevel, Option, Redacted, type Scope } from "effect"
import * as Server from "../../../src/server/Server.js"
import type { Settings } from "../../../src/server/Settings.js"

export const SECRET = "a secret that is long enough for anybody"

const settings: Settings = {
  host: "127.0.0.1",
  refusedHost: Option.none(),
  port: 0,
  ttl: Duration.seconds(30),
  diffInterval: Duration.millis(50),
  // Crowds give no sign of life, however long a busy machine takes.
  idleTimeout: Duration.hours(1),
  leaveDelay: Duration.zero,
  allowedOrigins: undefined,
  redis: Option.none(),
  jwt: Option.none(),
  logLevel: LogLevel.Info
}

export const withSecret = { jwt: Option.some({ secret: Redacted.make(SECRET), clockTolerance: 0 }) }

/** Serves until the scope closes; sockets are told all at once. Its port. */
export const serve = (others: Partial<Settings> = {}): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Layer.buildWithScope(Server.layer({ ...settings, ...others }, 0), yield* Effect.scope)
    const { address } = Context.get(context, HttpServer.HttpServer)
    return address._tag === "TcpAddress" ? address.port : yield* Effect.dieMessage("not listening on a port")
  }).pipe(Effect.orDie)

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A JWT, made here by hand: what the server's library makes of it is what is tested. */
export const token = (
  claims: Record<string, unknown>,
  { secret = SECRET, alg = "HS256", hash = "sha256" }: { secret?: string; alg?: string; hash?: string } = {}
): string => {
  const signed = `${base64url({ alg, typ: "JWT" })}.${base64url(claims)}`
  return `${signed}.${alg === "none" ? "" : createHmac(hash, secret).update(signed).digest("base64url")}`
}
