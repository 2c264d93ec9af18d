/**
 * The topics that are followed here, each with its copy, fed by one subscriber connection.
 *
 * A topic is subscribed to before its snapshot is read. After the subscriber was away everything is subscribed to
 * again, and a digest shows which topics moved meanwhile: a reconnect of 10,000 topics is 20 commands, not 10,000
 * snapshots. The same digest runs every 10 seconds, as a lost message is noticed by nobody. It needs no subscriber: while
 * there is none, topics are read and compared all the same, and news comes late instead of never.
 */
import type { Delta } from "../../internal/feed/delta.js"
import type { Port } from "../client/port.js"
import { backoff, pause } from "../client/waiting.js"
import * as calls from "../protocol/calls.js"
import { membersOf, messageOf } from "../protocol/decoding.js"
import { type Keys, partitionOf } from "../protocol/keys.js"
import { pages } from "../protocol/pages.js"
import type { End, Standing } from "../protocol/values.js"
import { TopicCopy } from "./topicCopy.js"

/** Members that are read in one call. */
export const SMALL = 1_000

/** Topics whose versions one command reads. */
const SLICE = 500

/** How often everything is compared, in ms. */
const DIGEST = 10_000

/** After how many digests in a row that found what messages should have brought the subscriber counts as deaf. */
const DEAF = 2

/** How long a message may take from one node of a cluster to the next before it counts as lost, in ms. */
const GRACE = 300

/** How long a topic is not read again after a reading, in ms for each member: else nothing else might be done. */
const REST = 0.05

export interface CopiesOptions {
  readonly port: Port
  readonly partitions: ReadonlyArray<Keys>
  /** How long members are retained that Redis loses now, in ms: until their owners have had time to write them again. */
  readonly retention: () => number
  /** Milliseconds as leases know them in a partition, by which that is measured. */
  readonly leaseTime: (partition: number) => number
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  readonly onDelta: (delta: Delta) => void
  /** A partition has no data at all: somebody is to claim it. */
  readonly onEmpty: (partition: number) => void
  readonly onResync: (reason: string) => void
  /** A key or channel that somebody else than a replica has written to. */
  readonly onForeign: (key: string, what: string) => void
  readonly onFailure: (what: string, cause: unknown) => void
}

/** A topic that somebody here follows. */
export class FollowedTopic {
  references = 0
  isSubscribed = false
  isReading = false
  isConfirming = false
  /** While its followers are told of deltas that the copy shows already. Who begins to follow waits for the end. */
  isTelling = false
  /** When it may be read again, in ms. */
  readableAt = Number.NEGATIVE_INFINITY
  /** Why it is to be read again. */
  again: string | undefined
  /** Where our own writes have taken it. */
  expected: { readonly epoch: string; readonly version: number } | undefined
  waiting: Array<() => void> = []

  constructor(
    readonly copy: TopicCopy,
    readonly partition: number,
    readonly channel: string
  ) {}

  /** Whether it can be followed from the state that its copy shows. */
  get isFollowable(): boolean {
    return this.copy.isLive && !this.isTelling
  }

  get hasReached(): boolean {
    const { expected, copy } = this
    return expected === undefined || copy.hasReached(expected.epoch, expected.version)
  }
}

export class Copies {
  private readonly topics = new Map<string, FollowedTopic>()
  private readonly channels = new Map<string, FollowedTopic>()
  private closed = false
  private lookedAt: number
  /** Digests in a row that found what messages should have brought. */
  private missed = 0
  /** Whether a message has come since the last look. */
  private hasHeard = false

  constructor(private readonly options: CopiesOptions) {
    this.lookedAt = options.now()
  }

  get size(): number {
    return this.topics.size
  }

  /** What is followed and can be read. */
  live(topic: string): FollowedTopic | undefined {
    const followed = this.topics.get(topic)
    return followed?.copy.isLive === true ? followed : undefined
  }

  get(topic: string): FollowedTopic | undefined {
    return this.topics.get(topic)
  }

  /** Follows a topic until `release`. It can be read when its copy is live; wait by `changed`. */
  acquire(topic: string): FollowedTopic {
    let followed = this.topics.get(topic)
    if (followed === undefined) {
      const { partitions, retention } = this.options
      const partition = partitionOf(topic, partitions.length)
      const channel = (partitions[partition] as Keys).topicChannel(topic)
      followed = new FollowedTopic(new TopicCopy(topic, retention), partition, channel)
      this.topics.set(topic, followed)
      this.channels.set(channel, followed)
    }
    followed.references++
    if (!followed.copy.isLive) this.read(followed, "begin")
    return followed
  }

  release(followed: FollowedTopic): void {
    if (--followed.references > 0) return
    this.topics.delete(followed.copy.topic)
    this.channels.delete(followed.channel)
    if (followed.isSubscribed) this.options.port.unsubscribe([followed.channel]).catch(() => {})
  }

  /** Calls once, when something of the topic changes. */
  changed(followed: FollowedTopic, resume: () => void): () => void {
    followed.waiting.push(resume)
    return () => {
      followed.waiting = followed.waiting.filter((other) => other !== resume)
    }
  }

  /** Whether the channel is a followed topic's. */
  onMessage(channel: string, text: string): boolean {
    const followed = this.channels.get(channel)
    if (followed === undefined) return false
    this.hasHeard = true
    const message = messageOf(text)
    if (message === undefined) {
      this.options.onForeign(channel, "has a message that cannot be read")
      return true
    }
    const received = followed.copy.receive(message)
    if (received.type === "applied") this.tell(followed, [received.delta])
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
      followed.copy.confirm(epoch, version)
      const { expected } = followed
      if (expected === undefined || expected.epoch !== epoch || expected.version < version) {
        followed.expected = { epoch, version }
      }
      if (!followed.hasReached && followed.copy.isLive) void this.confirm(followed)
    }
  }

  /** Waits for the messages of our own writes, and reads the topic when they are lost: late is not lost. */
  private async confirm(followed: FollowedTopic): Promise<void> {
    if (followed.isConfirming) return
    followed.isConfirming = true
    // Most come at once.
    await pause(GRACE)
    while (!followed.hasReached && followed.references > 0 && !this.closed) {
      const { copy, expected } = followed
      await this.settled()
      if (expected === undefined || copy.hasReached(expected.epoch, expected.version)) continue
      if (!followed.isReading) {
        this.read(followed, "late message")
        break
      }
      // What is being read for another reason will show it, or the next one.
      await pause(GRACE)
    }
    followed.isConfirming = false
  }

  /** Resolves when all has come that was published before, or is not going to. */
  private async settled(): Promise<void> {
    const { port } = this.options
    try {
      await port.heard()
    } catch {
      // Who has no subscriber has nothing to wait for.
    }
    if (port.mode === "cluster") await pause(GRACE)
  }

  onSubscriberDown(): void {
    for (const followed of this.topics.values()) followed.isSubscribed = false
  }

  /** The subscriber is there again: subscribes to all, then looks what was missed. */
  async onSubscriberReady(reason = "reconnect"): Promise<void> {
    this.missed = 0
    await this.subscribeAll()
    await this.digest(reason)
  }

  /** Compares where topics stand here and in Redis; what still differs after a while is read again. How many did. */
  async digest(reason = "digest", only?: number): Promise<number> {
    const { partitions } = this.options
    let found = 0
    for (const [partition, keys] of partitions.entries()) {
      if (only !== undefined && only !== partition) continue
      const live: Array<FollowedTopic> = []
      for (const followed of this.topics.values()) {
        if (followed.partition === partition && followed.copy.isLive) live.push(followed)
      }
      for (let i = 0; i < live.length; i += SLICE) {
        found += await this.compare(keys, live.slice(i, i + SLICE), reason)
      }
    }
    return found
  }

  /** Run it every second: lets go of what was retained long enough, and every ten seconds looks what was missed. */
  async patrol(): Promise<void> {
    const { now, leaseTime, onFailure, port } = this.options
    try {
      // What was retained long enough is looked for once more: nobody leaves because a message was lost.
      for (const followed of this.topics.values()) {
        if (leaseTime(followed.partition) >= followed.copy.retentionEnds) this.read(followed, "retention")
      }
      if (now() - this.lookedAt < DIGEST) return
      this.lookedAt = now()
      await this.subscribeAll()
      // That nothing was missed proves nothing where nothing was said.
      const found = await this.digest()
      if (found > 0) this.missed++
      else if (this.hasHeard) this.missed = 0
      this.hasHeard = false
      if (this.missed < DEAF) return
      this.missed = 0
      port.renewSubscriber("it does not hear what is published")
    } catch (cause) {
      onFailure("looking for what was missed", cause)
    }
  }

  close(): void {
    this.closed = true
    for (const followed of this.topics.values()) wake(followed)
  }

  /** Whether or not it works: what is not subscribed to is compared and read all the same. */
  private async subscribeAll(): Promise<void> {
    await this.trySubscribe(Array.from(this.topics.values()).filter((followed) => !followed.isSubscribed))
  }

  private async trySubscribe(all: ReadonlyArray<FollowedTopic>): Promise<void> {
    try {
      await this.subscribe(all)
    } catch (cause) {
      this.options.onFailure("subscribing", cause)
    }
  }

  /** Subscribes, and takes back what nobody follows any more when the acknowledgement comes. */
  private async subscribe(all: ReadonlyArray<FollowedTopic>): Promise<void> {
    const { port } = this.options
    const channels = all.map(({ channel }) => channel)
    await port.subscribe(channels)
    for (const followed of all) followed.isSubscribed = true
    // A topic that was let go and is followed anew needs it.
    const gone = channels.filter((channel) => !this.channels.has(channel))
    if (gone.length > 0) port.unsubscribe(gone).catch(() => {})
  }

  private async compare(keys: Keys, followed: ReadonlyArray<FollowedTopic>, reason: string): Promise<number> {
    const topics = followed.map(({ copy }) => copy.topic)
    const before = followed.map(({ copy }) => copy.standing)
    const found = await calls.standings(this.options.port, keys, topics)
    for (const [index, { copy }] of followed.entries()) {
      const standing = found[index]
      if (standing !== undefined) copy.confirm(standing.epoch, standing.version)
    }
    if (!followed.some(({ copy }, index) => copy.differsFrom(found[index]))) return 0
    await this.settled()
    const missed = followed.filter(({ copy }, index) => !copy.hasCaughtUp(found[index], before[index] as Standing))
    for (const followed of missed) this.read(followed, reason)
    return missed.length
  }

  // Snapshots

  private read(followed: FollowedTopic, reason: string): void {
    followed.again = reason
    if (followed.isReading) return
    followed.isReading = true
    const run = async (): Promise<void> => {
      let attempt = 0
      while (followed.again !== undefined && followed.references > 0 && !this.closed) {
        const rest = followed.readableAt - this.options.now()
        if (rest >= 1) {
          await pause(rest)
          continue
        }
        if (reason !== "begin") this.options.onResync(followed.again)
        followed.again = undefined
        try {
          if (!(await this.readOnce(followed))) followed.again ??= "unfinished"
        } catch (cause) {
          followed.again ??= "failed"
          if (calls.isForeign(cause)) this.options.onForeign(this.membersKey(followed), "is no hash, as it should be")
          this.options.onFailure("reading a topic", cause)
        }
        followed.readableAt = this.options.now() + REST * followed.copy.roster.connections
        wake(followed)
        if (followed.again !== undefined) await pause(backoff(20, attempt++))
      }
      followed.isReading = false
    }
    void run()
  }

  private async readOnce(followed: FollowedTopic): Promise<boolean> {
    const { port, partitions, onEmpty } = this.options
    const { copy } = followed
    const keys = partitions[followed.partition] as Keys
    copy.begin()
    if (!followed.isSubscribed) await this.trySubscribe([followed])
    const first = await calls.read(port, keys, copy.topic, SMALL, "follow")
    if (first.standing === undefined) {
      onEmpty(followed.partition)
      return false
    }
    copy.start(first.standing)
    if (first.members !== undefined) {
      if (first.members.length < first.size) this.onUnreadable(followed)
      copy.page(first.members)
      return this.finish(followed, { ...first, standing: first.standing })
    }
    for await (const page of pages(port, keys.members(copy.topic))) {
      const members = membersOf(page)
      if (members.length < page.length / 2) this.onUnreadable(followed)
      copy.page(members)
      if (followed.references === 0) return true
    }
    const last = await calls.read(port, keys, copy.topic, 0, "follow")
    const { standing } = last
    // With another history it is another Redis than the pages came from.
    return standing !== undefined && last.history === first.history && this.finish(followed, { ...last, standing })
  }

  private membersKey({ partition, copy }: FollowedTopic): string {
    return (this.options.partitions[partition] as Keys).members(copy.topic)
  }

  private onUnreadable(followed: FollowedTopic): void {
    this.options.onForeign(this.membersKey(followed), "holds what is no member")
  }

  private async finish(followed: FollowedTopic, end: End): Promise<boolean> {
    const { copy } = followed
    const now = (): number => this.options.leaseTime(followed.partition)
    let finished = copy.finish(end, now())
    if (finished.type === "wait") {
      await this.settled()
      finished = copy.finish(end, now())
    }
    if (finished.type !== "done") return false
    if (finished.resync) followed.again ??= "gap"
    this.tell(followed, finished.deltas)
    return true
  }

  private tell(followed: FollowedTopic, deltas: ReadonlyArray<Delta>): void {
    followed.isTelling = true
    try {
      for (const delta of deltas) {
        // Who follows the topic anew meanwhile, or because of it, has a copy of their own, and hears of that one only.
        if (followed.references > 0) this.options.onDelta(delta)
      }
    } finally {
      followed.isTelling = false
      wake(followed)
    }
  }
}

const wake = (followed: FollowedTopic): void => {
  for (const resume of followed.waiting.splice(0)) resume()
}
