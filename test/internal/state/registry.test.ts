/**
 * The registry against the naive list, with its journal replayed.
 *
 * What it tells is kept and replayed twice: after each command, and at the end, when a change that was not told as it
 * was at that moment would show.
 */
import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { type Change, Registry, type Terms, TrackedConnection } from "../../../src/internal/state/registry.js"
import { type Tracked, World } from "../../model/world.js"
import { seedOf } from "../../support/seed.js"

const topics = ["lobby", "room", "__proto__"] as const
const keys = ["alice", "bob", "constructor", "z"] as const
const metas = [{}, { a: 1, b: [2] }, { b: [2], a: 1 }, "away", null] as const
const limits = { connectionsPerKey: 3, keysPerTopic: 3, metaTotal: 1_000_000 }

type Command =
  | { readonly do: "nothing" | "expire" | "depart" | "tick" }
  | {
      readonly do: "track"
      readonly topic: number
      readonly key: number
      readonly meta: number
      readonly ttl: number
      readonly delay: number
    }
  | { readonly do: "release" | "refresh" | "linger"; readonly who: number }
  | { readonly do: "update"; readonly who: number; readonly meta: number }
  | { readonly do: "evict"; readonly topic: number; readonly key: number }
  | { readonly do: "follow" | "unfollow" | "list"; readonly topic: number }

const index = (length: number) => fc.nat({ max: length - 1 })
const who = fc.nat({ max: 1_000 })

const command: fc.Arbitrary<Command> = fc.oneof(
  { withCrossShrink: true },
  { weight: 1, arbitrary: fc.constant<Command>({ do: "nothing" }) },
  {
    weight: 30,
    arbitrary: fc.record({
      do: fc.constant("track" as const),
      topic: index(topics.length),
      key: index(keys.length),
      meta: index(metas.length),
      ttl: fc.constantFrom(3, 0, 1, 8, Number.POSITIVE_INFINITY),
      delay: fc.constantFrom(2, 0, 6, Number.POSITIVE_INFINITY)
    })
  },
  {
    weight: 24,
    arbitrary: fc.record({
      do: fc.constantFrom("refresh" as const, "refresh" as const, "release" as const, "linger" as const),
      who
    })
  },
  { weight: 14, arbitrary: fc.record({ do: fc.constant("update" as const), who, meta: index(metas.length) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("evict" as const), topic: index(topics.length), key: index(keys.length) })
  },
  {
    weight: 16,
    arbitrary: fc.constantFrom<Command>({ do: "tick" }, { do: "tick" }, { do: "expire" }, { do: "depart" })
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom("list" as const, "list" as const, "follow" as const, "unfollow" as const),
      topic: index(topics.length)
    })
  }
)

const pick = <A>(from: ReadonlyArray<A>, i: number): A => from[i % from.length] as A

const same = <A extends string | number | boolean | undefined>(what: string, actual: A, expected: A): void => {
  if (actual !== expected) throw new Error(`${what} is ${actual}, and should be ${expected}`)
}

interface Row {
  readonly key: string
  readonly ref: string
  readonly meta: unknown
  readonly age: number
}

/** What a journal says is there now, by topic. It throws when it contradicts itself. */
const replay = (journal: ReadonlyArray<Change<TrackedConnection>>): Map<string, Array<Row>> => {
  const rows = new Map<string, Array<Row>>(topics.map((topic) => [topic, []]))
  for (const { type, roster, key, ref, meta, age, previousRef, previousMeta, last } of journal) {
    const there = rows.get(roster.topic) ?? []
    const others = there.filter((row) => row.key === key)
    const at = there.findIndex((row) => row.ref === (type === "update" ? previousRef : ref))
    if (type === "join") {
      if (at !== -1) throw new Error(`${ref} joins twice`)
      if (others.some((other) => other.age >= age)) throw new Error(`${ref} joins, and is not the youngest`)
      there.push({ key, ref, meta, age })
      continue
    }
    if (at === -1) throw new Error(`a ${type} of ${ref}, which is not there`)
    same(`whether a ${type} is the key's last`, last, others.length === 1)
    same("the age", age, there[at]?.age)
    if (type === "leave") there.splice(at, 1)
    else {
      same("the meta before", JSON.stringify(previousMeta), JSON.stringify(there[at]?.meta))
      there[at] = { key, ref, meta, age }
    }
  }
  return rows
}

const shape = (rows: ReadonlyArray<{ readonly key: string; readonly ref: string; readonly meta: unknown }>): string =>
  JSON.stringify(rows.map(({ key, ref, meta }) => [key, ref, meta]))

const byKeyThenAge = (a: Row, b: Row): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.age - b.age)

/** What was met, to see that the test does look at something. */
const met = { full: 0, rejoined: 0, replaced: 0, patched: 0, batches: 0 }

const play = (commands: ReadonlyArray<Command>, keyIndex: boolean): void => {
  const journal: Array<Change<TrackedConnection>> = []
  const registry = new Registry<TrackedConnection>("replica", limits, (change) => journal.push(change), { keyIndex })
  const world = new World<TrackedConnection>()
  const followed = new Set<string>()
  const listed = new Map<string, { readonly list: unknown; readonly changes: number }>()
  const epochs = new Map<string, string>()
  const past = new Set<string>()
  const refs = new Set<string>()

  const perform = (command: Command): void => {
    switch (command.do) {
      case "nothing":
        return
      case "tick":
        world.now += 1
        return
      case "track": {
        const topic = pick(topics, command.topic)
        const key = pick(keys, command.key)
        const { ttl, delay } = command
        const terms: Terms = { replica: "replica", ttl, leaveDelay: delay }
        const connection = new TrackedConnection(topic, key, pick(metas, command.meta), terms)
        const members = world.of(topic)
        const others = members.filter((other) => other.key === key)
        const staying = others.filter((other) => other.status === "lingering").length
        const full =
          others.length === 0
            ? new Set(members.map((member) => member.key)).size >= limits.keysPerTopic
              ? "keysPerTopic"
              : undefined
            : others.length - staying >= limits.connectionsPerKey
              ? "connectionsPerKey"
              : undefined
        same("what is full", registry.track(connection, world.now)?.limit, full)
        if (full !== undefined) {
          met.full++
          return
        }
        if (staying > 0) met.replaced++
        world.track({
          lease: connection,
          topic,
          key,
          meta: pick(metas, command.meta),
          scope: 0,
          ttl,
          delay,
          status: "released",
          deadline: 0
        })
        return
      }
      case "evict": {
        const topic = pick(topics, command.topic)
        const key = pick(keys, command.key)
        same("what was evicted", registry.evict(topic, key), world.evict(topic, key))
        return
      }
      case "expire":
      case "depart": {
        // In batches of two, whichever come first.
        let ended = 0
        for (;;) {
          const some = command.do === "expire" ? registry.expire(world.now, 2) : registry.depart(world.now, 2)
          ended += some
          if (some < 2) break
          met.batches++
        }
        same("how many ended", ended, command.do === "expire" ? world.sweep() : world.depart())
        same("whether more is due", registry.nextDeparture > world.now || command.do === "expire", true)
        return
      }
      case "follow": {
        const topic = pick(topics, command.topic)
        if (followed.has(topic)) return
        followed.add(topic)
        registry.keep(topic)
        world.follow(topic)
        return
      }
      case "unfollow": {
        const topic = pick(topics, command.topic)
        if (!followed.delete(topic)) return
        registry.letGo(topic)
        world.unfollow(topic)
        return
      }
      case "list": {
        const topic = pick(topics, command.topic)
        const { changes } = world.topic(topic)
        const list = registry.list(topic)
        same("the list", JSON.stringify(list), JSON.stringify(world.list(topic)))
        const before = listed.get(topic)
        if (before !== undefined && before.changes === changes && before.list !== list) {
          throw new Error("nothing changed, and the list is another")
        }
        if (before !== undefined && before.changes !== changes && list.length > 0) met.patched++
        listed.set(topic, { list, changes })
        return
      }
    }
    if (world.all.length === 0) return
    const tracked = pick<Tracked<TrackedConnection>>(world.all, command.who)
    const connection = tracked.lease
    switch (command.do) {
      case "release":
        registry.release(connection)
        world.release(tracked)
        return
      case "linger":
        registry.linger(connection, world.now)
        if (tracked.status === "present") {
          tracked.status = "lingering"
          tracked.deadline = world.now + tracked.delay
        }
        return
      case "refresh": {
        const answer = registry.refresh(connection, world.now)
        if (answer === "rejoined") met.rejoined++
        same("the answer to refresh", answer, world.refresh(tracked))
        return
      }
      case "update": {
        const meta = pick(metas, command.meta)
        const answer = registry.update(connection, meta, world.now)
        same("the answer to update", typeof answer === "string" ? answer : answer.limit, world.update(tracked, meta))
        return
      }
    }
  }

  let told = 0
  for (const command of commands) {
    perform(command)
    let connections = 0
    let alive = 0
    for (; told < journal.length; told++) {
      const { type, ref } = journal[told] as Change<TrackedConnection>
      if (type === "leave") continue
      if (refs.has(ref)) throw new Error(`${ref} was there before`)
      refs.add(ref)
    }
    for (const name of topics) {
      const topic = world.topic(name)
      const members = world.of(name)
      const { epoch, version, connections: there } = registry.snapshot(name)
      same("the snapshot", shape(there), world.state(name))
      const count = registry.count(name)
      same("the keys", count.keys, new Set(members.map((member) => member.key)).size)
      same("the connections", count.connections, members.length)
      for (const key of keys) {
        const metas = members.filter((member) => member.key === key).map((member) => member.meta)
        same(
          "an entry",
          JSON.stringify(registry.get(name, key)),
          metas.length === 0 ? undefined : JSON.stringify({ key, metas })
        )
      }
      connections += members.length
      if (members.length > 0) alive++
      if (topic.ended) {
        const over = epochs.get(name)
        if (over !== undefined) past.add(over)
        epochs.delete(name)
        topic.ended = false
      }
      if (topic.followers === 0 && members.length === 0) continue
      if (past.has(epoch)) throw new Error("the epoch of a life that was over")
      same("the epoch", epoch, epochs.get(name) ?? epoch)
      epochs.set(name, epoch)
      same("the version", version, topic.version)
    }
    same("all connections", registry.connections, connections)
    same("all topics", registry.topics, alive)
    same("the topics", [...registry.topicNames()].sort().join(), world.topicNames().join())
    for (const key of keys) {
      const where = topics.filter((topic) => world.of(topic).some((member) => member.key === key))
      same("the topics of a key", [...registry.topicsOf(key)].sort().join(), [...where].sort().join())
    }
  }

  const rows = replay(journal)
  for (const name of topics) {
    same("the journal", shape([...(rows.get(name) ?? [])].sort(byKeyThenAge)), world.state(name))
  }
  registry.shutdown()
  for (let some = registry.some(2); some.length > 0; some = registry.some(2)) {
    for (const connection of some) registry.release(connection)
  }
  for (const { lease, status } of world.all) {
    same("a refresh afterwards", registry.refresh(lease, world.now), status === "evicted" ? "evicted" : "released")
  }
  same("what is left", registry.connections + registry.topics, 0)
  for (const name of topics) same("a journal to its end", replay(journal).get(name)?.length, 0)
}

const runs = 500

describe("the registry against a naive list", () => {
  it("500 runs of 100 commands: every read, every answer, and the journal replayed", () => {
    fc.assert(fc.property(fc.array(command, { minLength: 100, maxLength: 100 }), fc.boolean(), play), {
      seed: seedOf("registry model", runs),
      numRuns: runs
    })
    for (const [what, times] of Object.entries(met)) expect(times, what).toBeGreaterThan(100)
  })
})

describe("the registry", () => {
  const make = (options?: { readonly keyIndex?: boolean }) => {
    const changes: Array<Change<TrackedConnection>> = []
    const registry = new Registry<TrackedConnection>("replica", limits, (change) => changes.push(change), options)
    const track = (topic: string, key: string, terms: Partial<Terms> = {}) => {
      const ttl = Number.POSITIVE_INFINITY
      const connection = new TrackedConnection(topic, key, {}, { replica: "replica", ttl, leaveDelay: 0, ...terms })
      return { connection, full: registry.track(connection, 0) }
    }
    return { registry, changes, track }
  }

  it("says which count is at its limit, and how many that are", () => {
    const { registry, track } = make()
    for (let i = 0; i < 3; i++) expect(track("room", "alice").full).toBeUndefined()
    expect(track("room", "alice").full).toEqual({ limit: "connectionsPerKey", max: 3, actual: 4 })
    for (const key of ["bob", "carol"]) expect(track("room", key).full).toBeUndefined()
    const { connection, full } = track("room", "dave")
    expect(full).toEqual({ limit: "keysPerTopic", max: 3, actual: 4 })
    expect([connection.status, registry.count("room")]).toEqual(["released", { keys: 3, connections: 5 }])
  })

  describe("what metas may take of the heap", () => {
    // A text of n characters counts 24 more.
    const heavy = (n: number): string => "x".repeat(n - 24)
    const makeOf = (metaTotal: number) => {
      const registry = new Registry<TrackedConnection>("replica", { ...limits, metaTotal }, () => {})
      const terms = { replica: "replica", ttl: 10, leaveDelay: 5 }
      const track = (topic: string, bytes: number) => {
        const connection = new TrackedConnection(topic, "alice", heavy(bytes), terms)
        return { connection, full: registry.track(connection, 0) }
      }
      return { registry, track }
    }
    const full = (actual: number) => ({ limit: "metaTotal", max: 100, actual })

    it("is of all topics together, and no more", () => {
      const { registry, track } = makeOf(100)
      expect(track("one", 60).full).toBeUndefined()
      expect(track("two", 40).full).toBeUndefined()
      const late = track("three", 24)
      expect([late.full, late.connection.status]).toEqual([full(124), "released"])
      expect(registry.topicNames()).toEqual(["one", "two"])
    })

    it("is given back however one leaves, and not while one lingers", () => {
      const { registry, track } = makeOf(100)
      const ends: ReadonlyArray<(connection: TrackedConnection) => void> = [
        (connection) => registry.release(connection),
        () => registry.evict("room", "alice"),
        () => registry.expire(10, 10),
        (connection) => {
          registry.linger(connection, 0)
          expect(track("other", 24).full).toEqual(full(124))
          registry.depart(5, 10)
        }
      ]
      for (const end of ends) {
        const { connection, full: none } = track("room", 100)
        expect(none).toBeUndefined()
        expect(track("other", 24).full).toEqual(full(124))
        end(connection)
      }
      expect(track("other", 100).full).toBeUndefined()
    })

    it("holds for an update, of which what counts is what it adds; a smaller one may always", () => {
      const { registry, track } = makeOf(100)
      const { connection } = track("room", 60)
      track("other", 30)
      expect(registry.update(connection, heavy(71), 0)).toEqual(full(101))
      expect(connection.meta).toBe(heavy(60))
      expect(registry.update(connection, heavy(70), 0)).toBe("updated")
      expect(track("third", 24).full).toEqual(full(124))
      expect(registry.update(connection, heavy(24), 0)).toBe("updated")
      expect(track("third", 46).full).toBeUndefined()
    })

    it("holds for one that expired and comes back with another", () => {
      const { registry, track } = makeOf(100)
      const { connection } = track("room", 60)
      registry.expire(10, 10)
      track("other", 50)
      expect(registry.update(connection, heavy(51), 10)).toEqual(full(101))
      expect(registry.update(connection, heavy(50), 10)).toBe("rejoined")
      expect(track("third", 24).full).toEqual(full(124))
    })

    it("does not keep out who was here: one that expired and is refreshed comes back beyond it, and none may grow", () => {
      const { registry, track } = makeOf(100)
      const { connection } = track("room", 60)
      registry.expire(10, 10)
      track("other", 100)
      expect(registry.refresh(connection, 10)).toBe("rejoined")
      expect(registry.update(connection, heavy(61), 10)).toEqual(full(161))
      // As heavy, and lighter.
      expect(registry.update(connection, heavy(60).replace("x", "y"), 10)).toBe("updated")
      expect(registry.update(connection, heavy(59), 10)).toBe("updated")
    })
  })

  it("who lingers makes room for as many", () => {
    const { registry, changes, track } = make()
    const [first, second] = [track("room", "alice").connection, track("room", "alice", { leaveDelay: 5 }).connection]
    track("room", "alice")
    registry.linger(second, 0)
    expect(track("room", "alice").full).toBeUndefined()
    expect(changes.at(-1)).toMatchObject({ type: "leave", reason: "released", connection: second, last: false })
    expect([first.status, second.status]).toEqual(["present", "released"])
    expect(track("room", "alice").full).toEqual({ limit: "connectionsPerKey", max: 3, actual: 4 })
  })

  it("after a shutdown nobody comes or comes back", () => {
    const { registry, changes, track } = make()
    const { connection } = track("room", "alice", { ttl: 1 })
    registry.expire(1, 10)
    expect([connection.status, registry.isClosed]).toEqual(["expired", false])
    registry.shutdown()
    expect(registry.isClosed).toBe(true)
    const late = track("room", "bob")
    expect([late.full, late.connection.status]).toEqual([undefined, "released"])
    expect([registry.refresh(connection, 2), registry.update(connection, 5, 2)]).toEqual(["released", "released"])
    expect(registry.refresh(late.connection, 2)).toBe("released")
    expect(connection.status).toBe("released")
    expect(changes.map(({ type }) => type)).toEqual(["join", "leave"])
  })

  it("knows whether whoever holds a connection ever refreshed it: joining is none", () => {
    const { registry, track } = make()
    const { connection } = track("room", "alice", { ttl: 1 })
    registry.expire(1, 10)
    expect(registry.refresh(connection, 1)).toBe("rejoined")
    expect(connection.refreshed).toBe(false)
    expect(registry.refresh(connection, 1)).toBe("renewed")
    expect(connection.refreshed).toBe(true)
  })

  it("a refresh gives another ttl from then on; what has none never ends by time", () => {
    const { registry, track } = make()
    const { connection } = track("room", "alice", { ttl: 10 })
    const ever = track("room", "bob").connection
    registry.refresh(connection, 5)
    registry.refresh(ever, 5)
    expect(registry.expire(14, 10)).toBe(0)
    expect(registry.expire(15, 10)).toBe(1)
    expect(registry.expire(Number.MAX_VALUE, 10)).toBe(0)
    expect([connection.status, ever.status]).toEqual(["expired", "present"])
  })

  it("a leave delay counts from the closing of the scope, and ends whatever the ttl", () => {
    const { registry, changes, track } = make()
    const { connection } = track("room", "alice", { ttl: 2, leaveDelay: 10 })
    expect(registry.nextDeparture).toBe(Number.POSITIVE_INFINITY)
    registry.linger(connection, 1)
    registry.linger(connection, 5)
    expect(registry.nextDeparture).toBe(11)
    expect([registry.expire(100, 10), registry.depart(10, 10)]).toEqual([0, 0])
    expect(registry.refresh(connection, 10)).toBe("released")
    expect(registry.depart(11, 10)).toBe(1)
    expect(registry.nextDeparture).toBe(Number.POSITIVE_INFINITY)
    expect(changes.at(-1)).toMatchObject({ type: "leave", reason: "released" })
    registry.linger(connection, 12)
    expect([connection.status, registry.nextDeparture]).toEqual(["released", Number.POSITIVE_INFINITY])
  })

  it("a change is told as it was at that moment", () => {
    const { registry, changes, track } = make()
    const { connection } = track("room", "alice")
    const joined = connection.ref
    registry.update(connection, { n: 1 }, 0)
    const updated = connection.ref
    registry.leave(connection, "evicted")
    expect(joined).not.toBe(updated)
    const { type, topic, key, ref, meta, version, previousMeta, reason, last } = changes[0] as Change<TrackedConnection>
    expect({ type, topic, key, ref, meta, version, previousMeta, reason, last }).toEqual({
      ...{ type: "join", topic: "room", key: "alice", ref: joined, meta: {}, version: 1 },
      ...{ previousMeta: null, reason: "released", last: false }
    })
    expect(changes[1]).toMatchObject({ type: "update", meta: { n: 1 }, version: 2, previousMeta: {}, last: true })
    expect([changes[1]?.ref, changes[1]?.previousRef]).toEqual([updated, joined])
    expect(changes[2]).toMatchObject({ type: "leave", meta: { n: 1 }, version: 3, reason: "evicted", last: true })
    expect(changes[2]?.ref).toBe(updated)
    expect(joined).toBe("replica.1.1")
    expect(updated).toBe("replica.1.2")
  })

  it("a topic that nobody is on has no list of its own, is at version 0, and each of its lives is another epoch", () => {
    const { registry, track } = make()
    expect(registry.snapshot("room")).toEqual({ epoch: "replica-0", version: 0, connections: [] })
    expect(registry.list("room")).toBe(registry.list("elsewhere"))
    expect(Object.isFrozen(registry.list("room"))).toBe(true)
    const { connection } = track("room", "alice")
    expect(registry.snapshot("room")).toMatchObject({ epoch: "replica-1", version: 1 })
    registry.keep("room")
    registry.release(connection)
    expect(registry.list("room")).toBe(registry.list("elsewhere"))
    expect(registry.snapshot("room")).toMatchObject({ epoch: "replica-1", version: 2 })
    registry.letGo("room")
    registry.letGo("room")
    expect(registry.snapshot("room")).toMatchObject({ epoch: "replica-0", version: 0 })
    track("room", "alice")
    expect(registry.snapshot("room")).toMatchObject({ epoch: "replica-2", version: 1 })
  })

  it("what is gone for good keeps the meta that it had; what has expired comes back with the new one", () => {
    const { registry, track } = make()
    const [evicted, released] = [track("room", "alice").connection, track("room", "bob").connection]
    const expired = track("room", "carol", { ttl: 1 }).connection
    expect(registry.evict("room", "alice")).toBe(1)
    expect([registry.evict("room", "dave"), registry.evict("none", "alice")]).toEqual([0, 0])
    registry.release(released)
    registry.expire(1, 10)
    const all = [evicted, released, expired]
    expect(all.map((connection) => registry.update(connection, 5, 2))).toEqual(["evicted", "released", "rejoined"])
    expect(all.map(({ meta }) => meta)).toEqual([{}, {}, 5])
  })

  it("a release is for good, and is told of whoever was there", () => {
    const { registry, changes, track } = make()
    const [present, expired] = [track("room", "alice").connection, track("room", "bob", { ttl: 1 }).connection]
    registry.expire(1, 10)
    for (const connection of [present, expired, present, expired]) registry.release(connection)
    expect([present.status, expired.status]).toEqual(["released", "released"])
    expect(changes.map(({ type, key, reason }) => [type, key, reason])).toEqual([
      ["join", "alice", "released"],
      ["join", "bob", "released"],
      ["leave", "bob", "expired"],
      ["leave", "alice", "released"]
    ])
  })

  it("holds a key index where it is asked for, and else has no memory of it", () => {
    const isHeld = (options?: { readonly keyIndex?: boolean }) =>
      (make(options).registry as unknown as { readonly keyIndex: unknown }).keyIndex !== undefined
    expect([isHeld(), isHeld({}), isHeld({ keyIndex: false })]).toEqual([false, false, false])
    expect(isHeld({ keyIndex: true })).toBe(true)
  })

  it("some are as many as are asked for, of all topics, or all there are", () => {
    const { registry, track } = make()
    const all = [track("a", "x"), track("a", "x"), track("b", "x")].map(({ connection }) => connection)
    expect(registry.some(0)).toEqual([])
    expect(registry.some(2)).toEqual(all.slice(0, 2))
    expect(registry.some(3)).toEqual(all)
    expect(registry.some(4)).toEqual(all)
  })
})
