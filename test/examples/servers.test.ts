/** The examples that are servers, each run as the program that it is. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { afterEach, describe, expect, it } from "vitest"
import { followed } from "../node/support/arena.js"

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

let child: ChildProcess | undefined
afterEach(() => child?.kill("SIGKILL"))

/** Its port, once it says that it is ready. */
const start = (name: string): Promise<number> => {
  const args = [path("node_modules/vite-node/vite-node.mjs"), "--config", path("vitest.config.ts"), path(name)]
  const started = spawn(process.execPath, args, { env: { ...process.env, PORT: "0" } })
  child = started
  return new Promise((resolve, reject) => {
    let said = ""
    const hear = (data: Buffer): void => {
      said += data
      const [, port] = /ready on http:\/\/127\.0\.0\.1:(\d+)/.exec(said) ?? []
      if (port !== undefined) resolve(Number(port))
    }
    started.stdout.on("data", hear)
    started.stderr.on("data", hear)
    started.once("exit", () => reject(new Error(`it ended\n${said}`)))
  })
}

/** It ends by itself, whoever is connected. */
const stop = async (): Promise<void> => {
  const ended = new Promise((resolve) => child?.once("exit", resolve))
  child?.kill("SIGTERM")
  expect(await ended).toBe(0)
}

const text = async (response: Response | Promise<Response>): Promise<string> => (await response).text()

describe("examples", () => {
  it("Express shows who has its page open, under the name they logged in by", async () => {
    const base = `http://127.0.0.1:${await start("examples/express/server.ts")}`
    expect(await text(fetch(base))).toContain("Who is here")
    const login = await fetch(`${base}/login/alice`, { redirect: "manual" })
    const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? ""
    expect(cookie).toBe("name=alice")
    expect((await fetch(`${base}/presence/page:home/events?key=mallory`)).status).toBe(401)
    const page = await followed(base, "/presence/page:home/events?key=mallory", { cookie })
    expect(page.response.status).toBe(200)
    await expect
      .poll(() => text(fetch(`${base}/presence/page:home`)), { timeout: 300_000 })
      .toBe('[{"key":"alice","metas":[{}]}]')
    expect(await text(fetch(`${base}/online`))).toBe('{"keys":1,"connections":1}')
    await stop()
    page.leave()
  })

  it("Hono tells of a job for as long as it runs", async () => {
    const base = `http://127.0.0.1:${await start("examples/hono/server.ts")}`
    const { response, leave } = await followed(base, "/presence/jobs/events", {})
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let heard = ""
    const hear = async (what: string): Promise<void> => {
      while (!heard.includes(what)) heard += (await reader?.read())?.value ?? ""
    }
    await hear("event: snapshot")
    const job = text(fetch(`${base}/jobs/backup`, { method: "POST" }))
    await hear('"joins":[{"key":"backup"')
    expect(await job).toBe('{"done":"backup"}')
    await hear('"leaves":[{"key":"backup"')
    expect(await text(fetch(`${base}/presence/jobs`))).toBe("[]")
    await stop()
    leave()
  })
})
