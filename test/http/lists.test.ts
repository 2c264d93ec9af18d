import { IncomingMessage, ServerResponse } from "node:http"
import { Socket } from "node:net"
import { HttpServerResponse } from "@effect/platform"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import { afterEach, beforeEach, expect, it, vi } from "@effect/vitest"
import { Lists } from "../../src/http/lists.js"

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => vi.useRealTimers())

const entries = [{ key: "alice", metas: [{}] }]
const bytes = JSON.stringify(entries).length

/** As much of a request as a list looks at. */
const makeRequest = () => {
  const socket = new Socket()
  const source = new IncomingMessage(socket)
  const response = new ServerResponse(source)
  return { socket, response, request: { source, response } as unknown as HttpServerRequest }
}

const makeLists = (unsentTotal: number) => {
  const onTheirWay = { bytes: 0 }
  const json = (body: unknown) => HttpServerResponse.unsafeJson(body)
  return { onTheirWay, lists: new Lists({ unsentFor: 1_000, unsentTotal, onTheirWay, json }) }
}

it("a list that is not through after ten times its time is cut off, however steadily it is read", () => {
  const { lists } = makeLists(1_000_000)
  const [slow, quick] = [makeRequest(), makeRequest()]
  lists.answer(slow.request, entries)
  lists.answer(quick.request, entries)
  quick.response.emit("finish")
  vi.advanceTimersByTime(9_999)
  expect(slow.socket.destroyed).toBe(false)
  vi.advanceTimersByTime(2)
  expect([slow.socket.destroyed, quick.socket.destroyed]).toEqual([true, false])
})

it("is counted until it is through, made once, and refused where too much is on its way", () => {
  const { lists, onTheirWay } = makeLists(bytes * 1.5)
  const [one, two] = [makeRequest(), makeRequest()]
  const first = lists.answer(one.request, entries)
  expect(onTheirWay.bytes).toBe(bytes)
  expect(lists.answer(two.request, entries)).toBeUndefined()
  one.response.emit("close")
  expect(onTheirWay.bytes).toBe(0)
  expect(lists.answer(two.request, entries)).toBe(first)
})
