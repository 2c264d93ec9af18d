import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { connectionOf, refOf } from "../../src/redis/protocol/keys.js"
import { randomFrom } from "../simulation/time.js"
import { turn } from "../support/turns.js"
import { calm, HEARTBEAT, HOLD, LEASE, type Network, type SimulatedReplica, World } from "./simulation.js"

const TOPICS = ["a", "b"]
const KEYS = ["alice", "bob", "carol"]

interface Chances {
  readonly pause: number
  readonly kill: number
  readonly flush: number
  readonly failOver: number
  readonly evict: number
  /** Redis restarts from a data set that is up to a minute old. */
  readonly old?: number
  /** A replica stops in order, and another takes its place. */
  readonly replace?: number
  /** The clock of Redis steps, at most once a lease. */
  readonly step?: number
  /** How each replica lives. */
  readonly leases?: ReadonlyArray<readonly [lease: number, heartbeat: number]>
}

/** Forwards by less than the silence that would be noticed, and by more; backwards likewise. */
const STEPS = [-3_600_000, -30_000, -4_000, -100, 100, 3_000, 9_000, 11_000, 60_000, 3_600_000]

const one = <A>(random: () => number, values: ReadonlyArray<A>): A | undefined =>
  values[Math.floor(random() * values.length)]

/** Two minutes of everything, then calm until everything must have settled. */
const play = (
  seed: number,
  network: Network,
  chances: Chances,
  watch: (world: World, last?: number) => void = () => {}
) => {
  const random = randomFrom(seed)
  const world = new World(random, TOPICS)
  for (let i = 0; i < 3; i++) world.start(...(chances.leases?.[i] ?? []))
  watch(world)
  // Every copy is read before anything is lost: what comes after the first snapshot is taken as it comes.
  world.run(1_000)
  world.network = network
  let kills = 0
  let lostData = false
  let stepped = Number.NEGATIVE_INFINITY
  for (let step = 0; step < 240; step++) {
    world.run(500)
    const living = world.replicas.filter(({ isDead, isStopping }) => !isDead && !isStopping)
    const replica = one(random, living)
    if (replica === undefined) continue
    for (let n = 0; n < 3; n++) {
      const cell = one(random, [...replica.cells.values()])
      const what = random()
      if (what < 0.45 || cell === undefined) replica.track(one(random, TOPICS) ?? "a", one(random, KEYS) ?? "alice")
      else if (what < 0.6) replica.update(cell)
      else replica.leave(cell)
    }
    if (random() < chances.evict) replica.evict(one(random, TOPICS) ?? "a", one(random, KEYS) ?? "alice")
    if (random() < chances.pause) replica.pause(random() * 3 * LEASE)
    if (random() < chances.kill && kills < 2) {
      kills++
      replica.kill()
    }
    if (random() < (chances.replace ?? 0)) {
      replica.stop()
      world.start()
      watch(world, 1)
    }
    if (random() < (chances.old ?? 0)) {
      lostData = true
      world.failOver(random() * 60_000)
    }
    if (random() < (chances.step ?? 0) && world.clock.now - stepped > LEASE) {
      stepped = world.clock.now
      world.skew += one(random, STEPS) ?? 0
    }
    if (random() < chances.flush) {
      lostData = true
      world.redis.flush()
    }
    if (random() < chances.failOver) {
      lostData = true
      world.failOver(random() * 3_000)
    }
  }
  world.network = calm
  // Pauses end, late bytes arrive, leases end, what is held is let go, digests look twice.
  const longest = Math.max(LEASE, ...(chances.leases ?? []).map(([lease]) => lease))
  world.run(3 * LEASE + 2 * longest + HOLD + 4 * HEARTBEAT + 30_000)
  return { world, lostData }
}

const check = (world: World): void => {
  const living = world.replicas.filter((replica) => !replica.isDead)
  for (const topic of TOPICS) {
    const wanted = new Map(living.flatMap((replica) => [...replica.wanted(topic)]))
    const stored = new Map(
      (world.redis.read(topic).members ?? []).map((member) => [member.connection, member.revision])
    )
    expect(sorted(stored), "Redis has what the replicas hold").toEqual(sorted(wanted))
    const refs = new Set([...wanted].map(([connection, revision]) => refOf(connection, revision)))
    for (const replica of living) {
      const model = replica.models.get(topic)
      expect(new Set([...(model?.roster ?? [])].map(({ ref }) => ref)), `the list of ${replica.id}`).toEqual(refs)
      expect(new Set(replica.folded.get(topic)?.keys()), `the changes of ${replica.id}`).toEqual(refs)
      const standing = world.redis.standing(topic)
      if (standing?.tag !== "") expect(model?.standing).toEqual(standing)
    }
  }
  for (const replica of world.replicas) expect(replica.problems).toEqual([])
  // Only those who are here, and everybody is in time.
  expect([...world.redis.leases.keys()].sort()).toEqual(living.map(({ id }) => id).sort())
}

const sorted = (map: ReadonlyMap<string, number>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

const seeds = fc.integer({ min: 0, max: 0x7fffffff })

/** Whoever is told a leave of somebody who is held, or that somebody is here again who has left, has a problem. */
const watchForFalseLeaves = (world: World, last = world.replicas.length): void => {
  const isHeld = (ref: string): boolean =>
    world.replicas.some(
      (owner: SimulatedReplica) =>
        !owner.isDead &&
        [...owner.cells.values()].some(
          ({ seq, revision, leaving }) => leaving === undefined && refOf(connectionOf(owner.id, seq), revision) === ref
        )
    )
  for (const replica of world.replicas.slice(-last)) {
    const left = new Set<string>()
    replica.onLeave = (ref) => {
      if (isHeld(ref)) replica.problems.push(`false leave of ${ref}`)
      left.add(ref)
    }
    replica.onJoin = (ref) => {
      if (left.has(ref)) replica.problems.push(`join of ${ref}, who has left`)
    }
  }
}

describe("replicas on a network that loses, delays and reorders", () => {
  it("agree in the end with what is really held, and never tell a second join or leave", async () => {
    const network: Network = {
      requestLost: 0.05,
      answerLost: 0.05,
      requestLate: 0.05,
      messageLost: 0.05,
      sparesBeats: false
    }
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        await turn()
        const { world, lostData } = play(seed, network, { pause: 0.02, kill: 0.01, flush: 0, failOver: 0, evict: 0.1 })
        check(world)
        expect(lostData).toBe(false)
        for (const replica of world.replicas.filter((replica) => !replica.isDead)) {
          for (const topic of TOPICS) {
            for (const connection of replica.wanted(topic).keys()) expect(world.evicted).not.toContain(connection)
          }
        }
      }),
      { numRuns: 150 }
    )
  })

  it("agree also when Redis is flushed, or fails over to one that lacks the last writes", async () => {
    const network: Network = {
      requestLost: 0.03,
      answerLost: 0.05,
      requestLate: 0.03,
      messageLost: 0.05,
      sparesBeats: false
    }
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        await turn()
        check(play(seed, network, { pause: 0.01, kill: 0.005, flush: 0.01, failOver: 0.02, evict: 0.05 }).world)
      }),
      { numRuns: 150 }
    )
  })

  it("tell no leave of who is there, however often Redis is emptied or fails over and messages are lost", async () => {
    const network: Network = { requestLost: 0, answerLost: 0.1, requestLate: 0, messageLost: 0.1, sparesBeats: true }
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        await turn()
        check(
          play(seed, network, { pause: 0, kill: 0, flush: 0.01, failOver: 0.02, evict: 0 }, watchForFalseLeaves).world
        )
      }),
      { numRuns: 100 }
    )
  })

  it("tell no leave of who is there, however the clock of Redis steps and leases differ, and agree in the end", async () => {
    const network: Network = { requestLost: 0, answerLost: 0.05, requestLate: 0, messageLost: 0.05, sparesBeats: true }
    const lease = fc.constantFrom(
      [15_000, 5_000] as const,
      [30_000, 10_000] as const,
      [90_000, 30_000] as const,
      [60_000, 5_000] as const
    )
    await fc.assert(
      fc.asyncProperty(seeds, fc.tuple(lease, lease, lease), async (seed, leases) => {
        await turn()
        const chances = { pause: 0, kill: 0.005, flush: 0.003, failOver: 0.005, evict: 0, step: 0.1, leases }
        check(play(seed, network, chances, watchForFalseLeaves).world)
      }),
      { numRuns: 150 }
    )
  })

  it.each([-3_600_000, -20_000, 20_000, 3_600_000])(
    "a dead one is gone within lease and two heartbeats when the clock of Redis steps by %i ms",
    async (step) => {
      await fc.assert(
        fc.asyncProperty(seeds, fc.integer({ min: 0, max: LEASE + HEARTBEAT }), async (seed, when) => {
          await turn()
          const world = new World(randomFrom(seed), TOPICS)
          const [a, b, dead] = [world.start(), world.start(), world.start()]
          watchForFalseLeaves(world)
          world.run(10_000)
          for (const replica of [a, b, dead]) replica.track("a", replica.id)
          world.run(1_000)
          dead.kill()
          world.run(when)
          world.skew += step
          world.run(LEASE + 2 * HEARTBEAT - when + 1_000)
          expect([...world.redis.leases.keys()].sort()).toEqual([a.id, b.id])
          for (const replica of [a, b]) {
            expect(replica.problems).toEqual([])
            expect([...(replica.folded.get("a")?.values() ?? [])].sort()).toEqual([a.id, b.id])
          }
        }),
        { numRuns: 30 }
      )
    }
  )

  it("tell no leave of who is there and no second one of who was, when Redis comes back with old data", async () => {
    const network: Network = { requestLost: 0, answerLost: 0.05, requestLate: 0, messageLost: 0.1, sparesBeats: true }
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        await turn()
        const chances = { pause: 0, kill: 0, flush: 0, failOver: 0.01, evict: 0, old: 0.01, replace: 0.02 }
        check(play(seed, network, chances, watchForFalseLeaves).world)
      }),
      { numRuns: 150 }
    )
  })
})
