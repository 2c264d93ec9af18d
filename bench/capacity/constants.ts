/**
 * Measures the constants of the model, each where little else happens: rooms of one, rooms of one at each of two replicas,
 * and rooms of a hundred, in which frames, changes in them, and states outweigh the rest.
 */
import type { Crowd } from "../e2e/contenders.js"
import type { Constants } from "./model.js"
import { at, frames, numbers, Rig } from "./rig.js"

const ROOM = 100
/** Who joins a room of a hundred. */
const MORE = 20
const MS = 4_000

/** Lets a crowd say so much, and tells what that cost and how many diffs came of it. */
const saying = async (rig: Rig, crowd: Crowd, what: "update" | "beat", perSecond: number) => {
  let sent = 0
  const before = await frames(crowd)
  const used = await rig.used(async () => {
    sent = (await crowd.ask({ do: what, perSecond, ms: MS }, "updated")).sent
  })
  // Each is answered too.
  const diffs = ((await frames(crowd)) - before - sent) / sent
  return { node: used.node.map((cpu) => cpu / sent), redis: used.redis / sent, diffs }
}

/** Rooms of one, then the same rooms with one more at another replica. */
const alone = (sockets: number) =>
  Rig.with(2, async (rig) => {
    await rig.warm(sockets)
    const [here, there] = [rig.crowd(), rig.crowd()]
    const rooms = 1_000_000
    /** The first, the second, the third of each room. */
    const come = (crowd: Crowd, replica: number, nth: number) =>
      rig.used(() => rig.join(crowd, replica, numbers((nth - 1) * rooms, sockets), rooms, nth))
    const join = await come(here, 0, 1)
    const beat = await saying(rig, here, "beat", 400)
    const update = await saying(rig, here, "update", 300)
    const copied = await come(there, 1, 2)
    const heard = await saying(rig, here, "update", 300)
    const again = await come(rig.crowd(), 0, 3)
    const leave = await rig.used(() => rig.leave(here, 0, sockets))
    return { join, beat, update, copied, heard, again, leave }
  })

/** Rooms of a hundred, and some more who join them. */
const crowded = (sockets: number) =>
  Rig.with(1, async (rig) => {
    const rooms = Math.max(1, Math.round(sockets / ROOM))
    await rig.warm(sockets)
    const [crowd, more] = [rig.crowd(), rig.crowd()]
    const fill = await rig.used(() => rig.join(crowd, 0, numbers(0, rooms * ROOM), rooms, ROOM))
    const slow = await saying(rig, crowd, "update", 12 * rooms)
    const fast = await saying(rig, crowd, "update", 60 * rooms)
    const before = await frames(crowd)
    const seen = crowd.ask({ do: "expect", expect: ROOM + MORE }, "converged")
    const members = numbers(rooms * ROOM, rooms * MORE)
    const join = await rig.used(() => Promise.all([rig.join(more, 0, members, rooms, ROOM + MORE), seen]))
    return {
      people: rooms * ROOM,
      fill,
      slow,
      fast,
      join,
      joins: members.length,
      diffs: (await frames(crowd)) - before
    }
  })

/** @param sockets Of each experiment: some hundreds. */
export const measure = async (sockets: number): Promise<Constants> => {
  const one = await alone(sockets)
  const many = await crowded(sockets)
  const first = at(one.join.node, 0) / sockets
  const update = at(one.update.node, 0)
  // Two loads with as many changes a diff as they had: two equations for a frame and a change in it. Who updates hears
  // of it too, and that is in `update`.
  const [slow, fast] = [many.slow, many.fast].map(({ node, diffs }) => ({
    cost: at(node, 0) - update,
    diffs: diffs - 1
  }))
  if (slow === undefined || fast === undefined) throw new Error("two loads were measured")
  const frame = Math.max(0, (slow.cost - fast.cost) / (slow.diffs - fast.diffs))
  const entry = Math.max(0, (fast.cost - fast.diffs * frame) / (ROOM - 1))
  // Both who are there at this replica are told.
  const join = at(one.again.node, 0) / sockets - 2 * (frame + entry)
  const crowdedJoin = (at(many.join.node, 0) - many.diffs * frame) / many.joins
  const redisMessage = Math.max(0, one.heard.redis - one.update.redis)
  const memberBytes = Math.max(0, at(one.copied.heap, 0) / sockets)
  const aloneBytes = at(one.join.heap, 0) / sockets
  const crowdedBytes = at(many.fill.heap, 0) / many.people
  return {
    join,
    follow: Math.max(0, first - join),
    leave: at(one.leave.node, 0) / sockets,
    update: update - frame - entry,
    heard: Math.max(0, at(one.heard.node, 1) - frame - entry),
    frame,
    entry,
    state: Math.max(0, (crowdedJoin - join) / (ROOM + MORE / 2) - entry),
    heartbeat: at(one.beat.node, 0),
    redisChange: one.update.redis - redisMessage,
    redisMessage,
    socketBytes: crowdedBytes - memberBytes,
    topicBytes: Math.max(0, aloneBytes - crowdedBytes),
    memberBytes
  }
}
