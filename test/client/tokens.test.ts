/** When a token function is asked, and what becomes of its answers. */
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import { type TokenSource, Tokens } from "../../src/client/tokens.js"

beforeEach(() => {
  vi.useFakeTimers()
  vi.setSystemTime(1_000_000_000)
})
afterEach(() => vi.useRealTimers())

/** A JWT that ends in so many seconds, and says which of them it is. */
const jwt = (seconds: number, n = 0): string =>
  `e30.${btoa(JSON.stringify({ exp: Date.now() / 1_000 + seconds, n }))}.s`

const watch = (source: TokenSource | undefined) => {
  const renewed: Array<string> = []
  const failed: Array<string> = []
  const tokens = new Tokens(
    source,
    (token) => renewed.push(token),
    (reason) => failed.push(reason)
  )
  return { tokens, renewed, failed }
}

/** Answers that a test gives by hand. */
const byHand = () => {
  const asked: Array<{ readonly give: (token: string) => void; readonly fail: (error: unknown) => void }> = []
  const source = () => new Promise<string>((give, fail) => asked.push({ give, fail }))
  return { asked, source }
}

describe("a token", () => {
  it("with an end is used until ten seconds before it, then renewed, and whoever is joined is told", async () => {
    let asked = 0
    const { tokens, renewed } = watch(() => jwt(60, ++asked))
    const first = await tokens.current(true)
    await vi.advanceTimersByTimeAsync(49_000)
    expect([asked, await tokens.current(true), await tokens.current()]).toEqual([1, first, first])
    await vi.advanceTimersByTimeAsync(2_000)
    expect(asked).toBe(2)
    expect(renewed).toEqual([first, await tokens.current()])
    await vi.advanceTimersByTimeAsync(500_000)
    expect(asked).toBe(12)
  })

  it.each([-3_600, 3_600])("is renewed in time where the clock is off by %i s", async (off) => {
    let asked = 0
    const fresh = (): string => {
      const now = Date.now() / 1_000 - off
      return `e30.${btoa(JSON.stringify({ iat: now, exp: now + 60, n: ++asked }))}.s`
    }
    const { tokens, renewed } = watch(fresh)
    const first = await tokens.current(true)
    await vi.advanceTimersByTimeAsync(49_000)
    expect([asked, await tokens.current(true), await tokens.current()]).toEqual([1, first, first])
    await vi.advanceTimersByTimeAsync(2_000)
    expect([asked, renewed.length]).toEqual([2, 2])
    await vi.advanceTimersByTimeAsync(500_000)
    expect(asked).toBe(12)
  })

  it("is renewed in time where the clock was set meanwhile, also when somebody joins after that", async () => {
    for (const step of [-3_600_000, 3_600_000]) {
      let asked = 0
      const { tokens } = watch(() => jwt(60, ++asked))
      await tokens.current(true)
      vi.setSystemTime(Date.now() + step)
      await tokens.current()
      const before = asked
      await vi.advanceTimersByTimeAsync(51_000)
      expect(asked).toBe(before + 1)
      tokens.stop()
    }
  })

  it("that was not renewed is asked for again before it ends, also where the clock is off", async () => {
    let asked = 0
    const { tokens, failed } = watch(() => {
      if (++asked > 1) throw new Error("the network")
      const now = Date.now() / 1_000 + 3_600
      return `e30.${btoa(JSON.stringify({ iat: now, exp: now + 60 }))}.s`
    })
    await tokens.current(true)
    await vi.advanceTimersByTimeAsync(59_000)
    expect(asked).toBeGreaterThan(2)
    expect(failed.length).toBe(asked - 1)
  })

  it("is asked for once by many, and with no end once for each connection", async () => {
    let asked = 0
    const { tokens } = watch(async () => `opaque ${++asked}`)
    expect(await Promise.all([tokens.current(true), tokens.current(), tokens.current()])).toEqual(
      Array(3).fill("opaque 1")
    )
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(await tokens.current()).toBe("opaque 1")
    expect(await tokens.current(true)).toBe("opaque 2")
    expect(await tokens.current()).toBe("opaque 2")
  })

  it("that was refused is asked for anew, also while an answer is on its way, which then counts no more", async () => {
    const { asked, source } = byHand()
    const { tokens, renewed } = watch(source)
    const old = tokens.current(true)
    await vi.advanceTimersByTimeAsync(0)
    tokens.forget()
    const fresh = tokens.current()
    await vi.advanceTimersByTimeAsync(0)
    asked[1]?.give("bob's")
    asked[0]?.give("alice's")
    expect([await old, await fresh, await tokens.current()]).toEqual(["alice's", "bob's", "bob's"])
    expect(renewed).toEqual(["bob's"])
  })

  it("that somebody was refused who asks again is told to all the others as well", async () => {
    let asked = 0
    const { tokens, renewed } = watch(() => jwt(60, ++asked))
    await tokens.current(true)
    tokens.forget()
    expect([await tokens.current(), asked]).toEqual([renewed[1], 2])
  })

  it("is not renewed for nobody, also when it comes after the last has gone, and is again for who comes back", async () => {
    const { asked, source } = byHand()
    const { tokens } = watch(source)
    const first = tokens.current(true)
    await vi.advanceTimersByTimeAsync(0)
    tokens.stop()
    asked[0]?.give(jwt(60))
    await first
    expect(vi.getTimerCount()).toBe(0)
    expect(await tokens.current(true)).toBe(await first)
    await vi.advanceTimersByTimeAsync(51_000)
    expect(asked.length).toBe(2)
  })

  it("that is not renewed in time is asked for again, and the last one is told no lies about", async () => {
    let asked = 0
    const { tokens, failed, renewed } = watch(() => {
      asked++
      if (asked === 2) throw new Error("the network")
      return jwt(60, asked)
    })
    await tokens.current(true)
    await vi.advanceTimersByTimeAsync(51_000)
    expect(failed).toEqual(["there is no token: the network"])
    await vi.advanceTimersByTimeAsync(5_000)
    expect([asked, renewed.length]).toEqual([3, 2])
  })

  it("that is none fails the attempt, which says why", async () => {
    const given: Array<[() => unknown, string]> = [
      [() => 1, "the token function gave no string: its type is number"],
      [() => ({}), "the token function gave no string: its type is object"],
      [() => Promise.reject("a text"), "a text"],
      [() => new Promise(() => {}), "the token function gave none within 10 s"]
    ]
    for (const [source, words] of given) {
      const { tokens, failed } = watch(source as TokenSource)
      const answer = tokens.current(true).catch(() => "failed")
      await vi.advanceTimersByTimeAsync(10_000)
      expect([await answer, failed]).toEqual(["failed", [`there is no token: ${words}`]])
    }
    for (const source of [undefined, "", () => undefined, () => null, () => ""]) {
      expect(await watch(source).tokens.current(true)).toBeUndefined()
    }
    expect(await watch("as it is").tokens.current(true)).toBe("as it is")
    expect(vi.getTimerCount()).toBe(0)
  })
})
