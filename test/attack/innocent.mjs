/**
 * Two who know each other, in a process of their own so that no attacker's load is taken for the server's: one says
 * something new all the time, the other hears all of it and beats. Told to end, it says what they met with.
 */
import { once } from "node:events"
import { WebSocket } from "ws"

const port = Number(process.argv[2])
const complaints = []
const latencies = []
const heard = new Set()
const sent = new Map()

const open = async (key) => {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0`)
  await once(ws, "open")
  ws.on("close", (code) => complaints.push(`${key} was closed with ${code}`))
  ws.send(JSON.stringify(["1", "1", "home", "phx_join", { key, meta: { n: -1 } }]))
  return ws
}

const [listener, speaker] = [await open("listener"), await open("speaker")]
listener.on("message", (data) => {
  const text = String(data)
  for (const [, n] of text.matchAll(/"n":(\d+)/g)) heard.add(Number(n))
  const ref = /^\[null,"(b\d+)"/.exec(text)?.[1]
  const at = sent.get(ref)
  if (at === undefined) return
  sent.delete(ref)
  latencies.push(performance.now() - at)
})

let said = 0
let beats = 0
const beat = setInterval(() => {
  const ref = `b${beats++}`
  sent.set(ref, performance.now())
  listener.send(JSON.stringify([null, ref, "phoenix", "heartbeat", {}]))
}, 20)
const say = setInterval(() => {
  speaker.send(JSON.stringify(["1", `s${said}`, "home", "presence", { event: "track", payload: { n: said++ } }]))
}, 100)

process.send("ready")
await once(process, "message")
clearInterval(beat)
clearInterval(say)

// What was said and asked last is on its way.
const last = said - 1
const until = performance.now() + 60_000
const isWaiting = () => sent.size > 0 || (last >= 0 && !heard.has(last))
while (isWaiting() && performance.now() < until && complaints.length === 0) {
  await new Promise((resolve) => setTimeout(resolve, 20))
}
if (sent.size > 0) complaints.push(`${sent.size} of ${beats} heartbeats were never answered`)
if (last >= 0 && !heard.has(last)) complaints.push("what the speaker said last was never heard")
for (const ws of [listener, speaker]) {
  ws.removeAllListeners("close")
  const closed = once(ws, "close")
  ws.close()
  await closed
}
process.send({ latencies: latencies.sort((a, b) => a - b), complaints })
process.disconnect()
