/** The page of `app.tsx` in a tab, with one of the versions of React. */
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import type { Browser, Page } from "playwright-core"
import { bundle } from "../../client/support/bundle.js"
import { becomes } from "../../support/chromium.js"
import type { AppProps } from "./props.js"

/** What a program imports as `react` and `react-dom`. */
export const REACTS: Readonly<Record<string, Record<string, string>>> = {
  "React 18": { react: "react-18", "react-dom": "react-dom-18" },
  "React 19": {}
}

const app = fileURLToPath(new URL("app.tsx", import.meta.url))

export const buildPage = async (alias: Record<string, string>): Promise<string> =>
  (await bundle(`import { start } from ${JSON.stringify(app)}\nstart(window.props)`, { alias, minify: false })).text

/** The page as a server of Node renders it. */
export const renderPage = async (alias: Record<string, string>, props: AppProps): Promise<string> => {
  const { text } = await bundle(
    `import { renderToString } from "react-dom/server"
import { App } from ${JSON.stringify(app)}
export const html = (props) => renderToString(<App props={props} />)`,
    { alias, platform: "node", format: "cjs", minify: false }
  )
  const module = { exports: {} as { html?: (props: AppProps) => string } }
  new Function("module", "exports", "require", text)(
    module,
    module.exports,
    (await import("node:module")).createRequire(app)
  )
  return module.exports.html?.(props) ?? ""
}

export interface Tab {
  readonly page: Page
  /** What its console said that nobody wants to hear. */
  readonly complaints: ReadonlyArray<string>
  readonly show: (props: AppProps) => Effect.Effect<void>
  /** What a room says there. */
  readonly says: (room: string, text: string | null) => Effect.Effect<void>
  /** Runs JavaScript there. */
  readonly run: <A>(script: string) => Effect.Effect<A>
}

/** Opens it, as if it came from that origin, until the scope closes. */
export const openApp = (
  browser: Browser,
  script: string,
  origin: string,
  props: AppProps,
  html = ""
): Effect.Effect<Tab, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const context = await browser.newContext()
      const page = await context.newPage()
      page.setDefaultTimeout(300_000)
      const complaints: Array<string> = []
      page.on("console", (message) => {
        // What React recommends, and that a connection fails, which the browser says and which is what is tested.
        if (message.text().includes("React DevTools")) return
        if (!message.text().includes("WebSocket connection to")) complaints.push(message.text())
      })
      page.on("pageerror", (error) => complaints.push(String(error)))
      const body = `<!doctype html><link rel="icon" href="data:,"><div id="root">${html}</div>
<script>window.props = ${JSON.stringify(props)}</script><script type="module" src="/app.js"></script>`
      await page.route(`${origin}/app.js`, (route) => route.fulfill({ contentType: "text/javascript", body: script }))
      // A document that really comes from there: one that was made up may not reach servers of this machine.
      await page.goto(`${origin}/health`)
      await page.setContent(body)
      const run = <A>(text: string) => Effect.promise(() => page.evaluate(text) as Promise<A>)
      return {
        page,
        complaints,
        run,
        show: (next: AppProps) => run<void>(`window.show(${JSON.stringify(next)})`),
        says: (room: string, text: string | null) =>
          becomes(page, `document.getElementById(${JSON.stringify(room)})?.innerText ?? null`, text)
      }
    }),
    ({ page }) => Effect.promise(() => page.context().close())
  )
