/** The hook in a browser, under StrictMode, with both versions of React, against the ready server. */
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Duration, Effect, Exit, Scope } from "effect"
import type { Browser } from "playwright-core"
import { makeClient, sees } from "../client/support/client.js"
import { serve, token, withSecret } from "../server/support/server.js"
import { becomes, browserIsOff, launch } from "../support/chromium.js"
import { startProxy } from "../support/proxy.js"
import { buildPage, openApp, REACTS, renderPage } from "./support/page.js"

/** No window in which a leave and a join would cancel out. */
const atOnce = { diffInterval: Duration.zero }

/** Each list that somebody else is shown, as keys with metas. */
const watch = (url: string, topic = "lobby") =>
  Effect.map(makeClient(url), (client) => {
    const lists: Array<string> = []
    const room = client.join<{ n?: number }>(topic)
    room.subscribe(({ entries, status }) => {
      const list = entries.map(({ key, metas }) => `${key}:${metas.map(({ n }) => n).join("+")}`).join()
      if (status === "joined" && lists.at(-1) !== list) lists.push(list)
    })
    return { room, lists }
  })

/** A line to a server that can be cut, which pages come over as well. */
const lineTo = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(() => startProxy(port)),
    (proxy) => Effect.promise(() => proxy.close())
  )

describe.skipIf(browserIsOff()).each(Object.entries(REACTS))("%s", (_, alias) => {
  let browser: Browser
  let script: string
  beforeAll(async () => {
    browser = await launch()
    script = await buildPage(alias)
  })
  afterAll(() => browser.close())

  it.scopedLive("joins once under StrictMode, renders what changes, and leaves with the component", () =>
    Effect.gen(function* () {
      const port = yield* serve(atOnce)
      const { room, lists } = yield* watch(`ws://127.0.0.1:${port}`)
      yield* sees(room)
      const origin = `http://127.0.0.1:${port}`
      const alice = { topic: "lobby", user: "alice", n: 1 }
      const tab = yield* openApp(browser, script, origin, { url: "/socket", rooms: { one: alice } })
      yield* tab.says("one", "joined [alice:1] me alice others 0")
      // The same meta, made anew, says nothing; another does; and so does the function.
      yield* tab.show({ url: "/socket", rooms: { one: { ...alice } } })
      yield* tab.show({ url: "/socket", rooms: { one: { ...alice, n: 2 } } })
      yield* tab.says("one", "joined [alice:2] me alice others 0")
      yield* tab.run("window.rooms.one.update(3)")
      yield* tab.says("one", "joined [alice:3] me alice others 0")
      yield* tab.show({ url: "/socket", rooms: { one: { ...alice, n: 2 }, two: { topic: "lobby" } } })
      yield* tab.says("two", "joined [alice:3] me alice others 0")
      // Another key, another topic, none.
      yield* tab.show({ url: "/socket", rooms: { one: { ...alice, user: "bob" } } })
      yield* tab.says("one", "joined [bob:1] me bob others 0")
      yield* tab.show({ url: "/socket", rooms: { one: { ...alice, user: "bob", topic: "kitchen" } } })
      yield* tab.says("one", "joined [bob:1] me bob others 0")
      yield* sees(room)
      yield* tab.show({ url: "/socket", rooms: { one: { ...alice, topic: null } } })
      yield* tab.says("one", "connecting [] me undefined others 0")
      yield* tab.run("window.rooms.one.update(9)")
      yield* tab.show({ url: "/socket", rooms: { one: alice } })
      yield* tab.says("one", "joined [alice:1] me alice others 0")
      yield* tab.show({ url: "/socket", rooms: {} })
      yield* tab.says("one", null)
      yield* sees(room)
      expect(lists).toEqual(["", "alice:1", "alice:2", "alice:3", "", "bob:1", "", "alice:1", ""])
      expect(tab.complaints).toEqual([])
    })
  )

  it.scopedLive("hears what others broadcast, also in a child and in the next room", () =>
    Effect.gen(function* () {
      const port = yield* serve(atOnce)
      const origin = `http://127.0.0.1:${port}`
      const rooms = { one: { topic: "lobby", user: "alice" }, two: { topic: "kitchen", user: "alice" } }
      const alice = yield* openApp(browser, script, origin, { url: "/socket", rooms })
      const bob = (yield* makeClient(`ws://127.0.0.1:${port}`)).join("lobby", { key: "bob" })
      yield* alice.says("one", "joined [alice:,bob:] me alice others 1")
      bob.broadcast("wave", { text: "hello" })
      const hears = (...waves: ReadonlyArray<string>) => becomes(alice.page, "window.waves", waves)
      yield* hears("one hello")
      yield* alice.show({ url: "/socket", rooms: { ...rooms, two: { topic: "lobby", user: "alice" } } })
      yield* alice.says("two", "joined [alice:,bob:] me alice others 1")
      const heard: Array<unknown> = []
      bob.on("wave", (payload) => heard.push(payload))
      bob.broadcast("wave", { text: "again" })
      yield* hears("one hello", "one again", "two again")
      yield* alice.run(`window.rooms.two.wave("back")`)
      yield* Effect.promise(() => vi.waitFor(() => expect(heard).toEqual([{ text: "back" }]), 300_000))
      expect(alice.complaints).toEqual([])
    })
  )

  it.scopedLive("keeps what it shows over a cut connection and another server, and comes back as it is by then", () =>
    Effect.gen(function* () {
      const first = yield* Scope.make()
      const port = yield* serve(atOnce).pipe(Scope.extend(first))
      const line = yield* lineTo(port)
      const props = { url: "/socket", rooms: { one: { topic: "lobby", user: "alice", n: 1 } } }
      const tab = yield* openApp(browser, script, `http://127.0.0.1:${line.port}`, props)
      yield* tab.says("one", "joined [alice:1] me alice others 0")
      line.cut()
      yield* tab.says("one", "reconnecting [alice:1] me alice others 0")
      yield* tab.run("window.rooms.one.update(2)")
      line.mend()
      yield* tab.says("one", "joined [alice:2] me alice others 0")
      yield* Scope.close(first, Exit.void)
      yield* tab.says("one", "reconnecting [alice:2] me alice others 0")
      yield* tab.run("window.rooms.one.update(3)")
      yield* serve({ ...atOnce, port })
      yield* tab.says("one", "joined [alice:3] me alice others 0")
      const { room } = yield* watch(`ws://127.0.0.1:${port}`)
      yield* sees(room, 'alice {"n":3}')
      expect(tab.complaints).toEqual([])
    })
  )

  it.scopedLive("lets in whoever logs in, with the token of the same render, and says why one is refused", () =>
    Effect.gen(function* () {
      const port = yield* serve({ ...atOnce, ...withSecret })
      const origin = `http://127.0.0.1:${port}`
      const of = (sub: string) => token({ sub, topics: ["*"] })
      const rooms = { one: { topic: "lobby" } }
      const tab = yield* openApp(browser, script, origin, { url: "/socket", rooms })
      yield* tab.says("one", "refused [] me undefined others 0 unauthorized")
      const as = (user: string) => ({ url: "/socket", token: of(user), rooms: { one: { topic: "lobby", user } } })
      yield* tab.show(as("alice"))
      yield* tab.says("one", "joined [alice:] me alice others 0")
      yield* tab.show(as("bob"))
      yield* tab.says("one", "joined [bob:] me bob others 0")
      expect(tab.complaints).toEqual([])
    })
  )

  it.scopedLive("renders on a server, where nobody joins, and goes on from there without a word", () =>
    Effect.gen(function* () {
      const port = yield* serve(atOnce)
      const props = { url: "/socket", rooms: { one: { topic: "lobby", user: "alice", n: 1 } } }
      const said = vi.spyOn(console, "error")
      yield* Effect.addFinalizer(() => Effect.sync(() => said.mockRestore()))
      const html = yield* Effect.promise(() => renderPage(alias, props))
      expect(html).toContain("connecting [] me undefined others 0")
      expect(said.mock.calls).toEqual([])
      const tab = yield* openApp(browser, script, `http://127.0.0.1:${port}`, props, html)
      yield* tab.says("one", "joined [alice:1] me alice others 0")
      expect(tab.complaints).toEqual([])
    })
  )

  it.scopedLive("hands what makes no sense to the error boundary, as the client words it", () =>
    Effect.gen(function* () {
      const port = yield* serve(atOnce)
      const rooms = { one: { topic: "", user: "alice" } }
      const tab = yield* openApp(browser, script, `http://127.0.0.1:${port}`, { url: "/socket", rooms })
      yield* tab.says("error", 'ClientError: the topic "" is empty: a string that is not empty is allowed')
    })
  )
})
