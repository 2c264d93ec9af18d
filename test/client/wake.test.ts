/** What a page does with its connection when it wakes. */
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import type { Socket } from "phoenix"
import { onWake } from "../../src/client/wake.js"

const page = { visibilityState: "visible", wake: () => {} }

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal("addEventListener", (event: string, listener: () => void) => {
    if (event === "online") page.wake = listener
  })
  vi.stubGlobal("document", {
    get visibilityState() {
      return page.visibilityState
    },
    addEventListener: () => {}
  })
})
afterEach(() => {
  page.visibilityState = "visible"
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** A connection as Phoenix's client shows it. */
const makeSocket = () => {
  const socket = {
    conn: {},
    state: "open",
    wanted: true,
    answer: () => {},
    connects: 0,
    look: () => {},
    connectionState: () => socket.state,
    isConnected: () => socket.state === "open",
    ping: (answer: () => void) => {
      socket.answer = answer
      return socket.state === "open"
    },
    disconnect: (then: () => void) => then(),
    connect: () => {
      socket.connects++
      socket.conn = {}
      socket.state = "connecting"
    }
  }
  socket.look = onWake(socket as unknown as Socket, () => socket.wanted)
  return socket
}

describe("who wakes", () => {
  it("with a connection that answers keeps it", () => {
    const socket = makeSocket()
    page.wake()
    socket.answer()
    vi.advanceTimersByTime(60_000)
    expect(socket.connects).toBe(0)
  })

  it("with one that does not answer within five seconds gets another", () => {
    const socket = makeSocket()
    page.wake()
    vi.advanceTimersByTime(4_900)
    expect(socket.connects).toBe(0)
    vi.advanceTimersByTime(200)
    expect(socket.connects).toBe(1)
    vi.advanceTimersByTime(60_000)
    expect(socket.connects).toBe(1)
  })

  it("keeps the one that has come meanwhile", () => {
    const socket = makeSocket()
    page.wake()
    socket.conn = {}
    vi.advanceTimersByTime(60_000)
    expect(socket.connects).toBe(0)
  })

  it("without one connects at once, and waits five seconds for one that is being opened", () => {
    const socket = makeSocket()
    socket.state = "closed"
    page.wake()
    expect(socket.connects).toBe(1)
    page.wake()
    vi.advanceTimersByTime(5_100)
    expect(socket.connects).toBe(2)
    page.wake()
    socket.state = "open"
    vi.advanceTimersByTime(60_000)
    expect(socket.connects).toBe(2)
  })

  it("is known by the clock where no event tells of it", () => {
    const socket = makeSocket()
    socket.look()
    vi.advanceTimersByTime(60_000)
    // Another timer, another clock: a machine slept, and nothing was told.
    vi.setSystemTime(Date.now() + 3_600_000)
    vi.advanceTimersByTime(5_000)
    expect(socket.connects).toBe(0)
    vi.advanceTimersByTime(5_000)
    expect(socket.connects).toBe(1)
  })

  it("has no timer where nobody has joined", () => {
    const socket = makeSocket()
    socket.look()
    socket.wanted = false
    socket.look()
    expect(vi.getTimerCount()).toBe(0)
  })

  it("out of sight, or where nobody has joined, does nothing", () => {
    const socket = makeSocket()
    socket.state = "closed"
    page.visibilityState = "hidden"
    page.wake()
    page.visibilityState = "visible"
    socket.wanted = false
    page.wake()
    expect(socket.connects).toBe(0)
  })
})
