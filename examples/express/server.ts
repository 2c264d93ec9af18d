/**
 * An Express app that shows who is on its page, without Effect.
 */
import { createServer } from "node:http"
import { type Authorize, createPresence, Unauthorized } from "effect-presence/node"
import express from "express"

const presence = await createPresence()

const app = express()

app.get("/", (_, response) => void response.type("html").send(page))

app.get("/login/:name", (request, response) => {
  response.cookie("name", request.params.name, { httpOnly: true, sameSite: "strict" })
  response.redirect("/")
})

app.get("/online", async (_, response) => void response.json(await presence.count("page:home")))

/** Who has logged in is present under their name for as long as their page is open; everybody may watch. */
const authorize: Authorize = ({ on, request }) => {
  const { name } = request.cookies
  if (on !== "join") return {}
  if (name === undefined) throw new Unauthorized({ status: 401, reason: "log in first: /login/your-name" })
  return { key: name }
}

const page = `<!doctype html>
<title>Who is here</title>
<h1>Who is here: <output>…</output></h1>
<p><a href="/login/alice">I am Alice</a> <a href="/login/bob">I am Bob</a></p>
<script type="module">
  const show = async () => {
    const people = await (await fetch("/presence/page:home")).json()
    document.querySelector("output").value = people.map(({ key }) => key).join(", ") || "nobody"
  }
  const follow = (query) => {
    const events = new EventSource("/presence/page:home/events" + query)
    events.addEventListener("snapshot", show)
    events.addEventListener("diff", show)
    return events
  }
  // Who has not logged in is refused the join, and watches.
  const joined = follow("?key=me")
  joined.onerror = () => joined.readyState === EventSource.CLOSED && follow("")
</script>`

const server = createServer(app)
await presence.attach(server, { authorize })
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object") console.log(`ready on http://127.0.0.1:${address?.port}`)
})

// First the presence, so that nobody's open stream holds the server up.
process.once("SIGTERM", async () => {
  await presence.close()
  server.close()
})
