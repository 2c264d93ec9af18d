/**
 * Replicas, a partition and a network that loses, delays and reorders, in virtual time and from one seed.
 *
 * The decisions are the real ones; Redis is the partition in memory that is compared with the scripts elsewhere.
 */
import type { Delta } from "../../src/internal/feed/delta.js"
import { connectionOf, ownerOf, placeOf } from "../../src/redis/protocol/keys.js"
import type { ApplyAnswer, ApplyCall, End, Settings, Standing, TopicMessage } from "../../src/redis/protocol/values.js"
import { TopicCopy } from "../../src/redis/read/topicCopy.js"
import { ReplicaLease, type Todo } from "../../src/redis/write/lease.js"
import type { Cell } from "../../src/redis/write/outbox.js"
import { Agenda } from "../support/agenda.js"
import { FakePartition } from "../support/partition.js"

export const LEASE = 15_000
export const HEARTBEAT = 5_000
const TIMEOUT = 5_000
export const HOLD = LEASE + HEARTBEAT
const DIGEST = 10_000

export interface Network {
  /** Chances, 0 to 1. */
  readonly requestLost: number
  readonly answerLost: number
  /** The call fails and is carried out up to two leases later. */
  readonly requestLate: number
  readonly messageLost: number
  /** Whether heartbeats are spared, so that no lease is ever lost. */
  readonly sparesBeats: boolean
}

export const calm: Network = { requestLost: 0, answerLost: 0, requestLate: 0, messageLost: 0, sparesBeats: false }

export class World {
  readonly clock = { now: 1_000_000 }
  /** How far the clock of Redis is from the true one. */
  skew = 0
  network = calm
  readonly replicas: Array<SimulatedReplica> = []
  readonly redis: FakePartition
  /** Connections that somebody evicted, for as long as Redis has not lost data. */
  readonly evicted = new Set<string>()
  private readonly agenda = new Agenda<{ readonly at: number; readonly order: number; readonly run: () => void }>()
  private order = 0

  constructor(
    readonly random: () => number,
    readonly topics: ReadonlyArray<string>
  ) {
    const { clock } = this
    const skew = (): number => this.skew
    const redisClock = {
      get now() {
        return clock.now + skew()
      }
    }
    this.redis = new FakePartition(
      redisClock,
      (topic, message) => {
        for (const replica of this.replicas) replica.deliver(topic, message)
      },
      (nudged) => this.replicas.find(({ id }) => id === nudged)?.nudge()
    )
  }

  start(lease = LEASE, heartbeat = HEARTBEAT): SimulatedReplica {
    const replica = new SimulatedReplica(this, `r${this.replicas.length}`, { lease, heartbeat, partitions: 1 })
    this.replicas.push(replica)
    replica.begin()
    return replica
  }

  /** After a while Redis is one that has what it has now. */
  failOver(ms: number): void {
    const { redis } = this
    const restore = redis.save()
    this.after(ms, () => restore(redis, `${redis.history}'`))
  }

  at(at: number, run: () => void): void {
    this.agenda.add({ at, order: this.order++, run })
  }

  after(ms: number, run: () => void): void {
    this.at(this.clock.now + ms, run)
  }

  run(ms: number): void {
    const end = this.clock.now + ms
    for (let first = this.agenda.first; first !== undefined && first.at <= end; first = this.agenda.first) {
      this.agenda.takeFirst()
      this.clock.now = first.at
      first.run()
    }
    this.clock.now = end
  }

  /** A round trip. `answer` gets `undefined` when there was no answer in time. */
  call<A>(isBeat: boolean, execute: () => A, answer: (answer: A | undefined) => void): void {
    const { requestLost, answerLost, requestLate, sparesBeats } = this.network
    const there = 1 + this.random() * 40
    const back = 1 + this.random() * 40
    const fate = isBeat && sparesBeats ? 1 : this.random()
    if (fate < requestLost) this.after(TIMEOUT, () => answer(undefined))
    else if (fate < requestLost + answerLost) {
      this.after(there, () => void execute())
      this.after(TIMEOUT, () => answer(undefined))
    } else if (fate < requestLost + answerLost + requestLate) {
      this.after(TIMEOUT, () => answer(undefined))
      this.after(TIMEOUT + this.random() * 2 * LEASE, () => void execute())
    } else {
      this.after(there, () => {
        const result = execute()
        this.after(back, () => answer(result))
      })
    }
  }
}

export class SimulatedReplica {
  readonly replica: ReplicaLease
  readonly models = new Map<string, TopicCopy>()
  /** What followers were told, folded: ref -> key. */
  readonly folded = new Map<string, Map<string, string>>()
  readonly cells = new Map<number, Cell>()
  readonly problems: Array<string> = []
  isDead = false
  isStopping = false
  /** Leaves that were told, for who wants to know whether they were true. */
  onLeave: (connectionRef: string) => void = () => {}
  onJoin: (connectionRef: string) => void = () => {}
  /** The shortest of all, as Redis says. */
  private heartbeat: number
  private paces = 0
  private pausedUntil = 0
  private seq = 0
  private arrival = 0
  private readonly reaping = new Set<string>()
  private readonly versions = new Map<string, { epoch: string; version: number }>()

  constructor(
    readonly world: World,
    readonly id: string,
    private readonly settings: Settings
  ) {
    this.replica = new ReplicaLease(id)
    this.heartbeat = settings.heartbeat
    for (const topic of world.topics) {
      this.models.set(topic, new TopicCopy(topic, () => settings.lease + settings.heartbeat))
      this.folded.set(topic, new Map())
    }
  }

  // What its process does

  begin(): void {
    const digests = (): void => {
      this.digest()
      this.later(DIGEST, digests)
    }
    this.beats()
    for (const model of this.models.values()) this.resync(model)
    this.later(DIGEST, digests)
  }

  track(topic: string, key: string): void {
    const seq = ++this.seq
    this.cells.set(seq, this.replica.outbox.join(topic, key, seq, { seq }))
    this.flush()
  }

  update(cell: Cell): void {
    if (cell.leaving !== undefined) return
    this.replica.outbox.update(cell, ++this.seq, { seq: this.seq })
    this.flush()
  }

  leave(cell: Cell): void {
    this.cells.delete(cell.seq)
    this.replica.outbox.leave(cell, "released")
    this.flush()
  }

  evict(topic: string, key: string): void {
    const { world } = this
    world.call(
      false,
      () => world.redis.read(topic).members?.filter((member) => member.key === key) ?? [],
      (members) => {
        for (const { connection } of members ?? []) {
          const { replica, seq } = ownerOf(connection)
          const call = this.replica.about("evict", replica, [{ type: "remove", topic, seq, reason: "evicted" }])
          const execute = (): ApplyAnswer => {
            const answer = world.redis.apply(call)
            if (answer.status === "OK" && answer.changed === 1) world.evicted.add(connection)
            return answer
          }
          world.call(false, execute, () => {})
        }
      }
    )
  }

  pause(ms: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.world.clock.now + ms)
  }

  /** Ends in order: everything leaves, and the lease is given back if Redis has heard that. */
  stop(): void {
    this.isStopping = true
    for (const cell of [...this.cells.values()]) this.leave(cell)
    this.later(2_000, () => {
      const call = this.replica.leave()
      this.world.call(
        true,
        () => this.world.redis.beat(call, this.settings),
        () => this.kill()
      )
    })
  }

  kill(): void {
    this.isDead = true
  }

  // What comes from outside

  deliver(topic: string, message: TopicMessage): void {
    if (this.world.random() < this.world.network.messageLost) return
    this.arrival = Math.max(this.arrival, this.world.clock.now + this.world.random() * 30)
    this.world.at(this.arrival, () =>
      this.alive(() => {
        const model = this.models.get(topic) as TopicCopy
        const received = model.receive(message)
        if (received.type === "applied") this.tell(received.delta)
        if (received.type === "resync") this.resync(model)
      })
    )
  }

  // Machinery

  private alive(run: () => void): void {
    if (this.isDead) return
    if (this.world.clock.now < this.pausedUntil) this.world.at(this.pausedUntil, () => this.alive(run))
    else run()
  }

  private later(ms: number, run: () => void): void {
    this.world.after(ms, () => this.alive(run))
  }

  /** Somebody beats more often. */
  nudge(): void {
    this.later(this.world.random() * 30, () => this.beat())
  }

  /** From now on as often as is known to be needed. */
  private beats(): void {
    const pace = ++this.paces
    const beat = (): void => {
      if (pace !== this.paces) return
      this.beat()
      this.later(this.heartbeat, beat)
    }
    beat()
  }

  private beat(): void {
    const call = this.replica.beat()
    this.world.call(
      true,
      () => this.world.redis.beat(call, this.settings),
      (answer) =>
        this.alive(() => {
          if (answer?.status === "OK") {
            const isShorter = answer.heartbeat < this.heartbeat
            this.heartbeat = answer.heartbeat
            if (isShorter) this.beats()
          }
          this.do(this.replica.beatAnswered(call, answer))
        })
    )
  }

  private flush(): void {
    for (let call = this.replica.write(); call !== undefined; call = this.replica.write()) this.send(call)
  }

  private send(call: ApplyCall): void {
    this.world.call(
      false,
      () => this.world.redis.apply(call),
      (answer) => this.alive(() => this.do(this.replica.written(call, answer)))
    )
  }

  private do(todo: Todo): void {
    for (const cell of this.replica.outbox.evicted.splice(0)) this.cells.delete(cell.seq)
    if (todo.refused !== undefined) this.problems.push(`refused: ${todo.refused}`)
    if (todo.beat) this.beat()
    if (todo.recover) this.recover()
    if (todo.epochChanged) this.digest()
    for (const late of todo.late) this.reap(late)
    this.flush()
  }

  private recover(): void {
    this.world.call(
      false,
      () => [...(this.world.redis.indexes.get(this.id) ?? [])],
      (places) =>
        this.alive(() => {
          if (places === undefined) return this.recover()
          this.replica.outbox.disown(places)
          this.do(this.replica.recovered())
        })
    )
  }

  private reap(late: string): void {
    if (this.reaping.has(late)) return
    this.reaping.add(late)
    const { redis } = this.world
    const page = (): void =>
      this.world.call(
        false,
        () => [...(redis.indexes.get(late) ?? [])].slice(0, 3),
        (places) =>
          this.alive(() => {
            if (places === undefined) return void this.reaping.delete(late)
            const operations = places.flatMap((text) => {
              const place = placeOf(text)
              return place === undefined ? [] : [{ type: "remove", reason: "replicaLost", ...place } as const]
            })
            const call = this.replica.about("reap", late, operations)
            this.world.call(
              false,
              () => redis.apply(call),
              (answer) =>
                this.alive(() => {
                  const goesOn = answer?.status === "OK" && answer.changed > 0 && !answer.emptied
                  if (goesOn) page()
                  else this.reaping.delete(late)
                })
            )
          })
      )
    page()
  }

  private digest(): void {
    for (const model of this.models.values()) {
      const ask = (then: (standing: Standing | undefined) => void): void =>
        this.world.call(
          false,
          () => ({ standing: this.world.redis.standing(model.topic) }),
          (answer) => this.alive(() => answer !== undefined && then(answer.standing))
        )
      ask((standing) => {
        if (!model.differsFrom(standing)) return
        this.later(300, () => {
          if (model.differsFrom(standing)) ask((standing) => model.differsFrom(standing) && this.resync(model))
        })
      })
      if (this.world.clock.now >= model.retentionEnds) this.resync(model)
    }
  }

  private readonly reading = new Set<TopicCopy>()

  private resync(model: TopicCopy): void {
    if (this.reading.has(model)) return
    this.reading.add(model)
    this.read(model)
  }

  private read(model: TopicCopy): void {
    const { redis, random } = this.world
    const again = (): void => this.later(50, () => this.read(model))
    model.begin()
    const inPages = random() < 0.5
    this.world.call(
      false,
      () => redis.read(model.topic),
      (answer) =>
        this.alive(() => {
          if (answer?.standing === undefined) return again()
          const { standing, history } = answer
          model.start(standing)
          if (!inPages) {
            model.page(answer.members ?? [])
            this.finish(model, { ...answer, standing }, again)
            return
          }
          // HSCAN: what is there throughout is seen, as it is when its page is read.
          const names = (answer.members ?? []).map(({ connection }) => connection)
          const page = (): void =>
            this.world.call(
              false,
              () => {
                const wanted = new Set(names.splice(0, 2))
                return (redis.read(model.topic).members ?? []).filter(
                  ({ connection }) => wanted.has(connection) || (!names.includes(connection) && random() < 0.3)
                )
              },
              (members) =>
                this.alive(() => {
                  if (members === undefined) return again()
                  model.page(members)
                  if (names.length > 0) return page()
                  this.world.call(
                    false,
                    () => redis.read(model.topic),
                    (end) =>
                      this.alive(() => {
                        const standing = end?.standing
                        if (standing === undefined || end?.history !== history) again()
                        else this.finish(model, { ...end, standing }, again)
                      })
                  )
                })
            )
          page()
        })
    )
  }

  private finish(model: TopicCopy, end: End, again: () => void, waited = false): void {
    const wasLive = model.isLive
    const finished = model.finish(end, this.world.clock.now)
    if (finished.type === "wait" && !waited) {
      this.later(300, () => this.finish(model, end, again, true))
      return
    }
    if (finished.type !== "done") {
      again()
      return
    }
    if (!wasLive) {
      // The first follower gets the state; here it is folded as it was before the steps that came with it.
      this.versions.set(model.topic, { epoch: end.standing.epoch, version: end.standing.version })
      const folded = this.folded.get(model.topic) as Map<string, string>
      for (const member of model.roster) folded.set(member.ref, member.key)
      for (const step of [...finished.deltas].reverse()) unfold(step, folded)
    }
    for (const step of finished.deltas) this.tell(step)
    this.reading.delete(model)
    if (finished.resync) this.resync(model)
  }

  private tell(step: Delta): void {
    const problem = (text: string): void => void this.problems.push(`${this.id} ${step.topic}@${step.version}: ${text}`)
    const folded = this.folded.get(step.topic) as Map<string, string>
    const stands = this.versions.get(step.topic)
    if (stands !== undefined && stands.version !== step.from)
      problem(`goes on from ${step.from}, not ${stands.version}`)
    this.versions.set(step.topic, { epoch: step.epoch, version: step.version })
    for (const { type, ref, key, previousRef } of step.changes) {
      if (type === "join" && folded.has(ref)) problem(`second join of ${ref}`)
      if (type === "leave" && !folded.delete(ref)) problem(`second leave of ${ref}`)
      if (type === "update" && !folded.delete(previousRef)) problem(`update of unknown ${previousRef}`)
      if (type === "join") this.onJoin(ref)
      if (type === "leave") this.onLeave(ref)
      else folded.set(ref, key)
    }
    const keys = new Set(folded.values())
    for (const { type, key, last } of step.changes) {
      if (type === "leave" && last && keys.has(key)) problem(`leave of ${key}, who is here`)
    }
    for (const { type, key } of step.changes) {
      if (
        type === "leave" &&
        !keys.has(key) &&
        !step.changes.some((c) => c.type === "leave" && c.key === key && c.last)
      ) {
        problem(`no leave of ${key}, who is gone`)
      }
    }
  }

  /** What it wants to be present: connection -> revision. */
  wanted(topic: string): ReadonlyMap<string, number> {
    const wanted = new Map<string, number>()
    for (const cell of this.cells.values()) {
      if (cell.topic === topic && cell.leaving === undefined) wanted.set(connectionOf(this.id, cell.seq), cell.revision)
    }
    return wanted
  }
}

const unfold = (step: Delta, folded: Map<string, string>): void => {
  for (const { type, ref, key, previousRef } of [...step.changes].reverse()) {
    if (type !== "leave") folded.delete(ref)
    if (type === "leave") folded.set(ref, key)
    if (type === "update") folded.set(previousRef, key)
  }
}
