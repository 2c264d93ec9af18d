import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { refOf } from "../../src/redis/protocol/keys.js"
import { connectionOf } from "../support/partition.js"
import { calm, HEARTBEAT, HOLD, LEASE, type Network, randomFrom, type SimulatedReplica, World } from "./simulation.js"

const TOPICS = ["a", "b"]
const KEYS = ["alice", "bob", "carol"]

interface Chances {
  readonly pause: number
  readonly kill: number
  readonly flush: number
  readonly failOver: number
  readonly evict: number
}

const one = <A>(random: () => number, values: ReadonlyArray<A>): A | undefined =>
  values[Math.floor(random() * values.length)]

/** Two minutes of everything, then calm until everything must have settled. */
const play = (seed: number, network: Network, chances: Chances, watch: (world: World) => void = () => {}) => {
  const random = randomFrom(seed)
  const world = new World(random, TOPICS)
  for (let i = 0; i < 3; i++) world.start()
  watch(world)
  // Every copy is read before anything is lost: what comes after the first snapshot is taken as it comes.
  world.run(1_000)
  world.network = network
  let kills = 0
  let lostData = false
  for (let step = 0; step < 240; step++) {
    world.run(500)
    const living = world.replicas.filter((replica) => !replica.isDead)
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
    if (random() < chances.flush) {
      lostData = true
      world.redis.flush()
    }
    if (random() < chances.failOver) {
      lostData = true
      const restore = world.redis.save()
      world.after(random() * 3_000, restore)
    }
  }
  world.network = calm
  // Pauses end, late bytes arrive, leases end, what is held is let go, digests look twice.
  world.run(3 * LEASE + 2 * LEASE + HOLD + 4 * HEARTBEAT + 30_000)
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

describe("replicas on a network that loses, delays and reorders", () => {
  it("agree in the end with what is really held, and never tell a second join or leave", () => {
    const network: Network = {
      requestLost: 0.05,
      answerLost: 0.05,
      requestLate: 0.05,
      messageLost: 0.05,
      sparesBeats: false
    }
    fc.assert(
      fc.property(seeds, (seed) => {
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
  }, 60_000)

  it("agree also when Redis is flushed, or fails over to one that lacks the last writes", () => {
    const network: Network = {
      requestLost: 0.03,
      answerLost: 0.05,
      requestLate: 0.03,
      messageLost: 0.05,
      sparesBeats: false
    }
    fc.assert(
      fc.property(seeds, (seed) => {
        check(play(seed, network, { pause: 0.01, kill: 0.005, flush: 0.01, failOver: 0.02, evict: 0.05 }).world)
      }),
      { numRuns: 150 }
    )
  }, 60_000)

  it("tell no leave of who is there, however often Redis is emptied or fails over and messages are lost", () => {
    const network: Network = { requestLost: 0, answerLost: 0.1, requestLate: 0, messageLost: 0.1, sparesBeats: true }
    fc.assert(
      fc.property(seeds, (seed) => {
        const watch = (world: World): void => {
          const isHeld = (ref: string): boolean =>
            world.replicas.some((owner: SimulatedReplica) =>
              [...owner.cells.values()].some(
                ({ seq, revision, leaving }) =>
                  leaving === undefined && refOf(connectionOf(owner.id, seq), revision) === ref
              )
            )
          for (const replica of world.replicas) {
            replica.onLeave = (ref) => {
              if (isHeld(ref)) replica.problems.push(`false leave of ${ref}`)
            }
          }
        }
        check(play(seed, network, { pause: 0, kill: 0, flush: 0.01, failOver: 0.02, evict: 0 }, watch).world)
      }),
      { numRuns: 100 }
    )
  }, 60_000)
})
