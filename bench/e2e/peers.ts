/**
 * The servers beside us, each as people write it: `node peers.js ws`, `batched` or `socket.io`, on a free port.
 *
 * `ws` passes each change on at once; `batched` gathers 50 ms of them into one diff, as we do, and is the floor of what
 * presence over WebSockets can cost: it knows no keys with several connections, no slow readers, no limits, no refs.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Server } from "socket.io"
import { type WebSocket, WebSocketServer } from "ws"

const [kind] = process.argv.slice(2)
const http = createServer()

class Room {
  readonly sockets = new Set<WebSocket>()
  readonly members = new Map<string, string>()
  private readonly joined = new Map<string, string>()
  private readonly left = new Set<string>()
  private timer: NodeJS.Timeout | undefined

  tell(change: "join" | "update" | "leave", key: string, meta: string, from: WebSocket): void {
    if (change === "leave") this.members.delete(key)
    else this.members.set(key, meta)
    if (kind === "ws") {
      this.send(`["${change}","${key}"${change === "leave" ? "" : `,${meta}`}]`, change === "join" ? from : undefined)
      return
    }
    if (change === "leave") {
      this.joined.delete(key)
      this.left.add(key)
    } else {
      this.left.delete(key)
      this.joined.set(key, meta)
    }
    this.timer ??= setTimeout(() => this.flush(), 50)
  }

  get state(): string {
    return `["state",${asJson(this.members)}]`
  }

  private flush(): void {
    this.timer = undefined
    this.send(`["diff",{"joins":${asJson(this.joined)},"leaves":${JSON.stringify([...this.left])}}]`, undefined)
    this.joined.clear()
    this.left.clear()
  }

  private send(text: string, except: WebSocket | undefined): void {
    const bytes = Buffer.from(text)
    for (const socket of this.sockets) if (socket !== except) socket.send(bytes, { binary: false })
  }
}

const asJson = (metas: ReadonlyMap<string, string>): string =>
  `{${Array.from(metas, ([key, meta]) => `"${key}":${meta}`).join(",")}}`

const serveWebSockets = (): void => {
  const rooms = new Map<string, Room>()
  const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false })
  server.on("connection", (socket) => {
    let room: Room | undefined
    let key = ""
    socket.on("error", () => {})
    socket.on("message", (data) => {
      const said = JSON.parse(String(data))
      if (said[0] === "update") return room?.tell("update", key, JSON.stringify(said[1]), socket)
      const [, name, as, meta] = said
      key = as
      room = rooms.get(name) ?? new Room()
      rooms.set(name, room)
      room.tell("join", key, JSON.stringify(meta), socket)
      room.sockets.add(socket)
      socket.send(room.state)
    })
    socket.on("close", () => {
      room?.sockets.delete(socket)
      room?.tell("leave", key, "", socket)
    })
  })
}

const serveSocketIo = (): void => {
  const rooms = new Map<string, Map<string, unknown>>()
  const io = new Server(http, { transports: ["websocket"], serveClient: false })
  io.on("connection", (socket) => {
    let room = ""
    let key = ""
    socket.on("join", (name: string, as: string, meta: unknown) => {
      room = name
      key = as
      socket.join(room)
      const members = rooms.get(room) ?? new Map<string, unknown>()
      rooms.set(room, members.set(key, meta))
      socket.emit("state", Object.fromEntries(members))
      socket.to(room).emit("join", key, meta)
    })
    socket.on("update", (meta: unknown) => {
      rooms.get(room)?.set(key, meta)
      io.to(room).emit("update", key, meta)
    })
    socket.on("disconnect", () => {
      rooms.get(room)?.delete(key)
      io.to(room).emit("leave", key)
    })
  })
}

if (kind === "socket.io") serveSocketIo()
else if (kind === "ws" || kind === "batched") serveWebSockets()
else throw new Error(`${kind} is neither ws, batched nor socket.io`)

http.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  console.log(`ready on http://127.0.0.1:${(http.address() as AddressInfo).port}`)
})
