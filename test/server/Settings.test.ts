import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, LogLevel, Option, Redacted } from "effect"
import {
  describeSecret,
  describeUnknown,
  help,
  describe as inOneLine,
  provider,
  settings
} from "../../src/server/Settings.js"

const SECRET = "hunter2".repeat(5)

const read = (environment: Record<string, string>) => Effect.withConfigProvider(settings, provider(environment))

const NO_JWT = {
  secret: undefined,
  jwksUrl: undefined,
  publicKey: undefined,
  issuer: undefined,
  audience: undefined,
  keyClaim: undefined,
  topics: undefined,
  clockTolerance: Duration.seconds(30)
}

describe("settings", () => {
  it.effect("have the defaults that the help names", () =>
    Effect.gen(function* () {
      expect(yield* read({})).toEqual({
        host: "127.0.0.1",
        refusedHost: Option.none(),
        redis: Option.none(),
        port: 4000,
        ttl: Duration.seconds(30),
        diffInterval: Duration.millis(50),
        idleTimeout: Duration.seconds(60),
        leaveDelay: Duration.zero,
        allowedOrigins: undefined,
        jwt: Option.none(),
        logLevel: LogLevel.Info
      })
      for (const name of ["127.0.0.1", "4000", "30 seconds", "50 millis", "60 seconds", "0 seconds", "Info"]) {
        expect(help).toContain(`(${name})`)
      }
    })
  )

  it.effect("take an empty value as none", () =>
    Effect.gen(function* () {
      const names = ["HOST", "PORT", "PRESENCE_TTL", "PRESENCE_JWT_SECRET", "PRESENCE_ALLOWED_ORIGINS", "REDIS_URL"]
      expect(yield* read(Object.fromEntries(names.map((name) => [name, " "])))).toEqual(yield* read({}))
    })
  )

  it.effect("are read as Effect writes them", () =>
    Effect.gen(function* () {
      const read_ = yield* read({
        HOST: "::1",
        PORT: "0",
        PRESENCE_TTL: "1.5 minutes",
        PRESENCE_DIFF_INTERVAL: "0 millis",
        PRESENCE_IDLE_TIMEOUT: "1 hour",
        PRESENCE_LEAVE_DELAY: "5 seconds",
        PRESENCE_ALLOWED_ORIGINS: "https://a.example, http://b.example:81",
        PRESENCE_JWT_SECRET: " hunter2 hunter2 hunter2 hunter2 ",
        PRESENCE_CLOCK_TOLERANCE: "2 seconds",
        LOG_LEVEL: "debug"
      })
      expect(read_).toEqual({
        host: "::1",
        refusedHost: Option.none(),
        redis: Option.none(),
        port: 0,
        ttl: Duration.seconds(90),
        diffInterval: Duration.zero,
        idleTimeout: Duration.hours(1),
        leaveDelay: Duration.seconds(5),
        allowedOrigins: ["https://a.example", "http://b.example:81"],
        jwt: Option.some({
          ...NO_JWT,
          secret: Redacted.make(" hunter2 hunter2 hunter2 hunter2 "),
          clockTolerance: Duration.seconds(2)
        }),
        logLevel: LogLevel.Debug
      })
      expect(JSON.stringify(read_.jwt)).not.toContain("hunter2")
    })
  )

  it.effect("read how tokens of somebody else's are checked", () =>
    Effect.gen(function* () {
      const { jwt } = yield* read({
        PRESENCE_JWKS_URL: "https://a.example/jwks",
        PRESENCE_JWT_ISSUER: "https://a.example/",
        PRESENCE_JWT_AUDIENCE: "web, mobile",
        PRESENCE_JWT_KEY_CLAIM: "email",
        PRESENCE_TOPICS: "room:*, user:{sub}"
      })
      expect(jwt).toEqual(
        Option.some({
          ...NO_JWT,
          jwksUrl: "https://a.example/jwks",
          issuer: ["https://a.example/"],
          audience: ["web", "mobile"],
          keyClaim: "email",
          topics: ["room:*", "user:{sub}"]
        })
      )
      for (const name of ["JWKS_URL", "JWT_PUBLIC_KEY", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_KEY_CLAIM", "TOPICS"]) {
        expect(help).toContain(`  PRESENCE_${name} `)
      }
    })
  )

  it.effect("stay on loopback unless tokens are checked or everybody may get in", () =>
    Effect.gen(function* () {
      for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1"]) {
        expect(yield* read({ HOST: host })).toMatchObject({ host, refusedHost: Option.none() })
      }
      for (const host of ["0.0.0.0", "::", "192.168.0.1", "example.com", "127.0.0.1.example.com"]) {
        const open = { host, refusedHost: Option.none() }
        const refused = { host: "127.0.0.1", refusedHost: Option.some(host) }
        expect(yield* read({ HOST: host })).toMatchObject(refused)
        expect(yield* read({ HOST: host, PRESENCE_PUBLIC: "false" })).toMatchObject(refused)
        expect(yield* read({ HOST: host, PRESENCE_JWT_SECRET: " " })).toMatchObject(refused)
        expect(yield* read({ HOST: host, PRESENCE_PUBLIC: "true" })).toMatchObject(open)
        expect(yield* read({ HOST: host, PRESENCE_JWT_SECRET: "hunter2".repeat(5) })).toMatchObject(open)
        expect(yield* read({ HOST: host, PRESENCE_JWKS_URL: "https://a.example/jwks" })).toMatchObject(open)
      }
    })
  )

  const wrong: ReadonlyArray<readonly [Record<string, string>, string]> = [
    [{ PORT: "65536" }, `PORT must be a number from 0 to 65535, but is "65536"`],
    [{ PORT: "-1" }, "PORT must be"],
    [{ PORT: "4e3" }, "PORT must be"],
    [{ HOST: "http://localhost" }, "HOST must be a host name or address"],
    [
      { PRESENCE_TTL: "30" },
      `PRESENCE_TTL must be a duration such as "30 seconds", more than none and at most 24 days, but is "30"`
    ],
    [{ PRESENCE_TTL: "0 seconds" }, "PRESENCE_TTL must be a duration"],
    [{ PRESENCE_DIFF_INTERVAL: "-1 millis" }, "PRESENCE_DIFF_INTERVAL must be a duration"],
    [{ PRESENCE_IDLE_TIMEOUT: "soon" }, "PRESENCE_IDLE_TIMEOUT must be a duration"],
    [
      { PRESENCE_LEAVE_DELAY: "5" },
      `PRESENCE_LEAVE_DELAY must be a duration such as "0 seconds" and at most 24 days, but is "5"`
    ],
    [{ PRESENCE_LEAVE_DELAY: "-1 seconds" }, "PRESENCE_LEAVE_DELAY must be a duration"],
    [{ PRESENCE_PUBLIC: "maybe" }, `PRESENCE_PUBLIC must be "true" or "false", but is "maybe"`],
    [
      { PRESENCE_ALLOWED_ORIGINS: "https://a.example/" },
      `PRESENCE_ALLOWED_ORIGINS must be origins, separated by commas`
    ],
    [{ PRESENCE_ALLOWED_ORIGINS: "https://a.example,*" }, `but "*" is no origin`],
    [{ PRESENCE_ALLOWED_ORIGINS: "https://a.*.example" }, "may have one *"],
    [{ PRESENCE_ALLOWED_ORIGINS: "https://a.example:443" }, "browsers send https://a.example"],
    [{ PRESENCE_ALLOWED_ORIGINS: "nil" }, "is no origin"],
    [{ PRESENCE_IDLE_TIMEOUT: "25 days" }, "at most 24 days"],
    [{ PRESENCE_TTL: "infinity" }, "PRESENCE_TTL must be a duration"],
    [{ PRESENCE_CLOCK_TOLERANCE: "-1 seconds" }, "PRESENCE_CLOCK_TOLERANCE must be a duration"],
    [{ PRESENCE_JWT_SECRET: "hunter2" }, "PRESENCE_JWT_SECRET must have at least 32 bytes, as HS256 wants, but has 7"],
    [
      { PRESENCE_JWT_SECRET: "hunter2".repeat(5), PRESENCE_JWKS_URL: "https://a.example/jwks" },
      "PRESENCE_JWT_SECRET is set together with PRESENCE_JWKS_URL: tokens are checked with one of them"
    ],
    [
      { PRESENCE_JWKS_URL: "https://a.example/jwks", PRESENCE_JWT_PUBLIC_KEY: "x" },
      "PRESENCE_JWKS_URL is set together with PRESENCE_JWT_PUBLIC_KEY"
    ],
    [
      { PRESENCE_JWT_AUDIENCE: "me" },
      "PRESENCE_JWT_AUDIENCE says what tokens must be, but nothing checks them: set one of PRESENCE_JWT_SECRET, PRESENCE_JWKS_URL, PRESENCE_JWT_PUBLIC_KEY too"
    ],
    [{ PRESENCE_TOPICS: "room:*" }, "PRESENCE_TOPICS says what tokens must be, but nothing checks them"],
    [{ PRESENCE_JWT_SECRET: SECRET, PRESENCE_JWT_ISSUER: '"me"' }, "PRESENCE_JWT_ISSUER must be names"],
    [
      { PRESENCE_JWT_SECRET: SECRET, PRESENCE_JWT_KEY_CLAIM: "'sub'" },
      "PRESENCE_JWT_KEY_CLAIM must be a claim, without quotes"
    ],
    [{ HOST: '"127.0.0.1"' }, "HOST must be a host name or address"],
    [{ PRESENCE_TOPICS: "room:*,," }, "PRESENCE_TOPICS must be names, separated by commas"],
    [
      { PRESENCE_JWKS_URL: "a.example/jwks" },
      `PRESENCE_JWKS_URL must be a whole http or https URL without a user, such as https://example.com/.well-known/jwks.json, but is "a.example/jwks"`
    ],
    [{ PRESENCE_JWKS_URL: "https://me:hunter2@a.example/jwks" }, "PRESENCE_JWKS_URL must be a whole http or https URL"],
    [{ PRESENCE_JWT_PUBLIC_KEY: "hunter2" }, "PRESENCE_JWT_PUBLIC_KEY must be a public key or certificate as PEM"],
    [{ PRESENCE_ALLOWED_ORIGINS: "a.example" }, "is no origin"],
    [{ LOG_LEVEL: "loud" }, "LOG_LEVEL must be one of All, Trace, Debug, Info, Warning, Error, Fatal, None"],
    [{ PRESENCE_JWT_SECRET: "hunter2", REDIS_URL: "redis://:hunter2@h", PORT: "x" }, "PORT must be"]
  ]
  for (const [environment, message] of wrong) {
    it.effect(`refuse ${JSON.stringify(environment)} in one line`, () =>
      Effect.gen(function* () {
        const line = inOneLine(yield* Effect.flip(read(environment)))
        expect(line).toContain(message)
        expect(line).not.toMatch(/\n|hunter2/)
      })
    )
  }

  it("names what begins as a setting does and is none, with the one that was meant", () => {
    expect(describeUnknown({ PRESENCE_TTL: "1 minute", HOST: "x", TTL: "y" })).toBeUndefined()
    expect(describeUnknown({ PRESENCE_TLL: "1 minute", PRESENCE_WHATEVER: "x" })).toBe(
      "no such setting: PRESENCE_TLL (did you mean PRESENCE_TTL?), PRESENCE_WHATEVER; --help lists them"
    )
  })

  it("what Kubernetes tells of a service that is called presence is nobody's mistake", () => {
    expect(
      describeUnknown({
        PRESENCE_SERVICE_HOST: "10.0.0.1",
        PRESENCE_SERVICE_PORT: "80",
        PRESENCE_SERVICE_PORT_HTTP: "80",
        PRESENCE_PORT: "tcp://10.0.0.1:80",
        PRESENCE_PORT_80_TCP: "tcp://10.0.0.1:80",
        PRESENCE_PORT_80_TCP_PROTO: "tcp",
        PRESENCE_SERVER_PORT_80_TCP_ADDR: "10.0.0.1"
      })
    ).toBeUndefined()
    expect(describeUnknown({ PRESENCE_PORT: "4000" })).toContain("PRESENCE_PORT")
  })

  it.effect("have no spaces and ends of lines around them, as files and secrets do", () =>
    Effect.gen(function* () {
      const settings = yield* read({
        HOST: " [::1]\n",
        PORT: "4000\n",
        LOG_LEVEL: "warn\n",
        PRESENCE_ALLOWED_ORIGINS: "https://a.example\n",
        PRESENCE_JWT_SECRET: SECRET,
        PRESENCE_JWT_KEY_CLAIM: "name\n",
        PRESENCE_TOPICS: "room:*\n"
      })
      expect(settings).toMatchObject({ host: "::1", port: 4000, allowedOrigins: ["https://a.example"] })
      expect(settings.logLevel.label).toBe("WARN")
      expect(Option.getOrThrow(settings.jwt)).toMatchObject({ keyClaim: "name", topics: ["room:*"] })
    })
  )

  it.effect("a secret in quotes, or with the end of a line, is one of which somebody is told", () =>
    Effect.gen(function* () {
      const told = (secret: string) => Effect.map(read({ PRESENCE_JWT_SECRET: secret }), describeSecret)
      expect(yield* told(SECRET)).toBeUndefined()
      expect(yield* told(`${SECRET}\n`)).toContain(
        "PRESENCE_JWT_SECRET begins or ends with a space or the end of a line"
      )
      expect(yield* told(`"${SECRET}"`)).toContain("PRESENCE_JWT_SECRET is in quotes")
      expect(describeSecret(yield* read({}))).toBeUndefined()
    })
  )

  it.effect("tell all that is wrong at once", () =>
    Effect.gen(function* () {
      const line = inOneLine(yield* Effect.flip(read({ PORT: "x", LOG_LEVEL: "y", PRESENCE_TTL: "z" })))
      for (const name of ["PORT", "LOG_LEVEL", "PRESENCE_TTL"]) expect(line).toContain(`${name} must be`)
    })
  )
})
