/**
 * The user of Redis loses the right to a command that a script is at: Redis keeps what was written before it. Said again
 * when the right is back, all is as if nothing had failed, also for who followed.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { open } from "../../../src/redis/client/ioredis.js"
import type { Port } from "../../../src/redis/client/port.js"
import * as calls from "../../../src/redis/protocol/calls.js"
import { messageOf } from "../../../src/redis/protocol/decoding.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import { placesOf } from "../../../src/redis/protocol/pages.js"
import * as scripts from "../../../src/redis/protocol/scripts.js"
import type { ApplyCall, Operation, Settings } from "../../../src/redis/protocol/values.js"
import { TopicCopy } from "../../../src/redis/read/topicCopy.js"
import { type RedisServer, redisIsOff, startRedis } from "../../support/redis.js"

const settings: Settings = { lease: 1_000_000_000, heartbeat: 100_000_000, partitions: 1, keyIndex: true }
const commands = [
  ...new Set(Array.from(scripts.apply.text.matchAll(/(?:call|try)\('(\w+)'/g), ([, name]) => String(name)))
]

describe.skipIf(redisIsOff())("a right that is lost while replicas write", () => {
  const keys = new Keys("rights", 0)
  let redis: RedisServer
  let port: Port
  let following: ReadonlyArray<TopicCopy> = []
  let onMarker: () => void = () => {}

  const grant = (...rules: ReadonlyArray<string>) =>
    redis.command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "&*", "+@all", ...rules)

  beforeAll(async () => {
    redis = await startRedis()
    await grant()
    const ignore = (): void => {}
    port = await open(
      { where: { url: `redis://app:pw@127.0.0.1:${redis.port}` }, timeout: 60_000, name: "rights" },
      {
        onReady: ignore,
        onSubscriberReady: ignore,
        onDown: ignore,
        onSubscriberDown: ignore,
        onMessage: (channel, text) => {
          if (channel === "marker") onMarker()
          const message = channel === keys.topicChannel("room") ? messageOf(text) : undefined
          if (message !== undefined) for (const copy of following) copy.receive(message)
        }
      }
    )
    await port.subscribe(["marker", keys.topicChannel("room")])
  })
  afterAll(async () => {
    port?.close()
    await redis?.stop()
  })

  let number = 0
  const call = (mode: ApplyCall["mode"], operations: ReadonlyArray<Operation>) => {
    const tag = `r.${++number}`
    return calls.apply(port, keys, { mode, replica: "r", number, tag, operations })
  }
  const put = (seq: number, key: string, revision = seq): Operation => ({
    type: "put",
    topic: "room",
    seq,
    revision,
    key,
    meta: "{}"
  })
  const remove = (seq: number): Operation => ({ type: "remove", topic: "room", seq, reason: "released" })

  /** As somebody sees it who begins to follow now. */
  const follow = async (): Promise<TopicCopy> => {
    const found = await calls.read(port, keys, "room", 1_000, "follow")
    const copy = new TopicCopy("room", () => 0)
    copy.begin()
    if (found.standing === undefined) throw new Error("nobody has claimed")
    copy.start(found.standing)
    copy.page(found.members ?? [])
    copy.finish({ ...found, standing: found.standing }, 0)
    return copy
  }
  const heard = (): Promise<void> =>
    new Promise((resolve) => {
      onMarker = resolve
      void redis.command("PUBLISH", "marker", "")
    })
  const lists = (copy: TopicCopy) => [...copy.roster.list()].sort((a, b) => (a.key < b.key ? -1 : 1))

  const set = async (mode: ApplyCall["mode"]) => {
    await grant()
    await redis.command("FLUSHALL")
    const beat = {
      mode: "claim",
      replica: "r",
      number: ++number,
      tag: "r",
      settled: "",
      whole: false,
      seen: []
    } as const
    await calls.beat(port, keys, settings, beat)
    await call("own", [put(1, "alice"), put(2, "alice"), put(3, "bob"), put(4, "carol"), put(5, "dave")])
    if (mode === "reap") await port.command("ZADD", [keys.leases, "-inf", "r"])
  }
  const data = async () => {
    const members = (await calls.read(port, keys, "room", 1_000)).members ?? []
    const key = async (name: string) => [name, await port.command("HGET", [keys.keys("room"), name])]
    const places: Array<string> = []
    for await (const page of placesOf(port, keys, "r")) places.push(...page)
    return {
      members: members.map(({ connection, revision, key }) => `${connection} ${revision} ${key}`).sort(),
      keys: await Promise.all(["alice", "bob", "carol", "dave", "eve", "frank"].map(key)),
      places: places.sort(),
      keyIndex: await port.command("ZRANGE", [keys.keyIndex, 0, -1])
    }
  }

  const changes = [put(6, "eve"), remove(3), put(4, "carol", 9), put(7, "bob"), remove(1), remove(5), put(8, "frank")]
  const ends = [1, 2, 3, 4, 5].map(remove)

  describe.each(["own", "reap"] as const)("in mode %s", (mode) => {
    const operations = mode === "own" ? changes : ends
    const say = async () => {
      if (mode === "own") return call(mode, operations)
      const left: Array<Operation> = []
      for await (const page of placesOf(port, keys, "r"))
        left.push(...page.map((place) => remove(Number.parseInt(place, 10))))
      return call(mode, left)
    }

    it.each(commands)("leaves nothing half written when it is back: %s", async (command) => {
      await set(mode)
      await say()
      const wanted = await data()

      await set(mode)
      const before = await follow()
      following = [before]
      await grant(`-${command}`)
      await say().catch(() => {})
      await grant()
      await heard()
      // Who begins to follow in between, and who does all along.
      const between = await follow()
      following = [before, between]
      await say()
      await heard()
      expect(await data()).toEqual(wanted)
      const now = await follow()
      for (const copy of [before, between]) if (!copy.differsFrom(now.standing)) expect(lists(copy)).toEqual(lists(now))
    })
  })
})
