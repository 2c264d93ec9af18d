import { IncomingMessage, ServerResponse } from "node:http"
import { Socket } from "node:net"
import { HttpServerResponse } from "@effect/platform"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { Lists } from "../../src/http/lists.js"
import type { PresenceEntry } from "../../src/index.js"

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

type Entries = ReadonlyArray<PresenceEntry>

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
  const lists = new Lists({ unsentFor: 1_000, unsentTotal, onTheirWay, headers: {} })
  return {
    onTheirWay,
    lists,
    answer: (request: HttpServerRequest) => Effect.runSync(lists.answer(request, "room", Effect.succeed(entries)))
  }
}

it("a list that is not through after ten times its time is cut off, however steadily it is read", () => {
  const { answer } = makeLists(1_000_000)
  const [slow, quick] = [makeRequest(), makeRequest()]
  answer(slow.request)
  answer(quick.request)
  quick.response.emit("finish")
  vi.advanceTimersByTime(9_999)
  expect(slow.socket.destroyed).toBe(false)
  vi.advanceTimersByTime(2)
  expect([slow.socket.destroyed, quick.socket.destroyed]).toEqual([true, false])
})

it("is counted until it is through, made once, and refused where too much is on its way", () => {
  const { answer, onTheirWay } = makeLists(bytes * 1.5)
  const [one, two] = [makeRequest(), makeRequest()]
  const first = answer(one.request)
  expect(onTheirWay.bytes).toBe(bytes)
  expect(answer(two.request)).toBeUndefined()
  one.response.emit("close")
  expect(onTheirWay.bytes).toBe(0)
  expect(answer(two.request)).toBe(first)
})

describe("a long list", () => {
  beforeEach(() => {
    vi.useRealTimers()
  })

  const long = (n: number): Entries => [
    { key: "__proto__", metas: [] },
    { key: 'a"b', metas: Array.from({ length: 30 }, (_, i) => ({ n, i, text: "ü".repeat(10_000) })) },
    { key: "bob", metas: [null, 1, ["x"]] }
  ]

  /** Its topic, and who asks for it: each answer is there once enough turns are over. */
  const makeRoom = () => {
    const lists = new Lists({ unsentFor: 1_000, unsentTotal: 1e9, onTheirWay: { bytes: 0 }, headers: { "x-y": "z" } })
    const room = { entries: long(0), asked: 0 }
    const list = Effect.sync(() => {
      room.asked++
      return room.entries
    })
    const ask = () => {
      const fiber = Effect.runFork(lists.answer(makeRequest().request, "room", list))
      return { fiber, response: () => Exit.getOrElse(fiber.unsafePoll() ?? Exit.succeed(undefined), () => undefined) }
    }
    return { room, ask }
  }

  const json = async (response: HttpServerResponse.HttpServerResponse | undefined) => {
    if (response === undefined) throw new Error("there is no answer")
    const text = await HttpServerResponse.toWeb(response).text()
    expect(response.body.contentLength).toBe(Buffer.byteLength(text))
    expect(response.headers).toMatchObject({ "x-y": "z", "content-type": "application/json" })
    return JSON.parse(text)
  }

  const untilThere = async (...asked: ReadonlyArray<ReturnType<ReturnType<typeof makeRoom>["ask"]>>) => {
    let turns = 0
    for (; asked.some(({ response }) => response() === undefined); turns++) await new Promise(setImmediate)
    return turns
  }

  it("is made in turns, once for all who ask for the same", async () => {
    const { room, ask } = makeRoom()
    // Each block takes a turn.
    vi.spyOn(performance, "now").mockImplementation(
      (
        (now) => () =>
          (now += 10)
      )(0)
    )
    const [one, two] = [ask(), ask()]
    expect([one.response(), two.response()]).toEqual([undefined, undefined])
    expect(await untilThere(one, two)).toBeGreaterThan(3)
    expect(one.response()).toBe(two.response())
    expect(await json(one.response())).toEqual(long(0))
    expect(ask().response()).toBe(one.response())
    expect(room.asked).toBe(3)
  })

  it("that changes while it is made is made anew for those who asked after that, once for all of them", async () => {
    const { room, ask } = makeRoom()
    const before = ask()
    room.entries = long(1)
    const meanwhile = [ask(), ask()]
    room.entries = long(2)
    await untilThere(before, ...meanwhile)
    expect(await json(before.response())).toEqual(long(0))
    expect(await json(meanwhile[0]?.response())).toEqual(long(2))
    expect(meanwhile[1]?.response()).toBe(meanwhile[0]?.response())
  })

  it("is not made for who has gone, and does not stand in the way of who comes then", async () => {
    const { room, ask } = makeRoom()
    const gone = ask()
    room.entries = long(1)
    const comes = ask()
    Effect.runFork(Fiber.interrupt(gone.fiber))
    await untilThere(comes)
    expect(await json(comes.response())).toEqual(long(1))
  })
})
