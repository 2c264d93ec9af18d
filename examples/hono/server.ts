/**
 * A Hono app that tells who is in a room, by routes that need no socket, and a job that is present while it runs.
 */
import type { AddressInfo } from "node:net"
import { serve } from "@hono/node-server"
import { allowAll, createPresence } from "effect-presence/node"
import { Hono } from "hono"

const presence = await createPresence()
const handle = presence.fetch({ authorize: allowAll })

const app = new Hono()

app.all("/presence/*", (context) => handle(context.req.raw))

app.post("/jobs/:name", async (context) => {
  // Alive is who runs, so no ttl: the block's end is the leave, also when it throws.
  await using lease = await presence.track("jobs", context.req.param("name"), {}, { ttl: Infinity })
  await new Promise((resolve) => setTimeout(resolve, 200))
  return context.json({ done: lease.key })
})

const server = serve(
  { fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" },
  ({ port }: AddressInfo) => console.log(`ready on http://127.0.0.1:${port}`)
)

process.once("SIGTERM", async () => {
  await presence.close()
  server.close()
})
