/** The published Phoenix client, unmodified, over real sockets: the rows of the protocol. */
import { get } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Unauthorized } from "../../../src/PresenceError.js"
import { connect, phoenixUrl } from "../support/client.js"
import { join, phoenixSocket } from "../support/phoenix.js"
import { makeServer } from "../support/server.js"

describe("connecting", () => {
  it.scopedLive("a vsn other than 1.0.0 and 2.x is 403, a missing one is 1.0.0", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      expect(yield* Effect.flip(connect(phoenixUrl(url, "vsn=3.0.0")))).toBe(403)
      const client = yield* connect(phoenixUrl(url, ""))
      client.ws.send(JSON.stringify({ topic: "phoenix", event: "heartbeat", payload: {}, ref: "1" }))
      expect(yield* client.until(() => client.frames[0] as unknown)).toEqual({
        topic: "phoenix",
        event: "phx_reply",
        payload: { status: "ok", response: {} },
        ref: "1",
        join_ref: null
      })
    })
  )

  it.scopedLive("authorize is asked at the upgrade, with the parameters, and who is refused is told why", () =>
    Effect.gen(function* () {
      const attempts: Array<unknown> = []
      const { url } = yield* makeServer({
        authorize: ({ on, topic, payload, request }) => {
          attempts.push([on, topic, payload.token, request.headers["x-test"]])
          return payload.token === "good"
            ? Effect.succeed({})
            : Effect.fail(new Unauthorized({ status: payload.token === "bad" ? 403 : 401, reason: "no" }))
        }
      })
      expect(yield* (yield* connect(phoenixUrl(url))).end).toEqual({ code: 4401, reason: "no" })
      expect(yield* (yield* connect(phoenixUrl(url, "vsn=2.0.0&token=bad"))).end).toEqual({ code: 4403, reason: "no" })
      yield* connect(phoenixUrl(url, "vsn=2.0.0&token=good"), { headers: { "x-test": "yes" } })
      expect(attempts).toEqual([
        ["connect", undefined, undefined, undefined],
        ["connect", undefined, "bad", undefined],
        ["connect", undefined, "good", "yes"]
      ])
    })
  )

  it.scopedLive("with authToken two subprotocols are offered and phoenix is answered", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const socket = yield* phoenixSocket(url, { authToken: "secret" })
      yield* join(socket, "room:1")
      expect(socket.conn?.protocol).toBe("phoenix")
      const plain = yield* connect(phoenixUrl(url))
      expect(plain.ws.protocol).toBe("")
    })
  )

  it.scopedLive("pages of other origins are refused, those of this machine and clients that are no page get in", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      for (const origin of ["https://evil.example", "null", "http://localhost.evil.example"]) {
        expect(yield* Effect.flip(connect(phoenixUrl(url), { origin }))).toBe(403)
      }
      const host = url.replace("ws:", "http:")
      for (const origin of [host, "http://localhost:5173"]) yield* connect(phoenixUrl(url), { origin })
      yield* connect(phoenixUrl(url))
      const listed = yield* makeServer({ allowedOrigins: ["https://app.example"] })
      yield* connect(phoenixUrl(listed.url), { origin: "https://app.example" })
      expect(yield* Effect.flip(connect(phoenixUrl(listed.url), { origin: "http://localhost:5173" }))).toBe(403)
      yield* connect(phoenixUrl(listed.url))
    })
  )

  it.scopedLive("who offers other subprotocols gets in with the first of them, and a token is not sent back", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const token = "base64url.bearer.phx.c2VjcmV0"
      for (const [protocols, answered] of [
        [["foo", "bar"], "foo"],
        [["graphql-transport-ws"], "graphql-transport-ws"],
        [["foo", "phoenix"], "phoenix"],
        [[token, "foo"], "foo"],
        [[token, "phoenix"], "phoenix"]
      ] as const) {
        const client = yield* connect(phoenixUrl(url), { protocols })
        expect(client.ws.protocol).toBe(answered)
        client.say("1", "1", "room", "phx_join", {})
        expect(yield* client.reply("1")).toEqual({ status: "ok", response: {} })
      }
    })
  )

  it.scopedLive("JSON in a binary frame is answered, whatever the version", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const old = yield* connect(phoenixUrl(url, "vsn=1.0.0"))
      old.ws.send(Buffer.from(`{"topic":"room","event":"phx_join","payload":{},"ref":"1","join_ref":"1"}`))
      const object = yield* old.until(() => (old.frames as ReadonlyArray<unknown>)[0])
      expect(object).toMatchObject({ topic: "room", event: "phx_reply", ref: "1", payload: { status: "ok" } })
      const list = yield* connect(phoenixUrl(url))
      list.ws.send(Buffer.from(`["1","1","room","phx_join",{}]`))
      expect(yield* list.reply("1")).toEqual({ status: "ok", response: {} })
      const none = yield* connect(phoenixUrl(url, "vsn=1.0.0"))
      none.ws.send(Buffer.from([0, 1, 2]))
      expect(yield* none.end).toEqual({ code: 1007, reason: "no JSON" })
    })
  )

  it.scopedLive("HEAD is 426 as GET is, any other method 405 with what is allowed, both as JSON", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const http = url.replace("ws:", "http:")
      for (const path of ["/socket/websocket", "/realtime/v1/websocket?vsn=2.0.0"]) {
        for (const [method, status, allow] of [
          ["GET", 426, null],
          ["HEAD", 426, null],
          ["OPTIONS", 405, "GET"],
          ["POST", 405, "GET"],
          ["DELETE", 405, "GET"]
        ] as const) {
          const response = yield* Effect.promise(() => fetch(`${http}${path}`, { method }))
          expect([method, response.status, response.headers.get("allow")]).toEqual([method, status, allow])
          const body = yield* Effect.promise(() => response.text())
          if (method === "HEAD") expect(body).toBe("")
          else
            expect(JSON.parse(body)).toEqual({ error: expect.stringContaining(status === 405 ? method : "WebSocket") })
        }
      }
    })
  )

  it.scopedLive("no query makes the server fail", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      for (const query of ["%", "%E0%A4%A", "a=%&b=%ff&&&=&=x", "__proto__=1&constructor=2", "?", "a[b]=1&a=2&a=3"]) {
        const client = yield* connect(phoenixUrl(url, `vsn=2.0.0&${query}`))
        client.say(null, "1", "phoenix", "heartbeat", {})
        expect(yield* client.reply("1")).toEqual({ status: "ok", response: {} })
      }
    })
  )

  it.scopedLive("what is no WebSocket gets 426, an unknown path 404, a broken handshake 400", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const http = url.replace("ws:", "http:")
      const status = (path: string, headers = {}) =>
        Effect.promise(() => fetch(`${http}${path}`, { headers }).then((response) => response.status))
      expect(yield* status("/socket/websocket?vsn=2.0.0")).toBe(426)
      expect(yield* status("/socket/poll?vsn=2.0.0")).toBe(404)
      expect(yield* Effect.flip(connect(`${url}/socket/other`))).toBe(404)
      const handshake = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" }
      const broken = Effect.async<number | undefined>((resume) => {
        const headers = { ...handshake, "sec-websocket-key": "short" }
        get(`${http}/socket/websocket?vsn=2.0.0`, { headers }, (response) => {
          response.resume()
          resume(Effect.succeed(response.statusCode))
        })
      })
      expect(yield* broken).toBe(400)
    })
  )
})
