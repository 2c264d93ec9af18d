/**
 * One open socket: what the client says, one message after the other, each to its end before the next.
 *
 * It drives the machine of `session.ts`: does what it says, and answers what it asks. A slow answer (a join that waits
 * for a database) holds up this socket's messages and nobody else's; only then there is a fiber. A defect ends this socket
 * only. When the socket ends, what is waited for is interrupted, its topics are left, and its leases end together.
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import type { Holding } from "../../internal/leases/holding.js"
import type { TrackOptions } from "../../internal/leases/tracker.js"
import type { TrackError } from "../../PresenceError.js"
import * as AtOnce from "../../web/atOnce.js"
import { hasEnded } from "../../web/Grant.js"
import type { Tell } from "../../web/sparingly.js"
import { decode, encodeReply, encodeText, type Version } from "../protocol/codec.js"
import * as session from "../protocol/session.js"
import type {
  Action,
  ApplicationReply,
  Channel,
  Outcome,
  Payload,
  Permission,
  Question,
  Rules,
  SessionStep
} from "../protocol/sessionStep.js"
import type { Topics } from "../topic/topics.js"
import { ChannelMember, type Order, type Place } from "./channelMember.js"
import type { FairTurns, Worker } from "./fairTurns.js"
import {
  type Draining,
  FlowControl,
  type FlowLimits,
  type FlowListener,
  type Input,
  type Transport
} from "./flowControl.js"
import type { Open, OpenSockets } from "./openSockets.js"

/** Milliseconds to wait at least for the next message of one that is too fast, so that not each has a timer. */
const BREATH = 10

/** Milliseconds after which it is looked again whether who was said to be evicted is. */
const LOOKS = [20, 200, 1_000, 5_000, 10_000]

/** What all sockets of a route have in common. */
export interface SocketHost<R> {
  readonly rules: Rules
  readonly turns: FairTurns
  /** Bytes of a message of who has joined nothing. */
  readonly firstBytes: number
  /** Milliseconds since the epoch. */
  readonly date: () => number
  /** Milliseconds since some moment, which never go back. */
  readonly now: () => number
  readonly topics: Topics
  readonly sockets: OpenSockets
  /** Tells of what ended a socket. */
  readonly tellDefect: Tell
  readonly hold: () => Holding
  readonly termsOf: (channel: Channel) => TrackOptions
  readonly authorize: (peer: Peer<R>, topic: string, payload: Payload) => AtOnce.AtOnce<Permission, R>
  readonly onMessage: ((peer: Peer<R>, message: Asked) => Effect.Effect<ApplicationReply, never, R>) | undefined
}

/** Who is at the other end of a socket. */
export interface Peer<R> {
  /** What the socket was asked for by. */
  readonly request: HttpServerRequest
  readonly address: string
  /** Why they may join nothing. */
  readonly refusal: string | undefined
  /** Runs what has to be waited for, at once as far as it goes. */
  readonly run: <A>(effect: Effect.Effect<A, never, R>) => Fiber.RuntimeFiber<A>
}

type Asked = Question & { readonly _tag: "Ask" }

/** What has to be waited for gives what follows of it. */
type Asking<R> = Effect.Effect<SessionStep | undefined, never, R>

export class SocketConnection<R> implements Open, Worker, FlowListener {
  private state = session.initial
  /** By the client's topic. */
  private readonly places = new Map<string, Place>()
  private readonly flow: FlowControl<Order>
  /** Its leases, from the first on. */
  private holding: Holding | undefined
  /** What has to be waited for before the next message, and what follows of it. */
  private waiting: Fiber.RuntimeFiber<SessionStep | undefined> | undefined
  private step: SessionStep | undefined
  private inLine = false
  private working = false
  private finished = false
  private closed = false

  constructor(
    transport: Transport,
    private readonly raw: Draining,
    limits: FlowLimits,
    private readonly version: Version,
    private readonly host: SocketHost<R>,
    private readonly peer: Peer<R>
  ) {
    this.flow = new FlowControl(transport, raw, limits, host.now, this)
    host.sockets.add(this, peer.address)
  }

  // Its life

  get isEnding(): boolean {
    return this.flow.isEnding
  }

  close(code: number, reason: string): void {
    this.flow.close(code, reason)
  }

  cut(): void {
    this.flow.cut()
  }

  get unsent(): number {
    return this.flow.unsent
  }

  get unfinished(): number {
    return this.flow.unfinished
  }

  tick(stoodStill: number): void {
    this.flow.tick(stoodStill)
    this.expire()
  }

  onEnding(): void {
    this.host.sockets.finish(() => this.finish())
  }

  onClosed(): void {
    this.closed = true
    this.forget()
  }

  /** Leaves its topics, then its leases end. */
  private finish(): void {
    const { waiting } = this
    const end = (): Effect.Effect<void> => {
      this.leave()
      return this.holding?.close() ?? Exit.void
    }
    const ending =
      waiting === undefined ? AtOnce.attempt(end) : Effect.zipRight(Fiber.interrupt(waiting), Effect.suspend(end))
    const ended = (exit: Exit.Exit<void>): void => {
      if (Exit.isFailure(exit)) this.tell(exit.cause)
      this.finished = true
      this.forget()
    }
    if (Exit.isExit(ending)) ended(ending as Exit.Exit<void>)
    else this.peer.run(ending).addObserver(ended)
  }

  private forget(): void {
    if (this.finished && this.closed) this.host.sockets.delete(this)
  }

  // The line of messages

  /** It has joined nothing, nor begun to: what is begun is done before more is. */
  get isNew(): boolean {
    return this.state.channels.size === 0 && this.step === undefined
  }

  onInput(): void {
    if (this.waiting !== undefined || this.inLine || this.working) return
    this.inLine = true
    this.host.turns.run(this)
  }

  /** Takes what waits in the line, until something has to be waited for. */
  work(until: number): boolean {
    this.inLine = false
    this.working = true
    // An answer and the state that follows it are one write.
    this.raw.cork?.()
    try {
      this.inLine = this.takeUntil(until)
    } catch (defect) {
      this.fail(Cause.die(defect))
    } finally {
      this.raw.uncork?.()
      this.working = false
    }
    return this.inLine
  }

  /** Whether there is more to do. */
  private takeUntil(until: number): boolean {
    do {
      const { step } = this
      this.step = undefined
      const rest = step === undefined ? this.take() : this.flow.isEnding ? "nothing" : this.perform(step)
      if (rest === "nothing" || (rest !== undefined && !this.isDone(rest))) return false
    } while (performance.now() < until)
    // Who has nothing more to say is to be in no line: what they say next is the first of its kind again.
    return this.step !== undefined || this.flow.hasInput
  }

  /** Handles the next message, or waits for its time. */
  private take(): Asking<R> | undefined | "nothing" {
    const next = this.flow.take()
    if (next === "ended" || next === Number.POSITIVE_INFINITY) return "nothing"
    return typeof next === "number" ? Effect.as(Effect.sleep(Math.max(next, BREATH)), undefined) : this.handle(next)
  }

  /**
   * Whether it is known already what follows. Else it is done when this socket's turn comes again: what very many wait for may
   * come for all of them in one moment.
   */
  private isDone(asking: Asking<R>): boolean {
    const fiber = this.peer.run(asking)
    const exit = fiber.unsafePoll()
    if (exit === null) {
      this.waiting = fiber
      fiber.addObserver((exit) => {
        this.waiting = undefined
        if (Exit.isFailure(exit)) return this.fail(exit.cause)
        this.step = exit.value
        this.onInput()
      })
      return false
    }
    if (Exit.isFailure(exit)) this.fail(exit.cause)
    else this.step = exit.value
    return Exit.isSuccess(exit)
  }

  /** A defect ends this socket only. */
  private fail(cause: Cause.Cause<never>): void {
    if (this.tell(cause)) this.flow.close(1011, "internal error")
  }

  /** Whether there is anything to tell. */
  private tell(cause: Cause.Cause<never>): boolean {
    if (Cause.isInterruptedOnly(cause)) return false
    this.peer.run(this.host.tellDefect(cause))
    return true
  }

  /** Leaves all topics. The leases are the scope's. */
  private leave(): void {
    for (const { member } of this.places.values()) member?.leave()
    this.places.clear()
  }

  /** Brings channels up to date that missed something while the socket was full. */
  onDrain(): void {
    for (const { member } of this.places.values()) member?.catchUp()
  }

  /**
   * Fails channels whose grant has ended: their clients join again, with a newer token if they
   * have one.
   */
  private expire(): void {
    for (const channel of this.state.channels.values()) {
      if (!this.isExpired(channel)) continue
      const place = this.place(channel.wire)
      if (place.expired === channel) continue
      place.expired = channel
      this.flow.order({ wire: channel.wire, joinRef: channel.joinRef, end: "if expired" })
    }
  }

  private isExpired(channel: Channel): boolean {
    return hasEnded(channel, this.host.date())
  }

  /** What is to be asked, if not all could be done at once. */
  private handle(input: Input<Order>): Asking<R> | undefined {
    if (input._tag === "Order") return this.obey(input.order)
    if (input._tag === "Ping") {
      this.flow.pong(input.data)
      return undefined
    }
    if (input._tag === "Pong") return undefined
    if (this.state.channels.size === 0 && input.data.length > this.host.firstBytes) {
      this.flow.close(1009, `before a channel is joined a message has ${this.host.firstBytes} bytes at the most`)
      return undefined
    }
    const decoded = decode(this.version, input._tag === "Text" ? input.data.toString() : input.data)
    if (decoded._tag === "Malformed") this.flow.close(1007, decoded.reason)
    return decoded._tag === "Message"
      ? this.perform(session.receive(this.host.rules, this.state, decoded.message))
      : undefined
  }

  private obey({ wire, joinRef, end, looks = 0 }: Order): Asking<R> | undefined {
    if (end === "if expired") {
      // What came before in the line may have brought a newer token.
      const channel = this.state.channels.get(wire)
      return channel !== undefined && this.isExpired(channel)
        ? this.perform(session.end(this.state, wire, joinRef, "phx_error"))
        : undefined
    }
    if (end !== "if evicted" && end !== "said evicted") return this.perform(session.end(this.state, wire, joinRef, end))
    const lease = this.places.get(wire)?.lease
    if (lease === undefined) return undefined
    // The lease knows: over Redis whoever may publish can say so of anybody, and what is true comes to the lease a moment later.
    return Effect.map(Effect.option(lease.refresh), (result) => {
      if (Option.contains(result, "evicted")) return session.end(this.state, wire, joinRef, "phx_close")
      const pause = end === "said evicted" ? LOOKS[looks] : undefined
      const again = () => this.flow.order({ wire, joinRef, end, looks: looks + 1 })
      if (pause !== undefined) setTimeout(again, pause).unref()
      return undefined
    })
  }

  private perform(first: SessionStep): Asking<R> | undefined {
    let step = first
    for (;;) {
      this.state = step.state
      for (const action of step.actions) this.act(action)
      if (step.question === undefined) return undefined
      const next = this.answer(step.question)
      if (Effect.isEffect(next)) return next
      step = next
    }
  }

  private act(action: Action): void {
    if (action._tag === "Follow") {
      const { channel } = action
      const place = this.place(channel.wire)
      const old = place.member
      const member = new ChannelMember(this.flow, this.version, channel, place)
      place.member = member
      member.join(this.host.topics, this.peer.address)
      // Only now, so that the topic is followed all the while.
      old?.leave()
      return
    }
    const { joinRef, ref, topic } = action
    if (action._tag === "SendBytes") {
      const takesBytes = this.version !== 1 && this.flow.takesBytes
      const bytes = takesBytes ? encodeReply(joinRef, ref, topic, action.status, action.payload) : undefined
      if (bytes !== undefined) {
        this.flow.write({ bytes, binary: true })
        return
      }
    }
    // Version 1 has no frame for bytes, nor have polls, so they are told only that it was done.
    const { event, payload } =
      action._tag === "Send" ? action : { event: "phx_reply", payload: { status: action.status, response: {} } }
    const text = encodeText(this.version, { joinRef, ref, topic, event, payload: JSON.stringify(payload) })
    this.flow.write({ bytes: Buffer.from(text), binary: false })
  }

  private answer(question: Question): SessionStep | Effect.Effect<SessionStep, never, R> {
    switch (question._tag) {
      case "Authorize":
        return AtOnce.map(this.host.authorize(this.peer, question.topic, question.payload), question.next)
      case "Ask":
        return this.host.onMessage === undefined
          ? question.next(undefined)
          : Effect.map(this.host.onMessage(this.peer, question), question.next)
      case "Relay": {
        const { event, payload, inner, self } = question
        const message = { event, inner, payload: payload instanceof Uint8Array ? payload : JSON.stringify(payload) }
        const passed = this.places.get(question.channel.wire)?.member?.pass(message, self)
        return passed === undefined ? question.next() : Effect.map(passed, () => question.next())
      }
      case "Track":
        return AtOnce.map(this.track(question.channel, question.key, question.meta), question.next)
      case "Update":
        return AtOnce.map(this.update(question.channel, question.meta), question.next)
      case "Leave": {
        const place = this.places.get(question.wire)
        this.places.delete(question.wire)
        place?.member?.leave()
        return this.untrack(place, question.next)
      }
      case "Untrack":
        return this.untrack(this.places.get(question.wire), question.next)
    }
  }

  private get held(): Holding {
    this.holding ??= this.host.hold()
    return this.holding
  }

  private track(channel: Channel, key: string, meta: unknown): AtOnce.AtOnce<Outcome> {
    const tracked = this.held.track(channel.topic, key, meta, this.host.termsOf(channel))
    const isThere = Exit.isExit(tracked)
    return AtOnce.match(
      tracked,
      (lease) => {
        const place = this.place(channel.wire)
        const old = place.lease
        place.lease = lease
        // Meanwhile it may have been evicted, before the topic could know whose lease it is.
        if (!isThere) this.flow.order({ wire: channel.wire, joinRef: channel.joinRef, end: "if evicted" })
        return old === undefined ? done : AtOnce.match(this.held.release(old), () => done, failed)
      },
      failed
    )
  }

  private update({ wire }: Channel, meta: unknown): AtOnce.AtOnce<Outcome> {
    const lease = this.places.get(wire)?.lease
    if (lease === undefined) return { _tag: "Failed", reason: "released" }
    return AtOnce.match(
      this.held.update(lease, meta),
      (result) => (result === "updated" || result === "rejoined" ? done : { _tag: "Failed", reason: result }),
      failed
    )
  }

  private untrack(place: Place | undefined, next: () => SessionStep): AtOnce.AtOnce<SessionStep> {
    if (place?.lease === undefined) return next()
    const { lease } = place
    place.lease = undefined
    return AtOnce.match(this.held.release(lease), next, next)
  }

  private place(wire: string): Place {
    let place = this.places.get(wire)
    if (place === undefined) {
      place = { member: undefined, lease: undefined, expired: undefined }
      this.places.set(wire, place)
    }
    return place
  }
}

const done: Outcome = { _tag: "Done" }

/** What the client is told. What a backend said is none of its business. */
const failed = (error: TrackError): Outcome => ({
  _tag: "Failed",
  reason: error._tag === "PresenceUnavailable" ? "presence is unavailable" : error.message
})
