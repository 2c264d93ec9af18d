/** What the client costs a page, and what it brings there. */
import { describe, expect, it } from "@effect/vitest"
import { bundle } from "./support/bundle.js"

const all = `export * from "effect-presence/client"`

describe("in a browser's bundle the client", () => {
  it("brings Phoenix's client and nothing of Node or Effect", async () => {
    const { inputs } = await bundle(all)
    expect(inputs.filter((input) => !/^src\/(client|internal\/input)\/\w+\.ts$/.test(input))).toEqual([
      "node_modules/phoenix/priv/static/phoenix.mjs"
    ])
    expect(inputs.length).toBeGreaterThan(5)
    await expect(bundle(`import "node:fs"\n${all}`)).rejects.toThrow("node:fs")
  })

  it("is small: 14 KB with Phoenix's client and 6.9 KB without, minified and compressed", async () => {
    expect((await bundle(all)).size).toBeLessThan(14_000)
    expect((await bundle(all, { external: ["phoenix"] })).size).toBeLessThan(6_900)
  })
})
