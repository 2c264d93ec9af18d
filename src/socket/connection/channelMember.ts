/**
 * A channel of a socket, as its topic knows it: who follows, what is tracked, and what others want of it.
 */
import type { Effect } from "effect"
import type { Lease } from "../../Lease.js"
import type { Ref, Version } from "../protocol/codec.js"
import type { Channel } from "../protocol/sessionStep.js"
import type { Frame, RelayedMessage } from "../topic/audience.js"
import type { Member, Topic, Topics } from "../topic/topics.js"
import type { FlowControl } from "./flowControl.js"

/** What others want of a channel. It stands in line with what the client says. */
export interface Order {
  readonly wire: string
  readonly joinRef: Ref
  readonly end: "phx_close" | "phx_error" | "if evicted" | "said evicted" | "if expired"
  /** How often it was looked before whether what was said is so. */
  readonly looks?: number
}

/** What a socket has on a topic, from one join to the next. */
export interface Place {
  /** Who follows it. */
  member: ChannelMember | undefined
  /** What is tracked. */
  lease: Lease | undefined
  /** The channel that is to end since what it was granted has ended. */
  expired: Channel | undefined
}

export class ChannelMember implements Member {
  stale = false
  private topic: Topic | undefined

  constructor(
    private readonly flow: FlowControl<Order>,
    readonly version: Version,
    private readonly channel: Channel,
    private readonly place: Readonly<Place>
  ) {}

  get joinRef(): Ref {
    return this.channel.joinRef
  }

  get watches(): boolean {
    return this.channel.watches
  }

  get open(): boolean {
    return this.flow.open
  }

  get ref(): string | undefined {
    return this.place.lease?.ref
  }

  write(frame: Frame): void {
    this.flow.write(frame)
  }

  end(end: Order["end"]): void {
    this.flow.order({ wire: this.channel.wire, joinRef: this.channel.joinRef, end })
  }

  join(topics: Topics, address: string): void {
    this.topic = topics.join(this.channel.topic, this.channel.wire, this, address)
  }

  leave(): void {
    this.topic?.leave(this)
  }

  catchUp(): void {
    if (this.stale) this.topic?.greet(this)
  }

  /** Not `undefined`: it has to be waited for. */
  pass(message: RelayedMessage, self: boolean): Effect.Effect<void> | undefined {
    return this.topic?.pass(message, this, self)
  }
}
