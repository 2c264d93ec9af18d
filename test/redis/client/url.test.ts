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
    "redis://cache?db=1"
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
