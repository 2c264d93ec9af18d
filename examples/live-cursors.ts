/**
 * Cursors on a shared board: each person's meta is where they point, typed by a schema, replaced as they move.
 */
import { Effect, Queue, Schema, Stream } from "effect"
import { type Connection, Presence, type PresenceChange, PresenceLive } from "effect-presence"

class Cursor extends Schema.Class<Cursor>("Cursor")({ x: Schema.Number, y: Schema.Number }) {}

/** The connections by ref: a snapshot is all of them, a diff what came, went and moved. */
type Board = ReadonlyMap<string, Connection<Cursor>>

const apply = (board: Board, change: PresenceChange<Cursor>): Board => {
  if (change._tag === "Snapshot") return new Map(change.connections.map((connection) => [connection.ref, connection]))
  const next = new Map(board)
  for (const { ref } of change.leaves) next.delete(ref)
  for (const { previousRef } of change.updates) next.delete(previousRef)
  for (const connection of [...change.joins, ...change.updates]) next.set(connection.ref, connection)
  return next
}

/** What to draw, after each change. */
const draw = (board: Board) => [...board.values()].map(({ key, meta }) => `${key} at ${meta.x},${meta.y}`).sort()

export const program = Effect.gen(function* () {
  const presence = (yield* Presence).forSchema(Cursor)
  const frames = yield* Queue.unbounded<ReadonlyArray<string>>()
  yield* presence.changes("board:1").pipe(
    Stream.scan<Board, PresenceChange<Cursor>>(new Map(), apply),
    Stream.drop(1), // the empty board before the snapshot
    Stream.runForEach((board) => Queue.offer(frames, draw(board))),
    Effect.forkScoped
  )
  const seen = [yield* Queue.take(frames)]

  const alice = yield* presence.track("board:1", "alice", new Cursor({ x: 0, y: 0 }))
  seen.push(yield* Queue.take(frames))
  yield* Effect.scoped(
    Effect.gen(function* () {
      yield* presence.track("board:1", "bob", new Cursor({ x: 5, y: 5 }))
      seen.push(yield* Queue.take(frames))
      yield* alice.update(({ x, y }) => new Cursor({ x: x + 3, y: y + 4 }))
      seen.push(yield* Queue.take(frames))
    })
  )
  seen.push(yield* Queue.take(frames))
  return seen // [[], ["alice at 0,0"], ["alice at 0,0", "bob at 5,5"], ["alice at 3,4", "bob at 5,5"], ["alice at 3,4"]]
}).pipe(Effect.scoped, Effect.provide(PresenceLive))
