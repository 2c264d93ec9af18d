/**
 * What programs without Effect infer. Compiled by `npm run types` and never run; a line under `@ts-expect-error` must not
 * compile.
 */
import { createServer } from "node:http"
import * as Https from "node:https"
import express from "express"
import fastify from "fastify"
import { expectTypeOf } from "vitest"
import {
  type Attached,
  type Authorize,
  allowAll,
  createPresence,
  type Grant,
  type Json,
  jwt,
  type LeaveReason,
  type NodeLease,
  type NodePresence,
  type PresenceChange,
  type PresenceEntry,
  type PresenceEvent,
  type Snapshot,
  Unauthorized
} from "../../src/node/index.js"

declare const presence: NodePresence

expectTypeOf(createPresence()).toEqualTypeOf<Promise<NodePresence>>()
expectTypeOf(createPresence).toBeCallableWith({ ttl: "1 minute", sweepInterval: 500, limits: { topicBytes: 10 } })
expectTypeOf(createPresence).toBeCallableWith({ redis: { url: "redis://localhost", lease: "15 seconds" } })
// @ts-expect-error Where Redis is must be said, by one of two.
createPresence({ redis: { prefix: "app" } })
// @ts-expect-error A duration is milliseconds, or a number with its unit.
createPresence({ ttl: "soon" })
// @ts-expect-error There is no such option.
createPresence({ timeToLive: 1 })

// The service

expectTypeOf(presence.track("room", "alice")).toEqualTypeOf<Promise<NodeLease>>()
expectTypeOf(presence.track).toBeCallableWith("room", "alice", { any: 1 }, { ttl: Number.POSITIVE_INFINITY })
// @ts-expect-error A key is required.
presence.track("room")
expectTypeOf(presence.list("room")).toEqualTypeOf<Promise<ReadonlyArray<PresenceEntry>>>()
expectTypeOf(presence.get("room", "alice")).toEqualTypeOf<Promise<PresenceEntry | undefined>>()
expectTypeOf(presence.count("room")).resolves.toEqualTypeOf<{ readonly keys: number; readonly connections: number }>()
expectTypeOf(presence.counts(["room"])).resolves.toEqualTypeOf<
  ReadonlyMap<string, { readonly keys: number; readonly connections: number }>
>()
expectTypeOf(presence.live("room")).toEqualTypeOf<AsyncIterableIterator<ReadonlyArray<PresenceEntry>>>()
expectTypeOf(presence.topics()).toEqualTypeOf<Promise<ReadonlyArray<string>>>()
expectTypeOf(presence.snapshot("room")).toEqualTypeOf<Promise<Snapshot>>()
expectTypeOf(presence.evict("room", "alice")).toEqualTypeOf<Promise<number>>()
expectTypeOf(presence.changes("room")).toEqualTypeOf<AsyncIterableIterator<PresenceChange>>()
expectTypeOf(presence.events("room", { signal: AbortSignal.timeout(1) })).toEqualTypeOf<
  AsyncIterableIterator<PresenceEvent>
>()
expectTypeOf<NodePresence>().toExtend<AsyncDisposable>()

// Leases

declare const lease: NodeLease
expectTypeOf<NodeLease>().toExtend<AsyncDisposable>()
expectTypeOf(lease.refresh()).toEqualTypeOf<Promise<"renewed" | "rejoined" | "evicted" | "released">>()
expectTypeOf(lease.ended()).toEqualTypeOf<Promise<LeaveReason>>()
lease.update((meta) => {
  expectTypeOf(meta).toEqualTypeOf<Json>()
  return [meta]
})
// @ts-expect-error A lease's ref is read only.
lease.ref = "another"

// Routes

expectTypeOf(presence.attach(createServer(), { authorize: allowAll })).toEqualTypeOf<Promise<Attached>>()
expectTypeOf(presence.attach).toBeCallableWith(Https.createServer(), { authorize: jwt({ secret: "x" }) })
expectTypeOf(presence.attach).toBeCallableWith(express().listen(0), {
  authorize: allowAll,
  paths: { http: "/api/presence" },
  limits: { idleTimeout: "1 minute", streams: 10, frameBytes: 1_000 }
})
expectTypeOf(presence.attach).toBeCallableWith(fastify().server, { authorize: allowAll })
// @ts-expect-error An app is no server.
presence.attach(express(), { authorize: allowAll })
// @ts-expect-error Who may must be said.
presence.attach(createServer(), {})
expectTypeOf(presence.fetch({ authorize: allowAll })).toEqualTypeOf<(request: Request) => Promise<Response>>()

export const authorize: Authorize = async ({ on, topic, request, payload, signal }) => {
  if (on === "connect") expectTypeOf(topic).toEqualTypeOf<undefined>()
  else expectTypeOf(topic).toEqualTypeOf<string>()
  expectTypeOf(request.headers.cookie).toEqualTypeOf<string | undefined>()
  expectTypeOf(payload.any).toEqualTypeOf<Json | undefined>()
  expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
  throw new Unauthorized({ status: 401, reason: "who?" })
}
// @ts-expect-error It answers a grant.
export const forgetful: Authorize = async () => {}
expectTypeOf(authorize).returns.toEqualTypeOf<Grant | Promise<Grant>>()
