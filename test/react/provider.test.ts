/** What the provider is given that makes no sense, without a page. */
import { describe, expect, it } from "@effect/vitest"
import { createElement } from "react"
import { renderToString } from "react-dom/server"
import { PresenceProvider } from "../../src/react/index.js"

const render = (props: object) => () =>
  renderToString(createElement(PresenceProvider, { url: "/socket", ...props }, "here"))

describe("the provider", () => {
  it("refuses properties that there are not, with those that there are", () => {
    expect(render({ tokn: "t" })).toThrow(
      'PresenceProvider has no option "tokn": there are url, token, leaveDelay, transport, children'
    )
    expect(render({ token: undefined, leaveDelay: undefined, transport: undefined })()).toBe("here")
  })

  it("refuses a token that is none, as the client does: a promise would be the same token for ever", () => {
    for (const [token, shown] of [
      [Promise.resolve("t"), "an object"],
      [5, "5"],
      [null, "null"]
    ]) {
      expect(render({ token })).toThrow(`token is ${shown}: a string, or a function that gives one, is allowed`)
    }
    for (const token of ["t", () => "t", () => null]) expect(render({ token })()).toBe("here")
  })

  it("refuses what the client refuses", () => {
    expect(render({ url: undefined })).toThrow("url is undefined: one like wss://example.com/socket or /socket")
    expect(render({ leaveDelay: "1 second" })).toThrow('leaveDelay is "1 second": milliseconds')
  })
})
