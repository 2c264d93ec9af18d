/**
 * What a load costs, from constants that were measured and the counts of what happens: one equation for each resource, and
 * nothing that waits. What is not in it stands in `docs/capacity.md`.
 */

/** Microseconds of processor, or bytes of live heap. */
export interface Constants {
  /** Node: one who comes, with a socket; who goes; an update. Each with what it takes to write it to Redis. */
  readonly join: number
  /** Node: one who comes first of a room to a replica, which follows it from then on. */
  readonly follow: number
  readonly leave: number
  readonly update: number
  /** Node: a change of another replica that this one hears of, before it is written to anybody. */
  readonly heard: number
  /** Node: a diff to one socket, and each change in it. */
  readonly frame: number
  readonly entry: number
  /** Node: each member in the state that somebody who joins is sent. */
  readonly state: number
  readonly heartbeat: number
  /** Redis: a change, and each replica that it is published to. */
  readonly redisChange: number
  readonly redisMessage: number
  /** Heap: a socket, a topic that is followed, and each member of it, wherever their sockets are. */
  readonly socketBytes: number
  readonly topicBytes: number
  readonly memberBytes: number
}

export interface Load {
  readonly people: number
  /** How many are in a room. */
  readonly room: number
  /** A second, in all: who comes, who goes, and updates. */
  readonly joins: number
  readonly leaves: number
  readonly updates: number
}

/** A room's diffs are at least this far apart, in seconds. */
const WINDOW = 0.05
/** Seconds between the heartbeats of a client. */
const HEARTBEAT = 30

/** On how many replicas a room is, when each of its people went to any. */
export const spread = (replicas: number, room: number): number => replicas * (1 - (1 - 1 / replicas) ** room)

/** Microseconds of processor a second of all replicas together and of Redis, and what each replica has of the rest. */
export const cost = (of: Constants, { people, room, joins, leaves, updates }: Load, replicas: number) => {
  const rooms = people / room
  const on = spread(replicas, room)
  const changes = joins + leaves + updates
  const rate = changes / rooms
  // A diff begins with a change and takes all that come within its window.
  const diffs = changes / (1 + rate * WINDOW)
  const first = (1 - 1 / replicas) ** (room - 1)
  const parts = {
    "coming, going, changing": joins * (of.join + first * of.follow) + leaves * of.leave + updates * of.update,
    "hearing of others": changes * (on - 1) * of.heard,
    "diffs to sockets": room * (diffs * of.frame + changes * of.entry),
    "states to who joins": joins * room * of.state,
    heartbeats: (people / HEARTBEAT) * of.heartbeat
  }
  return {
    node: Object.values(parts).reduce((sum, part) => sum + part, 0),
    parts,
    redis: changes * (of.redisChange + on * of.redisMessage),
    messages: (changes * on) / replicas,
    bytes: (people * of.socketBytes + rooms * on * (of.topicBytes + room * of.memberBytes)) / replicas
  }
}

/** How much of a core a replica or a Redis uses all the time; the rest is for what happens at once. */
export const USED = 0.6
/** Sockets of a replica, by default. */
const SOCKETS = 20_000

/** The fewest replicas that carry it, by sockets and by processor, or `undefined` when more do not help. */
export const replicas = (of: Constants, load: Load): number | undefined => {
  for (let count = Math.ceil(load.people / SOCKETS); count < 1e5; count = Math.ceil(count * 1.01)) {
    if (cost(of, load, count).node / count <= USED * 1e6) return count
  }
  return undefined
}

/** Seconds of processor that one who comes back costs, with all that others are told of it. */
const back = (of: Constants, load: Load, replicas: number): number => {
  const still = { ...load, joins: 0, leaves: 0, updates: 0 }
  return (cost(of, { ...still, joins: 1 }, replicas).node - cost(of, still, replicas).node) / 1e6
}

/** What a load needs, what is most of it, and what it takes when replicas go. */
export const plan = (of: Constants, load: Load) => {
  const count = replicas(of, load)
  if (count === undefined) return undefined
  const { node, parts, redis, messages, bytes } = cost(of, load, count)
  const [largest = "", most = 0] = Object.entries(parts).sort(([, a], [, b]) => b - a)[0] ?? []
  // What the others have left of their cores.
  const spare = Math.max(1, count - 1) * (1 - USED)
  const all = load.people * back(of, load, count)
  return {
    replicas: count,
    redis: redis / (USED * 1e6),
    messages,
    bytes,
    largest,
    share: most / node,
    /** Seconds for which all others are fully used when the clients of one replica come back. */
    loss: all / count / spare,
    /** And when the clients of all do, one replica after the other. */
    deploy: all / spare
  }
}
