/**
 * The short way of an upgrade: to the route that it is for, as Node tells of it. The platform would make a request of it,
 * with a fiber, a response and a way through the router and all its middleware, which cost more than the socket itself.
 *
 * It is there where all that is served is this package's own (the ready server, routes that are attached), since whatever a
 * program has put around its router would not hear of such an upgrade. Whatever no door is for goes the long way.
 */
import { type IncomingMessage, Server, type ServerOptions, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import * as Cookies from "@effect/platform/Cookies"
import type * as Headers from "@effect/platform/Headers"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Cause, Context, Effect, Exit, type Fiber, FiberId, Inspectable, Option, type Scope, Stream } from "effect"
import type { AtOnce } from "./atOnce.js"
import { comesBack, comingBack, EVENT_STREAM } from "./comingBack.js"
import { pathOf } from "./paths.js"
import { admits, mayChange } from "./pipelines.js"
import { sparingly } from "./sparingly.js"
import { Turns } from "./turns.js"
import { turnAway } from "./upgrades.js"

/** Takes an upgrade by GET. The socket is guarded. */
export type Door = (incoming: IncomingMessage, socket: Socket, head: Buffer) => void

/** The doors of a server, by path. A route that finds them opens its own. */
export class Doors extends Context.Tag("effect-presence/web/Doors")<Doors, Map<string, Door>>() {}

const listening = (): void => {}

/**
 * A server with doors, which few requests of one connection enter at once, and a crowd in turns. It listens before what it
 * serves is built, which waits for Redis: whoever comes meanwhile, as all do after a restart, waits, where Node would never
 * answer.
 */
export class DoorServer extends Server {
  readonly doors = new Map<string, Door>()
  /** What came before anybody could serve it, until somebody can. */
  private early: Array<ReadonlyArray<unknown>> | undefined = []
  /** Whoever is connected has their turn while a crowd comes. */
  private readonly arrivals = new Turns()

  private readonly wantsHost: boolean

  constructor(options: ServerOptions = {}) {
    // What Node answers by itself is counted by nobody: a connection could ask for thousands of such in one go.
    super({ ...options, requireHostHeader: false })
    this.wantsHost = options.requireHostHeader !== false
    this.on("checkExpectation", refuseExpectation)
    // Else Node takes an early upgrade for a request like any other.
    this.on("upgrade", listening)
    this.on("newListener", (name) => {
      if (name === "request" || name === "upgrade") this.begin()
    })
  }

  /** Those who came early have their turns once all is in place. */
  private begin(): void {
    const { early } = this
    if (early === undefined) return
    this.early = undefined
    // From here on an upgrade that nobody listens for is told to be one.
    this.off("upgrade", listening)
    for (const event of early) this.arrivals.add(() => this.admit(event))
  }

  /** Who came early, and waits, is told that nobody will serve them. */
  override close(onClosed?: (error?: Error) => void): this {
    this.begin()
    return super.close(onClosed)
  }

  override emit(...event: ReadonlyArray<unknown>): boolean {
    const [name, incoming, socket] = event
    if (name === "request" || name === "checkExpectation") {
      if (!admits(incoming as IncomingMessage, socket as ServerResponse)) return true
      if (this.wantsHost && lacksHost(incoming as IncomingMessage)) {
        turnBack(socket as ServerResponse, 400, "a request names its host")
        return true
      }
    }
    if (name === "upgrade" && !mayChange(socket as Socket)) {
      ;(socket as Socket).destroy()
      return true
    }
    if (name !== "request" && name !== "upgrade") return Reflect.apply(super.emit, this, event)
    if (this.early !== undefined) this.early.push(event)
    else this.arrivals.do(() => this.admit(event))
    return true
  }

  private admit(event: ReadonlyArray<unknown>): void {
    const [name, incoming, socket, head] = event
    const { method, url = "", socket: line } = incoming as IncomingMessage
    // Nobody would tell who waits for its end that it is over.
    if (line.destroyed) return
    const door = name === "upgrade" && method === "GET" ? this.doors.get(pathOf(url)) : undefined
    if (door !== undefined) door(incoming as IncomingMessage, socket as Socket, head as Buffer)
    else if (Reflect.apply(super.emit, this, event)) return
    else if (name === "upgrade") turnAway(socket as Socket, 503, STOPPING)
    else refuse(incoming as IncomingMessage, socket as ServerResponse)
  }
}

/** As HTTP/1.1 wants it. */
const lacksHost = ({ headers, httpVersion }: IncomingMessage): boolean =>
  httpVersion === "1.1" && headers.host === undefined

const refuseExpectation = (_: IncomingMessage, response: ServerResponse): void =>
  turnBack(response, 417, "100-continue is all that may be expected here")

const turnBack = (response: ServerResponse, status: number, error: string): void => {
  response.writeHead(status, {
    "content-type": "application/json",
    "x-content-type-options": "nosniff",
    connection: "close"
  })
  response.end(JSON.stringify({ error }))
}

/** Nobody serves any more: Node would not answer. */
const STOPPING = "the server is stopping"

const refuse = ({ headers }: IncomingMessage, response: ServerResponse): void => {
  if (comesBack(headers.accept)) response.writeHead(200, EVENT_STREAM).end(comingBack(STOPPING))
  else {
    response.writeHead(503, { "content-type": "application/json", connection: "close" })
    // A poll of phoenix.js looks at the status in the text, and stops for good at one that it does not know.
    response.end(JSON.stringify({ status: 500, error: STOPPING }))
  }
}

/**
 * Opens a door until the scope closes, if there are any. Who comes is asked of `ask`, which lets them in or denies them; that is
 * interrupted when they go, or when the scope closes. A defect is told in the log, and denies.
 */
export const openDoor = (
  path: string,
  run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>,
  ask: (request: UpgradeRequest, head: Buffer, deny: (status: number, error: string) => void) => AtOnce<void>
): Effect.Effect<void, never, Scope.Scope> => {
  const tell = sparingly("a defect refused an upgrade")
  const door: Door = (incoming, socket, head) => {
    const deny = (status: number, error: string) => turnAway(socket, status, error)
    const onDefect = (cause: Cause.Cause<never>): void => {
      deny(500, "internal error")
      run(tell(cause))
    }
    let answer: AtOnce<void>
    try {
      answer = ask(new UpgradeRequest(incoming), head, deny)
    } catch (defect) {
      return onDefect(Cause.die(defect))
    }
    if (!Effect.isEffect(answer)) return
    const asked = run(answer)
    const onClose = () => asked.unsafeInterruptAsFork(FiberId.none)
    if (asked.unsafePoll() === null) socket.once("close", onClose)
    asked.addObserver((exit) => {
      socket.off("close", onClose)
      if (Exit.isSuccess(exit)) return
      if (Cause.isInterruptedOnly(exit.cause)) return deny(503, STOPPING)
      onDefect(exit.cause)
    })
  }
  return Effect.flatMap(
    Effect.serviceOption(Doors),
    Option.match({
      onNone: () => Effect.void,
      onSome: (doors) =>
        Effect.acquireRelease(
          Effect.sync(() => doors.set(path, door)),
          () => Effect.sync(() => doors.delete(path))
        )
    })
  )
}

/** An upgrade as the platform's requests are, for whoever is asked whether it may be: small, as its socket keeps it. */
export class UpgradeRequest extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  constructor(
    readonly source: IncomingMessage,
    readonly url = source.url ?? "",
    readonly headers = source.headers as Headers.Headers,
    private readonly address = source.socket.remoteAddress
  ) {
    super()
  }

  get [HttpServerRequest.TypeId](): HttpServerRequest.TypeId {
    return HttpServerRequest.TypeId
  }

  get [HttpIncomingMessage.TypeId](): HttpIncomingMessage.TypeId {
    return HttpIncomingMessage.TypeId
  }

  get method() {
    return "GET" as const
  }

  get originalUrl(): string {
    return this.source.url ?? ""
  }

  get remoteAddress(): Option.Option<string> {
    return Option.fromNullable(this.address)
  }

  get cookies() {
    return Cookies.parseHeader(this.headers.cookie ?? "")
  }

  modify({ url, headers, remoteAddress }: Parameters<HttpServerRequest.HttpServerRequest["modify"]>[0]) {
    return new UpgradeRequest(this.source, url ?? this.url, headers ?? this.headers, remoteAddress ?? this.address)
  }

  // What it has not

  get text() {
    return NO_BODY
  }

  get json() {
    return NO_BODY
  }

  get urlParamsBody() {
    return NO_BODY
  }

  get arrayBuffer() {
    return NO_BODY
  }

  get multipart() {
    return NO_BODY
  }

  get stream() {
    return Stream.fromEffect(NO_BODY)
  }

  get multipartStream() {
    return Stream.fromEffect(NO_BODY)
  }

  get upgrade() {
    return Effect.dieMessage("the socket is the route's own")
  }

  toJSON() {
    return { _id: "effect-presence/UpgradeRequest", method: this.method, url: this.url, headers: this.headers }
  }
}

const NO_BODY = Effect.dieMessage("an upgrade has no body")
