/**
 * Lists as responses. One that does not change is made once; what is on its way, to clients that may not read it, is
 * counted with what waits for event streams.
 *
 * - **A client that reads nothing** for `unsentFor` is cut off, and one that has not all of it after ten times as long, and as long for each MiB.
 * - **Too much in all**, over `unsentTotal`: a list is refused while others are on their way.
 */
import { IncomingMessage } from "node:http"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { toServerResponse } from "@effect/platform-node/NodeHttpServerRequest"
import type { PresenceEntry } from "../PresenceEntry.js"
import { wantsUpgrade } from "../web/upgrades.js"
import type { OnTheirWay } from "./eventStream.js"

const MIB = 1_048_576

/** How many times `unsentFor` a client may take for any list, however slowly it reads. */
const TIMES = 10

export interface ListOptions {
  /** Milliseconds. */
  readonly unsentFor: number
  readonly unsentTotal: number
  readonly onTheirWay: OnTheirWay
  readonly json: (body: unknown) => HttpServerResponse.HttpServerResponse
}

type Entries = ReadonlyArray<PresenceEntry>

export class Lists {
  private readonly made = new WeakMap<Entries, HttpServerResponse.HttpServerResponse>()

  constructor(private readonly options: ListOptions) {}

  /** `undefined` when there is no room for it. */
  answer(
    request: HttpServerRequest.HttpServerRequest,
    entries: Entries
  ): HttpServerResponse.HttpServerResponse | undefined {
    const { onTheirWay, unsentTotal } = this.options
    const response = this.responseOf(entries)
    const bytes = response.body.contentLength ?? 0
    if (onTheirWay.bytes > 0 && onTheirWay.bytes + bytes > unsentTotal) return undefined
    this.watch(request, bytes)
    return response
  }

  /** A list is one array until it changes. */
  private responseOf(entries: Entries): HttpServerResponse.HttpServerResponse {
    const known = this.made.get(entries)
    if (known !== undefined) return known
    const response = this.options.json(entries)
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
