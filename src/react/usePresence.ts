"use client"
/**
 * A room as a hook: joined while its component is there, and rendered when it changes.
 *
 * The hook joins in an effect, so a server that renders joins nobody and shows a room that is connecting, which is what
 * the page shows first as well. StrictMode takes a component down and puts it up again at once: the client keeps a
 * presence for a moment after it was left, so nobody else sees anything of it.
 */
import { useEffect, useState, useSyncExternalStore } from "react"
import { checkOptions } from "../client/errors.js"
import type { JoinOptions, Room, RoomState } from "../client/index.js"
import { HookedRoom, textOf } from "./HookedRoom.js"
import { useClient } from "./PresenceProvider.js"

/**
 * Options of {@link usePresence}.
 *
 * @since 0.2.0
 * @category models
 */
export interface UsePresenceOptions<Meta extends object> extends JoinOptions<Meta> {
  /** Where. Without one nothing is joined, and `update` and `broadcast` do nothing: for who has not opened anything yet. */
  readonly topic: string | null | undefined
}

/**
 * What {@link usePresence} gives: what the room shows now, and what can be done there. The functions stay the same for
 * the component's life, so they may stand in dependencies and be handed on.
 *
 * @since 0.2.0
 * @category models
 */
export interface UsePresence<Meta extends object>
  extends RoomState<Meta>,
    Pick<Room<Meta>, "update" | "broadcast" | "on"> {}

/**
 * Joins a topic for as long as the component is there, and renders it again when anything in it changes.
 *
 * ```ts
 * import { usePresence } from "effect-presence/react"
 * import { createElement, useEffect } from "react"
 *
 * export const Here = ({ user }: { readonly user: string }) => {
 *   const { others, status, update } = usePresence<{ typing: boolean }>({
 *     topic: "lobby",
 *     key: user,
 *     meta: { typing: false }
 *   })
 *   useEffect(() => {
 *     const typing = () => update({ typing: true })
 *     addEventListener("keydown", typing)
 *     return () => removeEventListener("keydown", typing)
 *   }, [update])
 *   return createElement("p", null, status === "joined" ? `${others.length} others` : "…")
 * }
 *
 * declare const addEventListener: (event: string, listener: () => void) => void
 * declare const removeEventListener: (event: string, listener: () => void) => void
 * ```
 *
 * A `meta` that differs, as JSON, from the one of the render before replaces what others see; `update` does so without
 * a render. Another topic or key is joined with the `meta` of that render. Hooks on one topic below one provider share
 * one presence.
 *
 * Throws, into the nearest error boundary, an `Error` where there is no provider, and `ClientError` for a topic, key,
 * meta or option that makes no sense.
 *
 * @since 0.2.0
 * @category hooks
 */
export const usePresence = <Meta extends object = Readonly<Record<string, unknown>>>(
  options: UsePresenceOptions<Meta>
): UsePresence<Meta> => {
  checkOptions("usePresence", options, ["topic", "key", "meta"])
  const { topic, key, meta } = options
  const client = useClient()
  const [room] = useState(() => new HookedRoom<Meta>())
  const state = useSyncExternalStore(room.subscribe, room.read, room.readOnServer)
  // A meta that is made with each render is the same as long as it says the same.
  const said = textOf(meta)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another meta alone is no other join
  useEffect(() => {
    return topic === null || topic === undefined ? room.rest() : room.join(client, topic, { key, meta })
  }, [client, room, topic, key])
  // biome-ignore lint/correctness/useExhaustiveDependencies: `said` stands for it
  useEffect(() => {
    if (meta !== undefined) room.say(said, meta)
  }, [room, said])
  return { ...state, update: room.update, broadcast: room.broadcast, on: room.on }
}
