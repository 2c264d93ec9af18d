/**
 * The topics that sockets of this route are on. Each is followed once, however many sockets have joined it, from its
 * first recipient to its last, by a call for each change: a topic that sits still costs what stands in it.
 *
 * Changes wait for `diffInterval` from the first of them. What members pass on goes out at once, and both in the order in
 * which they came: while a large topic is told something over turns of the event loop, the rest waits in line, and a
 * member who wants to say more waits for their place in it. When following fails (the backend is away)
 * every recipient is told, and the topic begins anew with the next that joins.
 */
import { Effect, Exit } from "effect"
import type { Channels } from "../../Channels.js"
import type { FollowDirectly, HearDirectly } from "../../internal/feed/direct.js"
import type { PresenceChange } from "../../PresenceChange.js"
import * as AtOnce from "../../web/atOnce.js"
import { NetDiff } from "../../web/netDiff.js"
import { Audience, pack, type Recipient, type RelayedMessage, unpack } from "./audience.js"
import type { Flushable, Flushes } from "./flushes.js"

/** A recipient who may be tracked. */
export interface Member extends Recipient {
  /** The ref of what is tracked on its channel. */
  readonly ref: string | undefined
  /** Puts it out, always or if it turns out to be evicted, or makes it come back. */
  readonly end: (end: "phx_error" | "if evicted" | "said evicted") => void
}

export interface TopicsOptions {
  readonly protocol: "phoenix" | "supabase"
  readonly flushes: Flushes
  readonly follow: FollowDirectly
  readonly hear: HearDirectly
  readonly publish: Channels.Service["unsafePublish"]
  /** Whether all sockets are told to come back. */
  readonly stopping: () => boolean
}

export class Topics {
  private readonly topics = new Map<string, Topic>()
  /** How many were begun from an address. */
  private readonly byAddress = new Map<string, number>()
  /** Names this route among all that pass messages on. */
  private readonly origin = crypto.randomUUID()

  constructor(private readonly settings: TopicsOptions) {}

  /** The topic with one more recipient, and the address that they come from. */
  join(name: string, wire: string, member: Member, address: string): Topic {
    let topic = this.topics.get(name)
    if (topic === undefined) {
      topic = new Topic(name, wire, this.origin, this.settings, () => this.delete(name, address))
      this.topics.set(name, topic)
      this.byAddress.set(address, this.from(address) + 1)
    }
    topic.join(member)
    return topic
  }

  private delete(name: string, address: string): void {
    this.topics.delete(name)
    const left = this.from(address) - 1
    if (left > 0) this.byAddress.set(address, left)
    else this.byAddress.delete(address)
  }

  has(name: string): boolean {
    return this.topics.has(name)
  }

  get size(): number {
    return this.topics.size
  }

  /** How many there are that somebody from an address was the first on. */
  from(address: string): number {
    return this.byAddress.get(address) ?? 0
  }
}

/** Messages from elsewhere that may be in line: who sends them cannot be made to wait, so for more of them everybody here is. */
const FROM_ELSEWHERE = 64

export class Topic implements Flushable {
  private readonly audience: Audience<Member>
  private readonly netDiff = new NetDiff()
  private readonly channel: string
  private stops: ReadonlyArray<() => void> | undefined
  private waiting = false
  /** What is to be told when all have heard what is being told. */
  private readonly line: Array<() => void> = []
  /** Whether what has changed is in it. */
  private due = false
  private fromElsewhere = 0
  private going = false
  private readonly rest: Flushable = {
    flush: () => {
      this.going = false
      this.goOn()
    }
  }
  private begun = false
  private ended = false

  constructor(
    private readonly name: string,
    wire: string,
    private readonly origin: string,
    private readonly settings: TopicsOptions,
    private readonly onEnd: () => void
  ) {
    this.audience = new Audience(settings.protocol, wire)
    this.channel = `socket:${name}`
  }

  join(member: Member): void {
    this.audience.add(member)
    if (this.stops !== undefined) return
    this.stops = []
    this.stops = [
      this.settings.hear(this.channel, (text) => {
        const message = unpack(this.origin, text)
        if (message !== undefined) this.passFromElsewhere(message)
      }),
      this.settings.follow(this.name, {
        onChange: (change) => this.hear(change),
        // Without an error the layer has closed, and the sockets are told to come back.
        onEnd: (error) => {
          if (error !== undefined) this.fail()
        }
      })
    ]
    // It may have ended while it began.
    if (this.ended) this.stop()
  }

  leave(member: Member): void {
    this.audience.recipients.delete(member)
    if (this.audience.recipients.size === 0) this.end()
  }

  /** Sends a member the state again. */
  greet(member: Member): void {
    this.audience.greet(member)
  }

  /** Passes a message on, to the members here and to those elsewhere. Not `undefined`: it has to be waited for. */
  pass(message: RelayedMessage, from: Member | undefined, self: boolean): Effect.Effect<void> | undefined {
    this.settings.publish(this.channel, pack(this.origin, message))
    if (this.ended) return undefined
    let passed: Effect.Effect<void> | undefined
    let resume = (exit: Effect.Effect<void>): void => {
      passed = exit
    }
    // What is wrong with it is its sender's to hear.
    this.line.push(() => resume(AtOnce.attempt(() => this.give(message, self ? undefined : from))))
    this.tell()
    if (passed === undefined) {
      return Effect.async<void>((go) => {
        resume = go
        if (passed !== undefined) go(passed)
      })
    }
    return passed === Exit.void ? undefined : passed
  }

  private passFromElsewhere(message: RelayedMessage): void {
    if (this.ended) return
    this.fromElsewhere++
    this.line.push(() => {
      this.fromElsewhere--
      this.give(message, undefined)
    })
    this.tell()
    while (this.fromElsewhere > FROM_ELSEWHERE) this.goOn()
  }

  private give(message: RelayedMessage, except: Member | undefined): Effect.Effect<void> {
    if (!this.ended) this.audience.pass(message, except)
    return Exit.void
  }

  private end(): void {
    if (this.ended) return
    this.ended = true
    this.onEnd()
    this.stop()
    // Who waits for their place goes on.
    for (const next of this.line.splice(0)) next()
  }

  private stop(): void {
    for (const stop of this.stops ?? []) stop()
  }

  private hear(change: PresenceChange): void {
    const first = !this.begun
    this.begun = true
    // While all are told to come back, that some went first is no news: whoever comes back is sent the state.
    if (first || !this.settings.stopping()) {
      this.netDiff.add(change)
      if (first || this.settings.flushes.immediate) this.settings.flushes.flush(this)
      else if (!this.waiting) {
        this.waiting = true
        this.settings.flushes.add(this)
      }
    }
    this.putOut(change)
  }

  flush(): void {
    this.waiting = false
    if (this.due) return
    this.due = true
    this.line.push(this.changes)
    this.tell()
  }

  /** What has changed until its turn comes is one diff. */
  private readonly changes = (): void => {
    this.due = false
    if (!this.ended) this.line.unshift(...this.netDiff.take().map((change) => () => this.tellAll(change)))
  }

  private tellAll(change: PresenceChange): void {
    if (!this.ended) this.audience.tell(change)
  }

  /** Tells what is in line, unless it waits until all have heard what is being told. */
  private tell(): void {
    if (!this.audience.isTelling) this.goOn()
  }

  private goOn(): void {
    if (this.ended) return
    try {
      this.audience.goOn()
      while (!this.audience.isTelling) {
        const next = this.line.shift()
        if (next === undefined) return
        next()
      }
      if (this.going) return
      this.going = true
      this.settings.flushes.later(this.rest)
    } catch (defect) {
      // Some have heard of it and others have not: they come back, and are sent the state.
      this.fail()
      throw defect
    }
  }

  /** Who was evicted is told to stay away. */
  private putOut(change: PresenceChange): void {
    if (change._tag === "Snapshot") {
      const refs = new Set(change.connections.map(({ ref }) => ref))
      for (const member of this.audience.recipients) {
        if (member.ref !== undefined && !refs.has(member.ref)) member.end("if evicted")
      }
      return
    }
    const evicted = new Set<string>()
    for (const { ref, reason } of change.leaves) if (reason === "evicted") evicted.add(ref)
    if (evicted.size === 0) return
    for (const member of this.audience.recipients) {
      if (member.ref !== undefined && evicted.has(member.ref)) member.end("said evicted")
    }
  }

  private fail(): void {
    const members = Array.from(this.audience.recipients)
    this.end()
    for (const member of members) member.end("phx_error")
  }
}
