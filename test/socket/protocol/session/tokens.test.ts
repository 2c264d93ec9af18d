import { describe, expect, it } from "@effect/vitest"
import type { Permission } from "../../../../src/socket/protocol/sessionStep.js"
import { makeClient, ok, refusedWith } from "../../support/session.js"

/** A token says who one is, and until when: `alice 60`. */
const byToken = ({ access_token }: Record<string, unknown>): Permission => {
  const [key, expires] = String(access_token).split(" ")
  if (key === "nobody") return refusedWith("no such token")
  return { _tag: "Granted", key, expires: expires === undefined ? undefined : Number(expires) }
}

describe("what a join leaves to later questions", () => {
  it("the key and the tokens, and nothing else of what was said", () => {
    const client = makeClient()
    const payload = { key: "alice", access_token: "a", token: "b", meta: { long: "x" }, other: "c" }
    client.say("1", "1", "room", "phx_join", payload)
    expect(client.channels[0]?.asked).toStrictEqual({ key: "alice", access_token: "a", token: "b" })
    client.say("2", "2", "other", "phx_join", {})
    expect(client.channels[1]?.asked).toStrictEqual({})
  })

  it("a token that is no text, or has more than 8,192 characters, is not kept", () => {
    const asked = (token: unknown) => {
      const client = makeClient()
      client.say("1", "1", "room", "phx_join", { token })
      return client.channels[0]?.asked
    }
    const longest = "t".repeat(8_192)
    expect(asked(longest)).toStrictEqual({ token: longest })
    expect(asked(`${longest}t`)).toStrictEqual({})
    expect(asked({ length: 1 })).toStrictEqual({})
    expect(asked(["t"])).toStrictEqual({})
  })

  it("a push that names a key is asked for with them, and what it says itself comes first and stays", () => {
    const client = makeClient()
    client.say("1", "1", "room", "phx_join", { access_token: "old", token: "b" })
    client.say("1", "2", "room", "presence", { key: "alice", access_token: "new", payload: { n: 1 } })
    expect(client.questions.find(({ payload }) => (payload as { key?: string }).key === "alice")).toEqual({
      _tag: "Authorize",
      topic: "room",
      payload: { key: "alice", access_token: "new", token: "b", payload: { n: 1 } }
    })
    expect(client.channels[0]?.asked).toStrictEqual({ key: "alice", access_token: "new", token: "b" })
  })
})

describe("a newer token", () => {
  const joined = (token: string) => {
    const client = makeClient({}, { authorize: byToken })
    client.say("1", "1", "room", "phx_join", { key: "alice", access_token: token })
    client.questions.length = 0
    const renew = (payload: unknown) => client.say("1", "2", "room", "access_token", payload)
    return { client, renew, expires: () => client.channels[0]?.expires }
  }

  it("is asked about as the join was, brings a later end, and is not answered", () => {
    const { client, renew, expires } = joined("alice 10")
    expect(expires()).toBe(10)
    expect(renew({ access_token: "alice 20" })).toEqual([])
    expect(client.questions).toEqual([
      { _tag: "Authorize", topic: "room", payload: { key: "alice", access_token: "alice 20" } }
    ])
    expect(expires()).toBe(20)
    expect(client.channels).toMatchObject([{ joinRef: "1", asked: { key: "alice", access_token: "alice 20" } }])
  })

  it("that ends earlier does not shorten what an older one gave", () => {
    const { renew, expires } = joined("alice 10")
    renew({ access_token: "alice 5" })
    expect(expires()).toBe(10)
  })

  it("that never ends, or that comes to one that never ends, leaves no end", () => {
    const some = joined("alice 10")
    some.renew({ access_token: "alice" })
    expect(some.expires()).toBeUndefined()
    const ever = joined("alice")
    ever.renew({ access_token: "alice 5" })
    expect(ever.expires()).toBeUndefined()
  })

  it("that is refused, or is somebody else's, changes nothing", () => {
    const { client, renew } = joined("alice 10")
    const before = client.channels
    expect(renew({ access_token: "nobody 90" })).toEqual([])
    expect(renew({ access_token: "bob 90" })).toEqual([])
    expect(client.questions).toHaveLength(2)
    expect(client.channels).toStrictEqual(before)
  })

  it("of a watcher, who is nobody in particular, is refused as well", () => {
    const authorize = ({ access_token }: Record<string, unknown>): Permission =>
      access_token === "good" ? { _tag: "Granted", expires: 10 } : refusedWith("no such token")
    const client = makeClient({}, { authorize })
    client.say("1", "1", "room", "phx_join", { access_token: "good" })
    const before = client.channels
    expect(client.say("1", "2", "room", "access_token", { access_token: "bad" })).toEqual([])
    expect(client.channels).toStrictEqual(before)
  })

  it("that is none is not asked about", () => {
    const { client, renew } = joined("alice 10")
    for (const payload of [{ access_token: null }, { access_token: 5 }, {}]) expect(renew(payload)).toEqual([])
    expect(client.questions).toEqual([])
    expect(client.channels).toMatchObject([{ expires: 10, tracked: true }])
  })

  it("says nothing of who one is: a key beside it is neither asked about nor kept, however long or odd", () => {
    const { client, renew } = joined("alice 10")
    for (const key of ["bob", "k".repeat(1_000_000), ["k"], 5, null]) renew({ access_token: "alice 20", key })
    expect(client.questions.map(({ payload }) => payload)).toEqual(
      Array(5).fill({ key: "alice", access_token: "alice 20" })
    )
    expect(client.channels[0]?.asked).toStrictEqual({ key: "alice", access_token: "alice 20" })
    // A watcher named nobody.
    client.say("3", "3", "other", "phx_join", { access_token: "undefined" })
    client.say("3", "4", "other", "access_token", { access_token: "undefined", key: "k".repeat(1_000_000) })
    expect(client.channels[1]?.asked).not.toHaveProperty("key")
  })

  it("is for the channel that it is said on", () => {
    const { client, renew } = joined("alice 10")
    client.say("3", "3", "other", "phx_join", { key: "alice", access_token: "alice 10" })
    renew({ access_token: "alice 20" })
    expect(client.channels).toMatchObject([
      { topic: "room", expires: 20 },
      { topic: "other", expires: 10 }
    ])
  })

  it("a push that names a key ends when the grant of that push ends", () => {
    const { client, expires } = joined("alice 10")
    const push = { key: "alice", access_token: "alice 30", payload: {} }
    expect(client.say("1", "2", "room", "presence", push)).toEqual([ok("1", "2", "room")])
    expect(expires()).toBe(30)
  })
})
