/**
 * A replica as a process of its own, told what to do by the test that started it.
 *
 * It keeps what it was told of the topics that it follows: the changes, folded, and the events, counted, so that a test
 * can ask what a follower saw.
 */
import { Cause, Duration, Effect, Exit, Layer, Logger, LogLevel, ManagedRuntime, Option, Scope, Stream } from "effect"
import { type Lease, Presence } from "../../src/index.js"
import { PresenceRedis, type PresenceRedisOptions } from "../../src/redis/index.js"
import { apply, type Copy } from "../support/follow.js"
import type { Answer, Command, Report } from "./replicas.js"

const options = JSON.parse(process.argv[2] ?? "{}") as PresenceRedisOptions
const logs = Logger.minimumLogLevel(process.env.REPLICA_LOGS === "on" ? LogLevel.Debug : LogLevel.None)
const runtime = ManagedRuntime.make(Layer.provideMerge(PresenceRedis.layer(options), logs))

interface Held {
  readonly lease: Lease
  readonly scope: Scope.CloseableScope
}

const held = new Map<string, Held>()
const followed = new Map<
  string,
  { copy: Copy | undefined; leaves: Record<string, Array<string>>; joins: number; problem: string | undefined }
>()
const events = new Map<string, Record<string, number>>()

const follow = (topic: string) =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const seen: NonNullable<ReturnType<(typeof followed)["get"]>> = {
      copy: undefined,
      leaves: {},
      joins: 0,
      problem: undefined
    }
    followed.set(topic, seen)
    const leaves: Record<string, number> = {}
    events.set(topic, leaves)
    const subscription = yield* presence.subscribe(topic)
    yield* Effect.forkDaemon(
      Effect.forever(
        Effect.map(subscription.take, (batch) => {
          for (const event of batch) if (event.type === "leave") leaves[event.key] = (leaves[event.key] ?? 0) + 1
        })
      )
    )
    yield* presence.changes(topic).pipe(
      Stream.runForEach((change) =>
        Effect.sync(() => {
          if (change._tag === "Diff") {
            seen.joins += change.joins.length
            for (const { key, reason } of change.leaves) {
              seen.leaves[key] ??= []
              seen.leaves[key].push(reason)
            }
          }
          seen.copy = apply(seen.copy, change)
        })
      ),
      Effect.catchAllCause((cause) =>
        Effect.sync(() => {
          seen.problem = Cause.pretty(cause)
        })
      ),
      Effect.forkDaemon
    )
    // Until the first snapshot is here.
    yield* Effect.repeat(Effect.sleep("5 millis"), {
      until: () => seen.copy !== undefined || seen.problem !== undefined
    })
  })

const report = (topic: string): Effect.Effect<Report, unknown, Presence> =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const list = yield* presence.list(topic)
    const seen = followed.get(topic)
    return {
      list: list.map(({ key, metas }) => ({ key, metas: [...metas] })),
      copy: seen?.copy?.connections.map(({ key, ref }) => ({ key, ref })) ?? [],
      version: seen?.copy?.version ?? 0,
      joins: seen?.joins ?? 0,
      leaves: seen?.leaves ?? {},
      leaveEvents: events.get(topic) ?? {},
      problem: seen?.problem ?? null
    }
  })

const run = (command: Command): Effect.Effect<unknown, unknown, Presence | Scope.Scope> =>
  Effect.gen(function* () {
    const presence = yield* Presence
    switch (command.do) {
      case "track": {
        const scope = yield* Scope.make()
        const started = performance.now()
        const lease = yield* Scope.extend(
          presence.track(command.topic, command.key, command.meta ?? {}, {
            ttl: Duration.infinity,
            leaveDelay: command.leaveDelay
          }),
          scope
        )
        held.set(command.id, { lease, scope })
        return { ref: lease.ref, ms: performance.now() - started }
      }
      case "trackMany": {
        const scope = yield* Scope.make()
        yield* Effect.forEach(
          Array.from({ length: command.count }, (_, i) => i),
          (i) =>
            Scope.extend(presence.track(command.topic, `${command.key} ${i}`, {}, { ttl: Duration.infinity }), scope),
          { concurrency: 500, discard: true }
        )
        return command.count
      }
      case "refs":
        return Array.from(held, ([id, { lease }]) => [id, lease.ref])
      case "close": {
        const mine = held.get(command.id)
        held.delete(command.id)
        if (mine !== undefined) yield* Scope.close(mine.scope, Exit.void)
        return null
      }
      case "update":
        return yield* held.get(command.id)?.lease.update(command.meta) ?? Effect.succeed("unknown")
      case "refresh":
        return yield* held.get(command.id)?.lease.refresh ?? Effect.succeed("unknown")
      case "ended": {
        const lease = held.get(command.id)?.lease
        const ended = lease === undefined ? Option.none() : yield* Effect.timeoutOption(lease.ended, command.ms)
        return Option.getOrElse(ended, () => "still here")
      }
      case "evict":
        return yield* presence.evict(command.topic, command.key)
      case "count":
        return yield* presence.count(command.topic)
      case "follow":
        return yield* follow(command.topic)
      case "report":
        return yield* report(command.topic)
      case "health":
        return yield* presence.health
    }
  })

const answer = (answer: Answer): void => {
  if (process.connected) process.send?.(answer)
}

process.on("message", (message: { readonly id: number; readonly command: Command | { readonly do: "stop" } }) => {
  const { id, command } = message
  if (command.do === "stop") {
    void runtime.dispose().then(() => {
      answer({ id, value: null })
      process.disconnect()
      // A replica that stopped must be able to end by itself.
      setTimeout(() => process.exit(3), 60_000).unref()
    })
    return
  }
  const scope = Effect.runSync(Scope.make())
  runtime.runCallback(Effect.provideService(run(command), Scope.Scope, scope), {
    onExit: (exit) =>
      answer(
        Exit.isSuccess(exit)
          ? { id, value: exit.value ?? null }
          : { id, error: String(Option.getOrElse(Cause.failureOption(exit.cause), () => Cause.pretty(exit.cause))) }
      )
  })
})

runtime.runPromiseExit(Effect.void).then((exit) => {
  if (Exit.isSuccess(exit)) answer({ id: 0, value: "ready" })
  else
    answer({ id: 0, error: String(Option.getOrElse(Cause.failureOption(exit.cause), () => Cause.pretty(exit.cause))) })
})
