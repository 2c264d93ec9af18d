/**
 * Lists as responses. One that does not change is made once, in turns of the event loop; what is on its way, to clients
 * that may not read it, is counted with what waits for event streams.
 *
 * - **A topic that changes while its list is made**: who asks meanwhile waits for the next list, which all of them share.
 * - **A client that reads nothing** for `unsentFor` is cut off, and one that has not all of it after ten times as long, and as long for each MiB.
 * - **Too much in all**, over `unsentTotal`: a list is refused while others are on their way.
 */
import { IncomingMessage } from "node:http"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { toServerResponse } from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Stream } from "effect"
import type { PresenceEntry } from "../PresenceEntry.js"
import { Turns } from "../web/turns.js"
import { wantsUpgrade } from "../web/upgrades.js"
import type { OnTheirWay } from "./eventStream.js"
import { listJson } from "./listJson.js"

const MIB = 1_048_576

/** How many times `unsentFor` a client may take for any list, however slowly it reads. */
const TIMES = 10

export interface ListOptions {
  /** Milliseconds. */
  readonly unsentFor: number
  readonly unsentTotal: number
  readonly onTheirWay: OnTheirWay
  readonly headers: Readonly<Record<string, string>>
}

type Entries = ReadonlyArray<PresenceEntry>
type Response = HttpServerResponse.HttpServerResponse

/** A list that is being made, and who waits for it, or for its end. */
interface Making {
  readonly entries: Entries
  readonly waiting: Set<() => void>
}

export class Lists {
  private readonly made = new WeakMap<Entries, Response>()
  private readonly making = new Map<string, Making>()
  private readonly turns = new Turns()

  constructor(private readonly options: ListOptions) {}

  /** `undefined` when there is no room for it. */
  answer<E>(
    request: HttpServerRequest.HttpServerRequest,
    topic: string,
    list: Effect.Effect<Entries, E>
  ): Effect.Effect<Response | undefined, E> {
    return Effect.map(this.responseTo(topic, list), (response) => {
      const { onTheirWay, unsentTotal } = this.options
      const bytes = response.body.contentLength ?? 0
      if (onTheirWay.bytes > 0 && onTheirWay.bytes + bytes > unsentTotal) return undefined
      this.watch(request, bytes)
      return response
    })
  }

  /** A list is one array until it changes. */
  private responseTo<E>(topic: string, list: Effect.Effect<Entries, E>): Effect.Effect<Response, E> {
    return Effect.flatMap(list, (entries) => {
      const response = this.made.get(entries) ?? this.begin(topic, entries)
      if (response !== undefined) return Effect.succeed(response)
      // What is being made was asked for before, and may have changed since.
      const next = this.making.get(topic)?.entries === entries ? Effect.succeed(entries) : list
      return Effect.zipRight(this.over(topic), this.responseTo(topic, next))
    })
  }

  /** Resolves when the list of a topic that is being made is. */
  private over(topic: string): Effect.Effect<void> {
    return Effect.async((resume) => {
      const making = this.making.get(topic)
      if (making === undefined) return resume(Effect.void)
      const over = (): void => resume(Effect.void)
      making.waiting.add(over)
      return Effect.sync(() => making.waiting.delete(over))
    })
  }

  /** A short list is there at once. Of each topic one is made at a time. */
  private begin(topic: string, entries: Entries): Response | undefined {
    if (this.making.has(topic)) return undefined
    const blocks: Array<Uint8Array> = []
    const json = listJson(entries)
    const isDone = (): boolean => {
      const { done, value } = json.next()
      if (done !== true) blocks.push(value)
      return done === true
    }
    if (isDone() || isDone()) return this.keep(entries, blocks)
    const making: Making = { entries, waiting: new Set() }
    this.making.set(topic, making)
    const goOn = (): void => {
      // Who asked for it may have gone.
      const isWanted = making.waiting.size > 0
      if (isWanted && !isDone()) {
        this.turns.add(goOn)
        return
      }
      if (isWanted) this.keep(entries, blocks)
      this.making.delete(topic)
      for (const over of making.waiting) over()
    }
    this.turns.add(goOn)
    return undefined
  }

  private keep(entries: Entries, blocks: ReadonlyArray<Uint8Array>): Response {
    const { headers } = this.options
    const contentType = "application/json"
    const [first = new Uint8Array(), ...rest] = blocks
    const contentLength = blocks.reduce((sum, { byteLength }) => sum + byteLength, 0)
    const response =
      rest.length === 0
        ? HttpServerResponse.uint8Array(first, { headers, contentType })
        : HttpServerResponse.stream(Stream.fromIterable(blocks), { headers, contentType, contentLength })
    this.made.set(entries, response)
    return response
  }

  /** Counts it until it is through, which has to be in time. A host that is no server of Node's has it at once. */
  private watch(request: HttpServerRequest.HttpServerRequest, bytes: number): void {
    const { source } = request
    if (!(source instanceof IncomingMessage)) return
    const { onTheirWay, unsentFor } = this.options
    const { socket } = source
    const response = toServerResponse(request)
    // Node cuts it off then, and sets another time once it is through.
    socket.setTimeout(unsentFor)
    onTheirWay.bytes += bytes
    const cut = setTimeout(() => socket.destroy(), unsentFor * (TIMES + bytes / MIB))
    cut.unref()
    const through = (): void => {
      clearTimeout(cut)
      onTheirWay.bytes -= bytes
      response.off("finish", through)
      response.off("close", through)
      socket.off("close", through)
    }
    response.once("finish", through)
    response.once("close", through)
    // Of an upgraded request Node says neither.
    if (wantsUpgrade(source)) socket.once("close", through)
  }
}
