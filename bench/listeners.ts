/**
 * A process of its own for the row of `sockets.ts`: it joins a topic with many WebSockets, and tells its parent when
 * all have heard something, and then each time that all have heard one more diff.
 */
import { WebSocket } from "ws"

const [url = "", count = ""] = process.argv.slice(2)
const sockets = Number(count)

let greeted = 0
let diffs = 0

for (let i = 0; i < sockets; i++) {
  const ws = new WebSocket(url, { perMessageDeflate: false })
  let first = true
  ws.on("open", () => ws.send(JSON.stringify(["1", "1", "room", "phx_join", {}])))
  ws.on("message", (data) => {
    const bytes = data as Buffer
    if (bytes.includes("presence_diff")) {
      if (++diffs % sockets === 0) process.send?.(bytes.toString())
    } else if (first && bytes.includes("presence_state")) {
      first = false
      if (++greeted === sockets) process.send?.("all are here")
    }
  })
}

process.on("disconnect", () => process.exit())
