/** What somebody who wants to break the server may do without a token, each at a size and bounded in time. */
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import { WebSocket } from "ws"

export interface Attack {
  readonly name: string
  /** Leaves nothing open. `size` is about how many are at it. */
  readonly run: (port: number, size: number) => Promise<void>
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const each = <A>(n: number, make: (i: number) => Promise<A>): Promise<ReadonlyArray<A>> =>
  Promise.all(Array.from({ length: n }, (_, i) => make(i)))

const url = (port: number, query = "vsn=2.0.0"): string => `ws://127.0.0.1:${port}/socket/websocket?${query}`

/** An open socket, or one that was refused: who attacks minds neither. */
const open = async (port: number): Promise<WebSocket> => {
  const ws = new WebSocket(url(port))
  ws.on("error", () => {})
  await Promise.race([once(ws, "open").catch(() => {}), once(ws, "close")])
  return ws
}

const say = (ws: WebSocket, ...frame: ReadonlyArray<unknown>): void => {
  if (ws.readyState === WebSocket.OPEN) ws.send(JSON.stringify(frame))
}

const gone = async (sockets: ReadonlyArray<WebSocket>): Promise<void> => {
  for (const ws of sockets) ws.terminate()
  await pause(50)
}

/** Sends bytes over a connection of its own and does with it what it likes; resolves when it is closed. */
const raw = (port: number, bytes: string, then: (socket: Net.Socket) => void): Promise<void> =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.on("error", () => {})
    socket.on("close", () => resolve())
    socket.on("connect", () => {
      // Unless it is not to be read, so that its end is heard.
      socket.resume()
      socket.write(bytes, () => then(socket))
    })
  })

const ROUTES = [
  "/",
  "/health",
  "/presence/room",
  "/presence/room/events?key=mallory",
  "/socket/websocket?vsn=2.0.0",
  "/socket/websocket?vsn=9",
  "/nothing"
]

/** Requests that ask for an upgrade and are dropped in every way that there is. */
const resets: Attack = {
  name: "upgrades that are dropped",
  run: async (port, size) => {
    for (const route of ROUTES) {
      const head = `GET ${route} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`
      await each(size, (i) =>
        raw(port, i % 4 === 3 ? head : `${head}\r\n`, (socket) => {
          if (i % 4 === 0) socket.resetAndDestroy()
          else if (i % 4 === 1) socket.end()
          else setTimeout(() => socket.resetAndDestroy(), i % 5)
        })
      )
    }
  }
}

/** Many sockets on many topics each, on which nobody is. */
const topics: Attack = {
  name: "topics by the hundred",
  run: async (port, size) => {
    const sockets = await each(size, () => open(port))
    for (const [i, ws] of sockets.entries()) {
      for (let n = 0; n < 100; n++) say(ws, `${n}`, `${n}`, `attack:${i}:${n}`, "phx_join", {})
    }
    await pause(500)
    await gone(sockets)
  }
}

/** Event streams and lists of a large topic that are asked for and never read. */
const unread: Attack = {
  name: "answers that nobody reads",
  run: async (port, size) => {
    const member = await open(port)
    say(member, "1", "1", "large", "phx_join", { key: "large", meta: "x".repeat(16_000) })
    await pause(100)
    const drop = (socket: Net.Socket): void => {
      socket.pause()
      setTimeout(() => socket.destroy(), 1_500)
    }
    const ask = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
    await Promise.all([
      each(size, (i) => raw(port, ask(`/presence/large/events?key=unread${i}`), drop)),
      each(size, () => raw(port, ask("/presence/large").repeat(20), drop))
    ])
    await gone([member])
  }
}

/** Everybody replaces a tiny meta as often as is allowed. */
const metas: Attack = {
  name: "tiny metas at the allowed rate",
  run: async (port, size) => {
    const sockets = await each(size, () => open(port))
    for (const [i, ws] of sockets.entries()) say(ws, "1", "1", "crowd", "phx_join", { key: `m${i}`, meta: 0 })
    await pause(200)
    for (let round = 1; round <= 10; round++) {
      for (const ws of sockets) {
        for (let n = 0; n < 20; n++) say(ws, "1", "2", "crowd", "presence", { event: "track", payload: round * n })
      }
      await pause(100)
    }
    await gone(sockets)
  }
}

/** Frames that are none, too large, nested too deep, out of place, reserved, or only there to be answered. */
const junk: Attack = {
  name: "frames that are none",
  run: async (port, size) => {
    const deep = "[".repeat(50_000) + "]".repeat(50_000)
    const frames: ReadonlyArray<string | Buffer> = [
      "no JSON",
      "[]",
      '["1"]',
      "null",
      deep,
      `["1","1","junk","phx_join",${deep}]`,
      JSON.stringify([null, "1", "junk", "phx_close", {}]),
      JSON.stringify(["1", "1", "", "phx_join", {}]),
      JSON.stringify(["1", "1", "junk\ud800", "phx_join", {}]),
      Buffer.from([0, 255, 255, 255, 255, 1]),
      Buffer.alloc(2_000_000, "x"),
      "x".repeat(1_500_000)
    ]
    await each(size, async (i) => {
      const ws = await open(port)
      const frame = frames[i % frames.length] ?? ""
      for (let n = 0; n < 50 && ws.readyState === WebSocket.OPEN; n++) {
        ws.send(frame)
        ws.ping("x".repeat(100))
      }
      await pause(200)
      ws.terminate()
    })
  }
}

/** Connections that begin a request and say no more. */
const slow: Attack = {
  name: "requests that never end",
  run: async (port, size) => {
    await each(size * 2, (i) =>
      raw(
        port,
        i % 2 === 0 ? "GET / HTT" : "POST /socket/longpoll HTTP/1.1\r\nContent-Length: 1000000\r\n",
        (socket) => {
          setTimeout(() => socket.destroy(), 1_000)
        }
      )
    )
  }
}

/** Sockets that join as somebody and die, again and again. */
const churn: Attack = {
  name: "joins that die at once",
  run: async (port, size) => {
    for (let round = 0; round < 5; round++) {
      const sockets = await each(size, () => open(port))
      for (const [i, ws] of sockets.entries()) say(ws, "1", "1", "churn", "phx_join", { key: `c${i}`, meta: { round } })
      await gone(sockets)
    }
  }
}

/** Very many who join one topic in one moment, and two of whom say things to all of them. */
const crowd: Attack = {
  name: "a crowd on one topic",
  run: async (port, size) => {
    const sockets: Array<WebSocket> = []
    while (sockets.length < size * 25) sockets.push(...(await each(size, () => open(port))))
    for (const [i, ws] of sockets.entries()) say(ws, "1", "1", "crowd", "phx_join", { key: `m${i}`, meta: 0 })
    const [one, two] = sockets
    for (let round = 0; round < 20; round++) {
      for (const ws of [one, two]) if (ws !== undefined) say(ws, "1", "2", "crowd", "shout", { round })
      await pause(100)
    }
    await gone(sockets)
  }
}

/** A large topic that changes all the time, while four do something again and again. */
const onLargeTopic = async (port: number, size: number, act: () => Promise<void>): Promise<void> => {
  const members: Array<WebSocket> = []
  for (let i = 0; i < size * 3; i++) {
    const ws = await open(port)
    // Nobody reads what all of them are told: that is another attack.
    ws.pause()
    // Half of them are one key's, as is who changes.
    say(ws, "1", "1", "large", "phx_join", { key: i % 2 === 0 ? "many" : `m${i}`, meta: "x".repeat(15_000) })
    members.push(ws)
  }
  const changer = await open(port)
  say(changer, "1", "1", "large", "phx_join", { key: "many", meta: 0 })
  const changing = setInterval(
    () => say(changer, "1", "2", "large", "presence", { event: "track", payload: Date.now() }),
    10
  )
  const until = performance.now() + 2_000
  await each(4, async () => {
    while (performance.now() < until) await act()
  })
  clearInterval(changing)
  await gone([...members, changer])
}

/** Its list, as often as it can be read. */
const lists: Attack = {
  name: "lists of a large topic that changes",
  run: async (port, size) => {
    const agent = new Http.Agent({ keepAlive: true })
    await onLargeTopic(port, size, async () => {
      const request = Http.get({ port, host: "127.0.0.1", path: "/presence/large", agent })
      const [response] = (await once(request, "response")) as [Http.IncomingMessage]
      response.resume()
      await once(response, "end")
    })
    agent.destroy()
  }
}

/** Its state, as often as it can be joined. */
const states: Attack = {
  name: "joins of a large topic that changes",
  run: (port, size) =>
    onLargeTopic(port, size, async () => {
      const ws = await open(port)
      say(ws, "1", "1", "large", "phx_join", {})
      for (let heard = 0; heard < 2 && ws.readyState === WebSocket.OPEN; heard++) {
        await Promise.race([once(ws, "message"), once(ws, "close")])
      }
      ws.terminate()
    })
}

/** Forty replace large metas as often as is allowed, and all hear of all of them: by sockets, by event streams and by polls. */
const large: Attack = {
  name: "large metas for very many",
  run: async (port, size) => {
    const sockets = await each(size, () => open(port))
    for (const [i, ws] of sockets.entries()) say(ws, "1", "1", "large", "phx_join", { key: `m${i}`, meta: 0 })
    const agent = new Http.Agent({ maxSockets: Number.POSITIVE_INFINITY })
    const streams = await each(size, async () => {
      const request = Http.get({ port, host: "127.0.0.1", path: "/presence/large/events", agent })
      const [response] = (await once(request, "response")) as [Http.IncomingMessage]
      response.on("error", () => {})
      return response.resume()
    })
    let left = false
    const polling = each(Math.ceil(size / 2), async () => {
      const path = await session(port, JSON.stringify(["1", "1", "large", "phx_join", {}]))
      while (!left) await (await fetch(path)).arrayBuffer()
      await hangUp(path)
    })
    for (let round = 0; round < 20; round++) {
      for (const ws of sockets.slice(0, 40)) {
        say(ws, "1", "2", "large", "presence", { event: "track", payload: round + "x".repeat(15_000) })
      }
      await pause(100)
    }
    left = true
    for (const response of streams) response.destroy()
    agent.destroy()
    await gone(sockets)
    await polling
  }
}

/** Requests that do not wait for the answers before them, by the thousand. */
const pipelines: Attack = {
  name: "requests in one go",
  run: async (port, size) => {
    for (const path of ["/presence/room", "/health", "/presence/room/events?key=mallory"]) {
      const asked = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`.repeat(1_400)
      await each(Math.ceil(size / 4), () =>
        raw(port, asked, (socket) => {
          setTimeout(() => socket.destroy(), 500)
        })
      )
    }
  }
}

/** Messages in more parts than there is to say. */
const fragments: Attack = {
  name: "messages in empty parts",
  run: async (port, size) => {
    const sockets = await each(size, () => open(port))
    for (let round = 0; round < 5; round++) {
      for (const ws of sockets) {
        if (ws.readyState !== WebSocket.OPEN) continue
        for (let n = 0; n < 1_000; n++) ws.send("", { fin: false, binary: false })
      }
      await pause(50)
    }
    await gone(sockets)
  }
}

/** Everybody under one key or another watches one topic by a response, and all go at once. */
const crowds: Attack = {
  name: "event streams that close at once",
  run: async (port, size) => {
    const streams: Array<Net.Socket> = []
    const over = each(size * 5, (i) =>
      raw(port, `GET /presence/crowded/events?key=c${i} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, (socket) => {
        streams.push(socket)
      })
    )
    while (streams.length < size * 5) await pause(20)
    await pause(500)
    for (const socket of streams) socket.destroy()
    await over
  }
}

/** A session of long polling, by requests that wait for their answers. */
const session = async (port: number, body: string): Promise<string> => {
  const poll = `http://127.0.0.1:${port}/socket/longpoll?vsn=2.0.0`
  const opened = await fetch(poll).then((response) => response.json() as Promise<{ readonly token: string }>)
  const path = `${poll}&token=${opened.token}`
  await fetch(path, { method: "POST", body, headers: { "content-type": "application/x-ndjson" } })
  return path
}

/** Polls until it ends a poll that waits, which ends the session. */
const hangUp = async (path: string): Promise<void> => {
  try {
    for (;;) {
      const response = await fetch(path, { signal: AbortSignal.timeout(200) })
      if (((await response.json()) as { readonly status: number }).status === 410) return
    }
  } catch {}
}

/** Posts of as many messages as fit, and large texts to many who poll and do not read. */
const posts: Attack = {
  name: "posts of a million messages, and texts to many who poll",
  run: async (port, size) => {
    await each(Math.ceil(size / 12), () => session(port, "x\n".repeat(1_048_575)))
    const joins = JSON.stringify(["1", "1", "polled", "phx_join", {}])
    const paths: Array<string> = []
    for (let n = 0; n < size; n += 10) paths.push(...(await each(10, () => session(port, joins))))
    const speaker = await open(port)
    say(speaker, "1", "1", "polled", "phx_join", {})
    for (let n = 0; n < 4; n++) say(speaker, "1", "2", "polled", "shout", { text: `\u4e00${"a".repeat(1_000_000)}` })
    await pause(1_000)
    await gone([speaker])
    await Promise.all(paths.map(hangUp))
  }
}

/** Sessions of long polling that are opened and left alone. */
const sessions: Attack = {
  name: "sessions that are opened and left",
  run: async (port, size) => {
    const agent = new Http.Agent({ keepAlive: true, maxSockets: 20 })
    await each(size * 4, async () => {
      const request = Http.get({ port, host: "127.0.0.1", path: "/socket/longpoll?vsn=2.0.0", agent })
      request.on("error", () => {})
      const [response] = (await once(request, "response")) as [Http.IncomingMessage]
      let text = ""
      for await (const chunk of response) text += chunk
      const { token } = JSON.parse(text)
      // A poll that its client ends is the end of the session.
      const poll = Http.get({ port, host: "127.0.0.1", path: `/socket/longpoll?vsn=2.0.0&token=${token}` })
      poll.on("error", () => {})
      await pause(200)
      poll.destroy()
    })
    agent.destroy()
  }
}

export const attacks: ReadonlyArray<Attack> = [
  resets,
  topics,
  unread,
  lists,
  states,
  large,
  crowd,
  metas,
  junk,
  slow,
  churn,
  sessions,
  pipelines,
  fragments,
  crowds,
  posts
]
