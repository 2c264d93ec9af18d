import { describe, expect, it } from "@effect/vitest"
import { byAge } from "../../../src/redis/protocol/values.js"

const member = (connection: string, joined: number) => ({ connection, joined })

describe("who is older", () => {
  it("is who joined at the lower version, and within one call who joined first at its replica, whose numbers are no texts", () => {
    const inOrder = [member("s.7", 1), member("r.9", 2), member("r.10", 2), member("a.1", 3)]
    expect([...inOrder].reverse().sort(byAge)).toEqual(inOrder)
    expect([...inOrder].sort(byAge)).toEqual(inOrder)
  })

  it("is by the name where replicas have the same numbers, as a name may have dots, so that all say the same", () => {
    const inOrder = [member("a.7.1", 2), member("b.1", 2), member("c.d.1", 2)]
    expect([...inOrder].reverse().sort(byAge)).toEqual(inOrder)
    expect(byAge(member("a.1", 2), member("b.1", 2))).toBeLessThan(0)
    expect(byAge(member("b.1", 2), member("a.1", 2))).toBeGreaterThan(0)
  })
})
