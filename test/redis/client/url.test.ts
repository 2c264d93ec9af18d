import { describe, expect, it } from "@effect/vitest"
import { parseUrl, UrlRefusal } from "../../../src/redis/client/url.js"

describe("the url of a Redis", () => {
  it("names host, port and database", () => {
    expect(parseUrl("redis://cache.internal:7000/2")).toEqual({
      addresses: [{ host: "cache.internal", port: 7000 }],
      username: undefined,
      password: undefined,
      tls: false,
      family: undefined,
      database: 2,
      master: undefined,
      shown: "redis://cache.internal:7000/2"
    })
  })

  it("has the port 6379 by default, and TLS as rediss", () => {
    expect(parseUrl("rediss://cache")).toMatchObject({ addresses: [{ host: "cache", port: 6379 }], tls: true })
  })

  it("carries a user and a password, which are not shown", () => {
    expect(parseUrl("redis://ann:p%40ss%2Fword@cache:1")).toMatchObject({
      username: "ann",
      password: "p@ss/word",
      shown: "redis://cache:1"
    })
    expect(parseUrl("redis://:secret@cache")).toMatchObject({ username: undefined, password: "secret" })
  })

  it("may name several hosts, also in IPv6, and a master", () => {
    expect(parseUrl("redis://s1:26379,s2,[::1]:26380/mymaster")).toMatchObject({
      addresses: [
        { host: "s1", port: 26379 },
        { host: "s2", port: 6379 },
        { host: "::1", port: 26380 }
      ],
      database: 0,
      master: "mymaster"
    })
  })

  it.each([0, 4, 6])("may say that names are resolved by the family %i", (family) => {
    expect(parseUrl(`redis://:secret@cache:7000/2?family=${family}`)).toMatchObject({
      family,
      database: 2,
      shown: "redis://cache:7000/2"
    })
    expect(parseUrl(`redis://cache?family=${family}`)).toMatchObject({ family, master: undefined })
  })

  it.each([
    ["unix:///run/redis.sock", { password: undefined, database: 0, shown: "unix:/run/redis.sock" }],
    ["unix:/run/redis.sock?db=3", { password: undefined, database: 3, shown: "unix:/run/redis.sock" }],
    ["/run/redis.sock?db=3", { password: undefined, database: 3, shown: "unix:/run/redis.sock" }],
    ["unix://ann:p%40ss@/run/redis.sock", { username: "ann", password: "p@ss", shown: "unix:/run/redis.sock" }],
    ["redis+unix:///run/redis.sock", { database: 0 }]
  ])("may be the path of a socket: %s", (url, wanted) => {
    expect(parseUrl(url)).toMatchObject({ addresses: [{ path: "/run/redis.sock" }], tls: false, ...wanted })
  })

  it.each([
    ["valkey://cache:7000", false],
    ["valkeys://cache:7000", true],
    ["redis+tls://cache:7000", true],
    ["REDISS://cache:7000", true]
  ])("may have the scheme of %s", (url, tls) => {
    expect(parseUrl(url)).toMatchObject({ addresses: [{ host: "cache", port: 7000 }], tls })
  })

  it("may name its database as a parameter", () => {
    expect(parseUrl("redis://cache?db=2&family=6")).toMatchObject({ database: 2, family: 6 })
    expect(parseUrl("redis://cache/2?db=2")).toMatchObject({ database: 2 })
  })

  it.each([
    ["cache.redis.cache.windows.net:6380,password=hunter2=,ssl=True", /\.NET.*rediss:\/\/:password@host:6380/],
    ["https://eu1.upstash.io", /over HTTP.*rediss/],
    ["rediss://:x@cache:1?ssl_cert_reqs=none", /parameter ssl_cert_reqs that is not known.*connect/],
    ["redis://cache/1?db=2", /two databases, 1 and 2/],
    ["redis://cache?db=x", /db is no number/],
    ["unix:redis.sock", /unix:\/\/\/path/]
  ])("is refused as %s with what to write", (url, reason) => {
    expect((parseUrl(url) as UrlRefusal).reason).toMatch(reason)
    expect((parseUrl(url) as UrlRefusal).reason).not.toContain("hunter2")
  })

  it("may end with the end of a line", () => {
    expect(parseUrl("redis://cache:7000/2\n")).toMatchObject({ database: 2, shown: "redis://cache:7000/2" })
  })

  it.each([
    "",
    "cache:6379",
    "http://cache",
    "redis://",
    "redis://cache:0",
    "redis://cache:99999",
    "redis://a b",
    "redis://cache/a\nb",
    "redis://:%zz@cache",
    "redis://cache?family=5",
    "redis://cache?db=x",
    "redis://cache/1?db=2",
    "redis://cache?ssl_cert_reqs=none",
    "unix:",
    "unix:relative.sock",
    "unix:///redis.sock?family=4",
    "ftp://cache",
    "//cache:6379",
    "6379"
  ])("is refused as %j", (url) => {
    expect(parseUrl(url)).toBeInstanceOf(UrlRefusal)
  })

  it("is refused as what it is when it is no string", () => {
    const url: unknown = process.env.NOT_THERE
    expect(parseUrl(url as string)).toEqual(new UrlRefusal("the url is no string but undefined"))
  })

  it.each([
    "redis://:hunter2/x@cache",
    "redis://ann:hunter2/x@cache",
    "redis://ann:1234/hunter2@cache",
    "redis://:hunter2#x@cache",
    "redis://:hunter2%zz@cache",
    "redis://:hunter2",
    "ann:hunter2@cache",
    "http://:hunter2@cache"
  ])("is refused as %j without showing the password", (url) => {
    const refused = parseUrl(url)
    if (!(refused instanceof UrlRefusal)) throw new Error("it is taken")
    expect(refused.reason).not.toContain("hunter2")
  })
})
