/**
 * What each call of a room leads to on its topic, until it is left.
 */
import { isReserved } from "../internal/input/events.js"
import { copy, type Value } from "../internal/input/json.js"
import { show } from "../internal/input/names.js"
import { ClientError, call, checkListener } from "./errors.js"
import type { Room } from "./room.js"
import { closed, LEFT, PUT_OUT, type Topic } from "./topic.js"

/** A copy of what is said to others, or what is wrong with it. */
export const readObject = (tag: "InvalidMeta" | "InvalidPayload", topic: string, input: unknown): object => {
  const what = `${tag === "InvalidMeta" ? "the meta" : "the payload"} on topic ${show(topic)}`
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    const was = input === null ? "null" : Array.isArray(input) ? "a list" : typeof input
    throw new ClientError(tag, `${what} is ${was}: an object of JSON values is allowed`)
  }
  const read = copy(input, { metaBytes: Number.POSITIVE_INFINITY, metaDepth: Number.POSITIVE_INFINITY })
  if ("value" in read) return read.value as object
  throw new ClientError(tag, `${what} is no JSON: ${place(read)}`)
}

const place = (refusal: Exclude<ReturnType<typeof copy>, { readonly value: Value }>): string =>
  refusal._tag === "Invalid" ? `${refusal.path} ${refusal.reason}` : "it is nested too deep"

/** The topic's presence as one who joined has it, until they leave. */
export const makeRoom = (topic: Topic, onLeave: () => void): Room => {
  const undo = new Set<() => void>()
  let over: ReturnType<typeof closed> | undefined
  const state = () => over ?? topic.state
  /** Who was put out has done nothing wrong. */
  const open = (call: string): void => {
    const { status, reason } = state()
    if (status !== "closed" || reason === PUT_OUT) return
    throw new ClientError("Closed", `${call} on topic ${show(topic.name)} after ${reason}`)
  }
  /** Adds a listener of its own, also where the same function listens already. */
  const add = <A>(listeners: Set<(value: A) => void>, listener: (value: A) => void): (() => void) => {
    const own = (value: A) => listener(value)
    const remove = () => {
      listeners.delete(own)
      undo.delete(remove)
    }
    listeners.add(own)
    undo.add(remove)
    return remove
  }
  return {
    topic: topic.name,
    get state() {
      return state()
    },
    get entries() {
      return state().entries
    },
    get others() {
      return state().others
    },
    get me() {
      return state().me
    },
    get status() {
      return state().status
    },
    get reason() {
      return state().reason
    },
    subscribe: (listener) => {
      checkListener("subscribe", listener)
      call(listener, state())
      return over === undefined ? add(topic.listeners, listener) : () => {}
    },
    update: (given) => {
      open("update")
      const { key, meta } = topic.current
      const next = typeof given === "function" ? given(meta as never) : given
      topic.want({ key, meta: readObject("InvalidMeta", topic.name, next) })
    },
    broadcast: (event, payload = {}) => {
      open("broadcast")
      if (typeof event !== "string" || isReserved(event)) throw reserved(event)
      topic.broadcast(event, readObject("InvalidPayload", topic.name, payload))
    },
    on: (event, listener) => {
      open("on")
      if (typeof event !== "string" || isReserved(event)) throw reserved(event)
      checkListener("on", listener)
      const listeners = topic.events.get(event) ?? new Set()
      topic.events.set(event, listeners)
      return add(listeners, listener as (payload: unknown) => void)
    },
    leave: () => {
      if (over !== undefined) return
      over = closed(LEFT)
      for (const remove of undo) remove()
      onLeave()
    }
  }
}

const reserved = (event: unknown): ClientError =>
  new ClientError(
    "InvalidEvent",
    `the event ${show(event)} is not one's own: up to 255 bytes are allowed, but not access_token, system, postgres_changes, nor what begins with phx_, presence or chan_reply_`
  )
