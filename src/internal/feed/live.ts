/**
 * The list of a topic for who shows it: as it is when they look, and when it has changed since.
 *
 * Nothing is kept for a reader but that something has changed, so whoever is slow gets the latest and is never behind.
 */
import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import type { PresenceEntry } from "../../PresenceEntry.js"
import type { HubListener } from "./hub.js"

/** How a service lets the list of a topic be watched until the scope closes: gives how to read it. */
export type OpenList<E> = (
  topic: string,
  watcher: HubListener<unknown>
) => Effect.Effect<Effect.Effect<ReadonlyArray<PresenceEntry>>, E, Scope.Scope>

/** The list now, then after changes. It ends when the layer closes, after the last list, and at once when it has closed. */
export const living =
  <E>(open: OpenList<E>) =>
  (topic: string): Stream.Stream<ReadonlyArray<PresenceEntry>, E> =>
    Stream.unwrapScoped(
      Effect.suspend(() => {
        let changed = true
        let ended = false
        let shown: ReadonlyArray<PresenceEntry> | undefined
        let wake = (): void => {}
        const watcher: HubListener<unknown> = {
          onValue: () => {
            changed = true
            wake()
          },
          onEnd: () => {
            ended = true
            wake()
          }
        }
        const parked = Effect.async<void>((resume) => {
          // What came since somebody looked wakes nobody.
          if (changed || ended) resume(Effect.void)
          else wake = () => resume(Effect.void)
          return Effect.sync(() => {
            wake = () => {}
          })
        })
        return Effect.map(open(topic, watcher), (list) => {
          if (ended) changed = false
          const next: Effect.Effect<Chunk.Chunk<ReadonlyArray<PresenceEntry>>, Option.Option<never>> = Effect.suspend(
            () => {
              if (changed) {
                changed = false
                return Effect.flatMap(list, (latest) => {
                  if (latest === shown) return next
                  shown = latest
                  return Effect.succeed(Chunk.of(latest))
                })
              }
              return ended ? Effect.fail(Option.none()) : Effect.zipRight(parked, next)
            }
          )
          return Stream.repeatEffectChunkOption(next)
        })
      })
    )
