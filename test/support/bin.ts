/**
 * The ready server as a process of its own, in one file.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { bundle } from "./bundle.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
/** A folder that holds it as `dist`. Below the root, so that it finds the dependencies. */
export const home = `${root}node_modules/.cache/effect-presence/${process.pid}`
export const built = `${home}/dist`

/** Of what is in `src` now. */
export const build = (): void => bundle("src/server/bin.ts", `${built}/server/bin.js`)

export const clean = (): void => rmSync(home, { recursive: true, force: true })

export interface Started {
  readonly process: ChildProcess
  /** The line that says it is ready. */
  readonly line: string
  readonly url: string
  readonly port: number
  /** All that it has written. */
  readonly said: () => string
  readonly stop: (signal: NodeJS.Signals) => Effect.Effect<{ readonly code: number | null; readonly millis: number }>
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export const start = (
  environment: Record<string, string>,
  args: ReadonlyArray<string> = [],
  dist = built
): ChildProcess =>
  spawn(process.execPath, [`${dist}/server/bin.js`, ...args], {
    env: { PATH: process.env.PATH, PORT: "0", ...environment },
    stdio: ["ignore", "pipe", "pipe"]
  })

/** Runs it to its end. */
export const run = (environment: Record<string, string>, ...args: ReadonlyArray<string>): Effect.Effect<Ended> =>
  Effect.async((resume) => {
    const child = start(environment, args)
    const texts = { out: "", err: "" }
    child.stdout?.on("data", (text) => {
      texts.out += text
    })
    child.stderr?.on("data", (text) => {
      texts.err += text
    })
    child.on("close", (code) => resume(Effect.succeed({ code, ...texts })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/**
 * Starts it, or what else was built, and waits until it is ready. It is killed with the scope if it has not ended by then.
 */
export const serve = (
  environment: Record<string, string> = {},
  dist = built
): Effect.Effect<Started, string, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => start(environment, [], dist)),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  ).pipe(
    Effect.flatMap((child) =>
      Effect.async<Started, string>((resume) => {
        let out = ""
        let said = ""
        child.stderr?.on("data", (text) => {
          said += text
          resume(Effect.fail(String(text)))
        })
        child.stdout?.on("data", (text) => {
          out += text
          said += text
          const [, line, url = "", port] = /^(.*(http:\/\/\S+:(\d+)).*)\n/m.exec(out) ?? []
          if (line !== undefined)
            resume(
              Effect.succeed({ process: child, line, url, port: Number(port), said: () => said, stop: stop(child) })
            )
        })
        child.on("close", (code) => resume(Effect.fail(`it ended with ${code}`)))
      })
    )
  )

const stop =
  (child: ChildProcess): Started["stop"] =>
  (signal) =>
    Effect.async((resume) => {
      const started = performance.now()
      child.on("close", (code) => resume(Effect.succeed({ code, millis: performance.now() - started })))
      child.kill(signal)
    })
