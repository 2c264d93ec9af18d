/**
 * The page of the ready server as it looks and is read: colours, chips, lines to copy, and that it holds still.
 */

import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Browser } from "playwright-core"
import { becomes, browserIsOff, launch } from "../support/chromium.js"
import { crowd } from "./support/crowd.js"
import { hereNow, join, openPage } from "./support/page.js"
import { serve, token, withSecret } from "./support/server.js"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

const names = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `Person ${i}`)

const all = <A>(keys: ReadonlyArray<string>, meta: A): Record<string, A> =>
  Object.fromEntries(keys.map((key) => [key, meta]))

const COUNT = `document.getElementById("count").innerText`

const texts = (selector: string): string => `Array.from(document.querySelectorAll("${selector}"), (it) => it.innerText)`

const CHIPS = texts("#here .chip")

const number = (selector: string): string => `document.querySelectorAll("${selector}").length`

describe.skipIf(browserIsOff())("the page", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser.close())

  const open = (port: number, path?: string) => openPage(browser, port, path)

  it.scopedLive("gives everybody who is here another colour, on which white is read", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const { page, complaints } = yield* open(port)
      /** Of some names that come one after the other: each colour, its contrast with white, and how near two come. */
      const coloured = (keys: ReadonlyArray<string>) =>
        Effect.promise(() =>
          page.evaluate<{ different: number; contrast: number; nearest: number }>(
            `(() => {
              const { colorOf } = makeColors()
              const colors = ${JSON.stringify(keys)}.map(colorOf)
              const paint = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
              const light = (color) => {
                paint.fillStyle = color
                paint.fillRect(0, 0, 1, 1)
                const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((part) =>
                  part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4)
                return 0.2126 * r + 0.7152 * g + 0.0722 * b
              }
              const places = colors.map((color) => {
                const [l, c, h] = color.match(/[\\d.]+/g).map(Number)
                return [l, c * Math.cos((h * Math.PI) / 180), c * Math.sin((h * Math.PI) / 180)]
              })
              const pairs = places.flatMap((a, i) => places.slice(i + 1).map((b) => Math.hypot(...a.map((x, n) => x - b[n]))))
              return {
                different: new Set(colors).size,
                contrast: Math.min(...colors.map((color) => 1.05 / (light(color) + 0.05))),
                nearest: pairs.reduce((least, pair) => Math.min(least, pair), 1)
              }
            })()`
          )
        )
      // 0.02 is what an eye tells apart side by side.
      for (const keys of [["Alice", "Bob", "Carol"], ["a", "b", "c", "d"], names(5), ["山田", "محمد", "Zoë"]]) {
        const { different, contrast, nearest } = yield* coloured(keys)
        expect(different).toBe(keys.length)
        expect(contrast).toBeGreaterThanOrEqual(4.5)
        expect(nearest).toBeGreaterThan(0.08)
      }
      const many = yield* coloured(names(600))
      expect(many.different).toBe(600)
      expect(many.contrast).toBeGreaterThanOrEqual(4.5)
      expect((yield* coloured(names(30))).nearest).toBeGreaterThan(0.04)

      // And they are what people have on the page.
      yield* crowd(port, "lobby", all(names(30), {}))
      yield* becomes(page, COUNT, "30")
      const shown = yield* Effect.promise(() =>
        page.evaluate<ReadonlyArray<string>>(
          `[...document.querySelectorAll(".avatar")].map((it) => getComputedStyle(it).backgroundColor)`
        )
      )
      expect(new Set(shown).size).toBe(30)
      expect(complaints).toEqual([])
    })
  )

  it.scopedLive("shows what metas say as chips, as text, and as they change", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const { page, complaints } = yield* open(port)
      const [alice] = yield* crowd(port, "lobby", {
        Alice: { role: "viewer", typing: true, x: 0.5, y: 0.5, from: { city: "<b>Bern</b>" } }
      })
      yield* becomes(page, CHIPS, ["role: viewer", "typing", 'from: {"city":"<b>Bern</b>"}'])
      alice?.say({ a: 1, b: null, c: [2], d: "x".repeat(100) })
      yield* becomes(page, CHIPS, ["a: 1", "b: null", "+2"])
      alice?.say({ x: 0.1, y: 0.1 })
      yield* becomes(page, CHIPS, [])
      expect(yield* Effect.promise(() => page.locator("#here li").allTextContents())).toEqual(["Alice"])
      expect(complaints).toEqual([])
    })
  )

  it.scopedLive("has one line for a shell and one of JavaScript that work as they are copied", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const room = `a/b 'c' "d"`
      const { page, complaints } = yield* open(port, `/?room=${encodeURIComponent(room)}`)
      yield* Effect.promise(() =>
        page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: `http://127.0.0.1:${port}` })
      )
      const copied = (name: string) =>
        Effect.promise(async () => {
          await page.getByRole("button", { name }).click()
          await page.getByText("Copied", { exact: true }).first().waitFor()
          return page.evaluate<string>("navigator.clipboard.readText()")
        })
      const script = yield* copied("Copy the line of JavaScript")
      yield* Effect.promise(() => page.evaluate(`void (${script})`))
      yield* becomes(page, texts("#here li"), ["Guest\nvia: JavaScript"])

      const [, url] = /^curl '([^']+)'$/.exec(yield* copied("Copy the line for a shell")) ?? []
      const list = yield* Effect.promise(async () => (await fetch(url ?? "")).json())
      expect(list).toEqual([{ key: "Guest", metas: [{ via: "JavaScript" }] }])
      // What it logs is who comes and goes.
      expect(complaints.filter((line) => !line.startsWith('{"_tag":"Diff"'))).toEqual([])
    })
  )

  it.scopedLive("shows no token in them, and says where it goes", () =>
    Effect.gen(function* () {
      const port = yield* serve(withSecret)
      const jwt = token({ sub: "Alice", topics: ["*"] })
      const { page } = yield* open(port, `/?token=${jwt}`)
      expect(yield* Effect.promise(() => page.locator("body").innerText())).not.toContain(jwt)
      const [curl, script] = yield* Effect.promise(() => page.locator("dd code").allInnerTexts())
      const [, header = "", url = ""] = /^curl -H "authorization: (.+)" '([^']+)'$/.exec(curl ?? "") ?? []
      const list = () =>
        fetch(url, { headers: { authorization: header.replace("$TOKEN", jwt) } }).then((response) => response.json())
      expect(yield* Effect.promise(list)).toEqual([])
      yield* Effect.promise(() => page.evaluate(`void (() => { const TOKEN = "${jwt}"; ${script} })()`))
      yield* hereNow(page, ["Alicevia: JavaScript"])
      expect(yield* Effect.promise(list)).toEqual([{ key: "Alice", metas: [{ via: "JavaScript" }] }])
    })
  )

  it.scopedLive("leads to a room of one's own, with the same token", () =>
    Effect.gen(function* () {
      const port = yield* serve(withSecret)
      const jwt = token({ sub: "Alice", topics: ["*"] })
      const { page, complaints } = yield* open(port, `/?token=${jwt}`)
      yield* Effect.promise(() => page.getByRole("link", { name: "Open a room of your own" }).click())
      yield* Effect.promise(() => page.getByRole("status").getByText("Live").waitFor())
      const room = yield* Effect.promise(() => page.getByRole("heading", { level: 1 }).innerText())
      expect(room).toMatch(/^[a-z]+-[a-z]+-\d+$/)
      const address = new URL(page.url())
      expect([address.searchParams.get("room"), address.searchParams.get("token")]).toEqual([room, jwt])
      expect(complaints).toEqual([])
    })
  )

  it.scopedLive("holds still whoever comes, joins and goes, on a phone and on a desk", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const { page } = yield* open(port)
      const boxes = () =>
        page.evaluate<string>(
          `JSON.stringify([...document.querySelectorAll("header, main, section, #here, #feed")].map((it) => it.getBoundingClientRect()))`
        )
      for (const [width, height] of [
        [390, 844],
        [1_280, 800]
      ] as const) {
        yield* Effect.promise(() => page.setViewportSize({ width, height }))
        yield* becomes(page, COUNT, "0")
        const before = yield* Effect.promise(boxes)
        const people = yield* crowd(port, "lobby", all(names(40), { role: "viewer" }))
        yield* becomes(page, COUNT, "40")
        expect(yield* Effect.promise(boxes)).toBe(before)
        yield* join(page, "A name that is longer than what there is room for on a phone")
        yield* becomes(page, COUNT, "41")
        expect(yield* Effect.promise(boxes)).toBe(before)
        for (const { leave } of people) leave()
        yield* Effect.promise(() => page.getByRole("button", { name: "Leave" }).click())
        yield* becomes(page, COUNT, "0")
        expect(yield* Effect.promise(boxes)).toBe(before)
      }
    })
  )

  it.scopedLive("touches one row of six hundred when one person comes, and none when they point", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const { page, complaints } = yield* open(port)
      yield* crowd(port, "lobby", all(names(600), { role: "viewer" }))
      yield* becomes(page, number("#here li"), 600)
      yield* Effect.promise(() =>
        page.evaluate(
          `globalThis.touched = []
          new MutationObserver((changes) => {
            for (const { target, addedNodes, removedNodes } of changes) {
              touched.push([target.id || target.className, addedNodes.length, removedNodes.length].join(" "))
            }
          }).observe(document.getElementById("here"), { subtree: true, childList: true, characterData: true })`
        )
      )
      const [alice] = yield* crowd(port, "lobby", { Alice: { role: "viewer" } })
      yield* becomes(page, COUNT, "601")
      yield* becomes(page, "touched", ["here 1 0"])
      alice?.say({ role: "viewer", x: 0.5, y: 0.5 })
      yield* becomes(page, number(".cursor"), 1)
      alice?.say({ role: "editor" })
      yield* becomes(page, `${CHIPS}.includes("role: editor")`, true)
      yield* becomes(page, "touched", ["here 1 0", "chips 1 1"])
      expect(complaints).toEqual([])
    })
  )

  it.scopedLive("is read by everybody: contrast, names, keyboard, in light and dark, empty, joined and cut off", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const { page } = yield* open(port)
      const violations = () =>
        page.evaluate<ReadonlyArray<string>>(
          `axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html)))`
        )
      yield* Effect.promise(() => page.evaluate(axe))
      const inAll = Effect.gen(function* () {
        for (const colorScheme of ["light", "dark"] as const) {
          for (const width of [390, 1_280]) {
            yield* Effect.promise(() => page.emulateMedia({ colorScheme, reducedMotion: "reduce" }))
            yield* Effect.promise(() => page.setViewportSize({ width, height: 800 }))
            expect(yield* Effect.promise(violations)).toEqual([])
          }
        }
      })
      yield* becomes(page, COUNT, "0")
      yield* inAll
      yield* crowd(port, "lobby", all(names(30), { role: "viewer", typing: true }))
      yield* join(page, "Alice")
      yield* becomes(page, COUNT, "31")
      yield* inAll
      yield* Effect.promise(() => page.context().setOffline(true))
      yield* Effect.promise(() => page.evaluate(`document.body.classList.add("stale")`))
      yield* inAll
    })
  )

  it.scopedLive("moves nothing for who wants it still, and has no hover where there is no mouse", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const { page } = yield* open(port)
      yield* Effect.promise(() => page.emulateMedia({ reducedMotion: "reduce" }))
      yield* crowd(port, "lobby", { Alice: { x: 0.2, y: 0.2 } })
      yield* hereNow(page, ["Alice"])
      yield* crowd(port, "lobby", { Bob: { x: 0.4, y: 0.4 } })
      yield* hereNow(page, ["Alice", "Bob"])
      const moves = yield* Effect.promise(() =>
        page.evaluate(
          `[...document.querySelectorAll("#here li, .cursor, button")].flatMap((it) => {
            const { animationName, transitionDuration } = getComputedStyle(it)
            return animationName === "none" && transitionDuration === "0s" ? [] : [it.outerHTML]
          })`
        )
      )
      expect(moves).toEqual([])
      const hovers = yield* Effect.promise(() =>
        page.evaluate<ReadonlyArray<string>>(
          `(() => {
            const under = (rules, media) => [...rules].flatMap((rule) =>
              rule instanceof CSSMediaRule ? under(rule.cssRules, rule.conditionText)
              : rule.selectorText?.includes(":hover") ? [media] : [])
            return under(document.styleSheets[0].cssRules, "")
          })()`
        )
      )
      expect(new Set(hovers)).toEqual(new Set(["(hover: hover)"]))
    })
  )
})
