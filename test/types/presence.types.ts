/**
 * What users infer. Compiled by `npm run types` and never run; a line under `@ts-expect-error` must not compile.
 */
import { type ConfigError, type Effect, type Layer, type Option, Schema, type Scope, type Stream } from "effect"
import { expectTypeOf } from "vitest"
import {
  type Channels,
  type InvalidTopic,
  type Json,
  type Lagged,
  type Lease,
  type LeaveReason,
  type Presence,
  type PresenceActivity,
  PresenceChange,
  PresenceEntry,
  PresenceEvent,
  type PresenceFor,
  type PresenceHealth,
  type PresenceLive,
  type PresenceUnavailable,
  type Snapshot,
  type Subscription,
  type TrackError
} from "../../src/index.js"

declare const presence: Presence.Service
declare const channels: Channels.Service
declare const live: typeof PresenceLive

// track

export const tracked = presence.track("room", "alice", { role: "viewer" }, { ttl: "1 minute", leaveDelay: 5_000 })
expectTypeOf(tracked).toEqualTypeOf<Effect.Effect<Lease, TrackError, Scope.Scope>>()
expectTypeOf<Effect.Effect.Success<typeof tracked>>().toEqualTypeOf<Lease<Json, unknown>>()
// Anything may be given: what JSON cannot say is `InvalidMeta`.
expectTypeOf(presence.track).toBeCallableWith("room", "alice")
expectTypeOf(presence.track).toBeCallableWith("room", "alice", new Date())
// @ts-expect-error A topic is a string.
presence.track(1, "alice")
// @ts-expect-error A key is required.
presence.track("room")
// @ts-expect-error A duration is one that Effect decodes.
presence.track("room", "alice", {}, { ttl: "soon" })
// @ts-expect-error There is no such option.
presence.track("room", "alice", {}, { timeToLive: 1 })

// Leases

declare const lease: Lease
expectTypeOf(lease.ref).toEqualTypeOf<string>()
expectTypeOf(lease.refresh).toEqualTypeOf<
  Effect.Effect<"renewed" | "rejoined" | "evicted" | "released", PresenceUnavailable>
>()
expectTypeOf(lease.update({ any: "thing" })).toEqualTypeOf<
  Effect.Effect<"updated" | "rejoined" | "evicted" | "released", TrackError>
>()
lease.update((meta) => {
  expectTypeOf(meta).toEqualTypeOf<Json>()
  return [meta]
})
expectTypeOf(lease.release).toEqualTypeOf<Effect.Effect<void>>()
expectTypeOf(lease.ended).toEqualTypeOf<Effect.Effect<LeaveReason>>()
expectTypeOf<LeaveReason>().toEqualTypeOf<"released" | "expired" | "evicted" | "replicaLost">()
// @ts-expect-error A lease's ref is read only.
lease.ref = "another"

// Reads

expectTypeOf(presence.list("room")).toEqualTypeOf<Effect.Effect<ReadonlyArray<PresenceEntry>, PresenceUnavailable>>()
expectTypeOf(presence.get("room", "alice")).toEqualTypeOf<
  Effect.Effect<Option.Option<PresenceEntry>, PresenceUnavailable>
>()
expectTypeOf(presence.count("room")).toEqualTypeOf<
  Effect.Effect<{ readonly keys: number; readonly connections: number }, PresenceUnavailable>
>()
expectTypeOf(presence.counts(["room"])).toEqualTypeOf<
  Effect.Effect<ReadonlyMap<string, Presence.Count>, PresenceUnavailable>
>()
expectTypeOf(presence.topics).toEqualTypeOf<Effect.Effect<ReadonlyArray<string>, PresenceUnavailable>>()
expectTypeOf(presence.live("room")).toEqualTypeOf<Stream.Stream<ReadonlyArray<PresenceEntry>, PresenceUnavailable>>()
expectTypeOf(presence.activity).toEqualTypeOf<Stream.Stream<PresenceActivity, Lagged>>()
expectTypeOf(presence.snapshot("room")).toEqualTypeOf<Effect.Effect<Snapshot, PresenceUnavailable>>()
expectTypeOf(presence.evict("room", "alice")).toEqualTypeOf<Effect.Effect<number, PresenceUnavailable>>()
expectTypeOf(presence.sweepExpired).toEqualTypeOf<Effect.Effect<number>>()
expectTypeOf(presence.health).toEqualTypeOf<Effect.Effect<PresenceHealth>>()

declare const list: ReadonlyArray<PresenceEntry>
// @ts-expect-error A list is read only.
list.push({ key: "mallory", metas: [] })
// @ts-expect-error So are its entries.
list[0].metas = []

// Following

expectTypeOf(presence.subscribe("room")).toEqualTypeOf<
  Effect.Effect<Subscription<PresenceEvent>, PresenceUnavailable, Scope.Scope>
>()
expectTypeOf(presence.events("room")).toEqualTypeOf<Stream.Stream<PresenceEvent, Lagged | PresenceUnavailable>>()
expectTypeOf(presence.changes("room")).toEqualTypeOf<Stream.Stream<PresenceChange, PresenceUnavailable>>()
expectTypeOf(presence.changes).toBeCallableWith("room", { since: { epoch: "x", version: 1 } })

declare const event: PresenceEvent
if (event.type === "join") expectTypeOf(event.meta).toEqualTypeOf<Json>()
// @ts-expect-error A leave has no meta.
if (event.type === "leave") event.meta

declare const change: PresenceChange
if (change._tag === "Diff") expectTypeOf(change.leaves[0]?.reason).toEqualTypeOf<LeaveReason | undefined>()
// @ts-expect-error A snapshot has no `from`.
if (change._tag === "Snapshot") change.from

// Typed metas

const Viewer = Schema.Struct({ role: Schema.Literal("viewer", "editor"), since: Schema.Date })
type Viewer = typeof Viewer.Type
export const viewers = presence.forSchema(Viewer)
expectTypeOf(viewers).toEqualTypeOf<PresenceFor<Viewer>>()

export const typed = viewers.track("room", "alice", { role: "viewer", since: new Date() })
expectTypeOf(typed).toEqualTypeOf<Effect.Effect<Lease<Viewer, Viewer>, TrackError, Scope.Scope>>()
// @ts-expect-error A typed track needs its meta.
viewers.track("room", "alice")
// @ts-expect-error The wrong meta.
viewers.track("room", "alice", { role: "admin", since: new Date() })
// @ts-expect-error The encoded side is not what is given.
viewers.track("room", "alice", { role: "viewer", since: "2020-01-01T00:00:00Z" })

declare const typedLease: Lease<Viewer, Viewer>
typedLease.update((meta) => {
  expectTypeOf(meta).toEqualTypeOf<Viewer>()
  return { ...meta, role: "editor" }
})
// @ts-expect-error The wrong meta.
typedLease.update({ role: "editor" })
// @ts-expect-error The wrong meta from a function.
typedLease.update(() => ({ role: "editor" }))

expectTypeOf(viewers.list("room")).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<PresenceEntry<Viewer>>, PresenceUnavailable>
>()
expectTypeOf<PresenceEntry<Viewer>["metas"]>().toEqualTypeOf<ReadonlyArray<Viewer>>()
expectTypeOf(viewers.get("room", "alice")).toEqualTypeOf<
  Effect.Effect<Option.Option<PresenceEntry<Viewer>>, PresenceUnavailable>
>()
expectTypeOf(viewers.changes("room")).toEqualTypeOf<Stream.Stream<PresenceChange<Viewer>, PresenceUnavailable>>()
expectTypeOf(viewers.events("room")).toEqualTypeOf<Stream.Stream<PresenceEvent<Viewer>, Lagged | PresenceUnavailable>>()
expectTypeOf(viewers.subscribe("room")).toEqualTypeOf<
  Effect.Effect<Subscription<PresenceEvent<Viewer>>, PresenceUnavailable, Scope.Scope>
>()
expectTypeOf(viewers.snapshot("room")).toEqualTypeOf<Effect.Effect<Snapshot<Viewer>, PresenceUnavailable>>()

declare const Needy: Schema.Schema<string, string, "a service">
// @ts-expect-error A schema that needs a service cannot decode on its own.
presence.forSchema(Needy)

// Schemas of what others are told, with typed metas

expectTypeOf(PresenceEntry.schema(Viewer)).toEqualTypeOf<Schema.Schema<PresenceEntry<Viewer>, PresenceEntry>>()
expectTypeOf(PresenceEvent.schema(Viewer)).toEqualTypeOf<Schema.Schema<PresenceEvent<Viewer>, PresenceEvent>>()
expectTypeOf(PresenceChange.schema(Viewer)).toEqualTypeOf<Schema.Schema<PresenceChange<Viewer>, PresenceChange>>()
expectTypeOf<typeof TrackError.Type>().toEqualTypeOf<TrackError>()

// Channels

expectTypeOf(channels.publish("room", "text")).toEqualTypeOf<Effect.Effect<number, InvalidTopic>>()
expectTypeOf(channels.unsafePublish("room", () => "text")).toEqualTypeOf<number>()
expectTypeOf(channels.subscribe("room")).toEqualTypeOf<Effect.Effect<Subscription<string>, InvalidTopic, Scope.Scope>>()
declare const authorize: (topic: string) => Effect.Effect<void, "forbidden", "a user">
expectTypeOf(channels.subscribe("room", { authorize })).toEqualTypeOf<
  Effect.Effect<Subscription<string>, "forbidden" | InvalidTopic, Scope.Scope | "a user">
>()
declare const subscription: Subscription<string>
expectTypeOf(subscription.take).toEqualTypeOf<Effect.Effect<ReadonlyArray<string>, Lagged>>()
expectTypeOf(subscription.stream).toEqualTypeOf<Stream.Stream<string, Lagged>>()

// Layers

expectTypeOf(live).toEqualTypeOf<Layer.Layer<Presence | Channels>>()
expectTypeOf<typeof Presence.layerWithoutChannels>().returns.toEqualTypeOf<Layer.Layer<Presence, never, Channels>>()
expectTypeOf<typeof Presence.layerConfig>().returns.toEqualTypeOf<
  Layer.Layer<Presence | Channels, ConfigError.ConfigError>
>()
expectTypeOf<typeof Presence.layer>().toBeCallableWith({
  ttl: "30 seconds",
  sweepInterval: 1_000,
  bufferSize: 10,
  capacity: 1,
  limits: { topicBytes: 1, keysPerTopic: undefined }
})
export type WrongLimit = Parameters<typeof Presence.layer>[0] & {
  // @ts-expect-error There is no such limit.
  readonly limits: Pick<Presence.Limits, "keys">
}
