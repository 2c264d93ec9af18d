/**
 * The topics that are followed here, each with its model, fed by one subscriber connection.
 *
 * A topic is subscribed to before its snapshot is read. After the subscriber was away everything is subscribed to
 * again, and a digest shows which topics moved meanwhile: a reconnect of 10,000 topics is 20 commands, not 10,000
 * snapshots. The same digest runs every 10 seconds, as a lost message is noticed by nobody.
 */
import type { Step } from "../../internal/feed/delta.js"
import type { Port } from "../client/port.js"
import * as calls from "../protocol/calls.js"
import { type Keys, partitionOf } from "../protocol/keys.js"
import { Model } from "./topicCopy.js"

/** Members that are read in one call. */
export const SMALL = 1_000

const PAGE = 500

/** Topics whose versions one command reads. */
const SLICE = 500

/** How often everything is compared, in ms. */
const DIGEST = 10_000

/** How long a message may take before it counts as lost, in ms. */
const GRACE = 300

export interface FollowersOptions {
  readonly port: Port
  readonly partitions: ReadonlyArray<Keys>
  /** How long members are held that Redis has lost, in ms. */
  readonly hold: number
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  readonly onStep: (step: Step) => void
  /** A partition has no data at all: somebody is to claim it. */
  readonly onEmpty: (partition: number) => void
  readonly onResync: (reason: string) => void
  readonly onFailure: (what: string, cause: unknown) => void
}

/** A topic that somebody here follows. */
export class Followed {
  holders = 0
  isSubscribed = false
  isReading = false
  /** Why it is to be read again. */
  again: string | undefined
  /** Where our own writes have taken it. */
  expected: { readonly epoch: string; readonly version: number } | undefined
  waiting: Array<() => void> = []

  constructor(
    readonly model: Model,
    readonly partition: number,
    readonly channel: string
  ) {}

  get hasReached(): boolean {
    const { expected, model } = this
    return expected === undefined || model.hasReached(expected.epoch, expected.version)
  }
}

export class Followers {
  private readonly topics = new Map<string, Followed>()
  private readonly channels = new Map<string, Followed>()
  private closed = false
  private lookedAt: number

  constructor(private readonly options: FollowersOptions) {
    this.lookedAt = options.now()
  }

  get size(): number {
    return this.topics.size
  }

  /** What is followed and can be read. */
  live(topic: string): Followed | undefined {
    const followed = this.topics.get(topic)
    return followed?.model.isLive === true ? followed : undefined
  }

  get(topic: string): Followed | undefined {
    return this.topics.get(topic)
  }

  /** Follows a topic until `release`. It can be read when its model is live; wait by `changed`. */
  hold(topic: string): Followed {
    let followed = this.topics.get(topic)
    if (followed === undefined) {
      const { partitions, hold } = this.options
      const partition = partitionOf(topic, partitions.length)
      const channel = (partitions[partition] as Keys).topicChannel(topic)
      followed = new Followed(new Model(topic, hold), partition, channel)
      this.topics.set(topic, followed)
      this.channels.set(channel, followed)
    }
    followed.holders++
    if (!followed.model.isLive) this.read(followed, "begin")
    return followed
  }

  release(followed: Followed): void {
    if (--followed.holders > 0) return
    this.topics.delete(followed.model.topic)
    this.channels.delete(followed.channel)
    if (followed.isSubscribed) this.options.port.unsubscribe([followed.channel]).catch(() => {})
  }

  /** Calls once, when something of the topic changes. */
  changed(followed: Followed, resume: () => void): () => void {
    followed.waiting.push(resume)
    return () => {
      followed.waiting = followed.waiting.filter((other) => other !== resume)
    }
  }

  /** Whether the channel is a followed topic's. */
  onMessage(channel: string, text: string): boolean {
    const followed = this.channels.get(channel)
    if (followed === undefined) return false
    const received = followed.model.receive(calls.messageOf(text))
    if (received.type === "applied") this.tell(followed, [received.step])
    else if (received.type === "resync") this.read(followed, received.reason)
    else wake(followed)
    return true
  }

  /** Our own writes have taken topics to these versions: the messages must follow soon. */
  onWritten(epoch: string, versions: ReadonlyMap<string, number>): void {
    if (this.topics.size === 0) return
    for (const [topic, version] of versions) {
      const followed = this.topics.get(topic)
      if (followed === undefined) continue
      const { expected } = followed
      if (expected === undefined || expected.epoch !== epoch || expected.version < version) {
        followed.expected = { epoch, version }
      }
      if (followed.hasReached || !followed.model.isLive) continue
      setTimeout(() => {
        if (!followed.hasReached) this.read(followed, "late message")
      }, GRACE)
    }
  }

  onSubscriberDown(): void {
    for (const followed of this.topics.values()) followed.isSubscribed = false
  }

  /** The subscriber is there again: subscribes to all, then looks what was missed. */
  async onSubscriberReady(reason = "reconnect"): Promise<void> {
    await this.subscribe(Array.from(this.topics.values()).filter((followed) => !followed.isSubscribed))
    await this.digest(reason)
  }

  /** Compares where topics stand here and in Redis; what still differs after a while is read again. */
  async digest(reason = "digest", only?: number): Promise<void> {
    const { partitions } = this.options
    for (const [partition, keys] of partitions.entries()) {
      if (only !== undefined && only !== partition) continue
      const live: Array<Followed> = []
      for (const followed of this.topics.values()) {
        if (followed.partition === partition && followed.model.isLive) live.push(followed)
      }
      for (let i = 0; i < live.length; i += SLICE) await this.compare(keys, live.slice(i, i + SLICE), reason)
    }
  }

  /** Run it every second: lets go of what was held long enough, and every ten seconds looks what was missed. */
  async patrol(): Promise<void> {
    const { now, onFailure } = this.options
    try {
      // What was held long enough is looked for once more: nobody leaves because a message was lost.
      for (const followed of this.topics.values()) {
        if (now() >= followed.model.holdEnds) this.read(followed, "hold")
      }
      if (now() - this.lookedAt < DIGEST) return
      this.lookedAt = now()
      await this.onSubscriberReady("digest")
    } catch (cause) {
      onFailure("looking for what was missed", cause)
    }
  }

  close(): void {
    this.closed = true
    for (const followed of this.topics.values()) wake(followed)
  }

  /** Subscribes, and takes back what nobody follows any more when the acknowledgement comes. */
  private async subscribe(all: ReadonlyArray<Followed>): Promise<void> {
    const { port } = this.options
    const channels = all.map(({ channel }) => channel)
    await port.subscribe(channels)
    for (const followed of all) followed.isSubscribed = true
    // A topic that was let go and is followed anew needs it.
    const gone = channels.filter((channel) => !this.channels.has(channel))
    if (gone.length > 0) port.unsubscribe(gone).catch(() => {})
  }

  private async compare(keys: Keys, followed: ReadonlyArray<Followed>, reason: string): Promise<void> {
    const { port } = this.options
    const differing = async (some: ReadonlyArray<Followed>): Promise<ReadonlyArray<Followed>> => {
      const found = await calls.standings(
        port,
        keys,
        some.map(({ model }) => model.topic)
      )
      return some.filter(({ model }, index) => model.differsFrom(found[index]))
    }
    const first = await differing(followed)
    if (first.length === 0) return
    // Messages may be on their way.
    await pause(GRACE)
    for (const some of await differing(first)) this.read(some, reason)
  }

  // Snapshots

  private read(followed: Followed, reason: string): void {
    followed.again = reason
    if (followed.isReading) return
    followed.isReading = true
    const run = async (): Promise<void> => {
      let attempt = 0
      while (followed.again !== undefined && followed.holders > 0 && !this.closed) {
        if (reason !== "begin") this.options.onResync(followed.again)
        followed.again = undefined
        try {
          if (!(await this.readOnce(followed))) followed.again ??= "unfinished"
        } catch (cause) {
          followed.again ??= "failed"
          this.options.onFailure("reading a topic", cause)
        }
        wake(followed)
        if (followed.again !== undefined) await pause(Math.min(20 * 2 ** attempt++, 1_000))
      }
      followed.isReading = false
    }
    void run()
  }

  private async readOnce(followed: Followed): Promise<boolean> {
    const { port, partitions, onEmpty } = this.options
    const { model } = followed
    const keys = partitions[followed.partition] as Keys
    model.begin()
    if (!followed.isSubscribed) await this.subscribe([followed])
    const first = await calls.read(port, keys, model.topic, SMALL, "follow")
    if (first.standing === undefined) {
      onEmpty(followed.partition)
      return false
    }
    model.start(first.standing)
    if (first.members !== undefined) {
      model.page(first.members)
      return this.finish(followed, { ...first, standing: first.standing })
    }
    for (let cursor = "0"; ; ) {
      const page = await calls.scan(port, keys.members(model.topic), cursor, PAGE)
      model.page(calls.membersOf(page.entries))
      cursor = page.cursor
      if (followed.holders === 0) return true
      if (cursor === "0") break
    }
    const last = await calls.read(port, keys, model.topic, 0, "follow")
    const { standing } = last
    // With another history it is another Redis than the pages came from.
    return standing !== undefined && last.history === first.history && this.finish(followed, { ...last, standing })
  }

  private async finish(followed: Followed, end: calls.End): Promise<boolean> {
    const { model } = followed
    const until = this.options.now() + GRACE
    for (;;) {
      const finished = model.finish(end, this.options.now())
      if (finished.type === "done") {
        if (finished.resync) followed.again ??= "gap"
        this.tell(followed, finished.steps)
        return true
      }
      if (finished.type === "again" || this.options.now() >= until) return false
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, GRACE)
        this.changed(followed, () => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  private tell(followed: Followed, steps: ReadonlyArray<Step>): void {
    // Who follows the topic anew meanwhile has a copy of their own, and hears of that one only.
    if (followed.holders > 0) for (const step of steps) this.options.onStep(step)
    wake(followed)
  }
}

const wake = (followed: Followed): void => {
  for (const resume of followed.waiting.splice(0)) resume()
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
