/**
 * What one socket may say, and what it hears back: the Phoenix and Supabase channel protocols as a pure machine.
 *
 * A message and a state go in, a {@link SessionStep} comes out: the next state, what to do in order, and at most one question
 * that only the world can answer (may they join? is it tracked?). Its `next` takes the answer and gives the next step.
 * Whoever drives the machine puts one message in after the other and answers each question first, so a socket's
 * messages take effect in their order. Nothing here waits, throws, or knows of sockets and effects.
 */
import { isReserved } from "../../internal/input/events.js"
import { checkName } from "../../internal/input/names.js"
import { type ClientMessage, isDeeper, isRecord, type Ref } from "./codec.js"
import type {
  Action,
  ApplicationReply,
  Channel,
  Outcome,
  Payload,
  Question,
  Rules,
  SessionState,
  SessionStep
} from "./sessionStep.js"

export { isReserved }

/** Nothing joined. */
export const initial: SessionState = { channels: new Map() }

/** What a message from the client leads to. */
export const receive = (rules: Rules, state: SessionState, message: ClientMessage): SessionStep => {
  const { topic, event, payload } = message
  // Phoenix reads nothing of what these two carry, so clients send whatever they have for nothing.
  if (topic === "phoenix" && event === "heartbeat") return stay(state, accept(message, null))
  if (topic !== "phoenix" && event === "phx_leave") {
    return onChannel(state, message, (channel) => leave(state, channel, message))
  }
  if (payload instanceof Uint8Array) {
    if (isReserved(event) || topic === "phoenix") return stay(state, refuse(message, "payload must be an object"))
    return onChannel(state, message, (channel) => push(rules, state, channel, message, payload))
  }
  if (!isRecord(payload)) return stay(state, refuse(message, "payload must be an object"))
  // The meta stands one level down. What is nested too deep can be read but not written again.
  if (isDeeper(payload, rules.metaDepth + 1)) {
    return stay(state, refuse(message, `payload is nested deeper than ${rules.metaDepth}`))
  }
  if (topic === "phoenix") return stay(state, refuse(message, "unmatched topic", null))
  if (event === "phx_join") return join(rules, state, message, payload)
  return onChannel(state, message, (channel) => {
    if (event === "access_token") return renew(state, channel, payload)
    if (event === "presence") return presence(rules, state, channel, message, payload)
    if (isReserved(event)) return stay(state, refuse(message, "reserved event"))
    return push(rules, state, channel, message, payload)
  })
}

/** What is said on a channel that is joined. One that is not is left already, and a stale `join_ref` speaks for a join that is over. */
const onChannel = (
  state: SessionState,
  message: ClientMessage,
  say: (channel: Channel) => SessionStep
): SessionStep => {
  const { topic, event, joinRef } = message
  const channel = state.channels.get(topic)
  if (channel === undefined) {
    return stay(state, event === "phx_leave" ? accept(message) : refuse(message, "unmatched topic", null))
  }
  return joinRef !== null && joinRef !== channel.joinRef ? stay(state) : say(channel)
}

/**
 * The server ends a channel: `phx_close` puts the client out for good, `phx_error` makes it join again. A channel that
 * has been left, or joined anew since, is left alone.
 */
export const end = (state: SessionState, wire: string, joinRef: Ref, event: "phx_close" | "phx_error"): SessionStep => {
  const channel = state.channels.get(wire)
  if (channel === undefined || channel.joinRef !== joinRef) return stay(state)
  const ref = event === "phx_close" ? null : joinRef
  return leaving(state, wire, () => [{ _tag: "Send", joinRef, ref, topic: wire, event, payload: {} }])
}

const join = (rules: Rules, state: SessionState, message: ClientMessage, payload: Payload): SessionStep => {
  const wire = message.topic
  const topic = presenceTopic(rules, wire)
  if (topic === undefined) return stay(state, refuse(message, "unmatched topic"))
  const wrong = nameError("topic", topic, rules.topicBytes)
  if (wrong !== undefined) return stay(state, refuse(message, wrong))
  const joinRef = message.joinRef ?? message.ref
  if (checkName(joinRef, 255)?._tag === "TooLong") {
    return stay(state, refuse(message, "join_ref has more than 255 bytes"))
  }
  const old = state.channels.get(wire)
  if (old === undefined && state.channels.size >= rules.channels) {
    return stay(state, refuse(message, "too many channels joined"))
  }
  const config = rules.protocol === "supabase" ? readConfig(payload, rules.makeKey) : plain(payload)
  const wrongKey = config.key === undefined ? undefined : nameError("key", config.key, rules.keyBytes)
  if (wrongKey !== undefined) return stay(state, refuse(message, wrongKey))
  // Supabase names the key inside its config. authorize finds it where a Phoenix client puts it.
  const asked = rules.protocol === "supabase" ? { ...payload, key: config.key } : payload

  /** The old join ends whatever becomes of the new one, and says so after the answer. */
  const closed: ReadonlyArray<Action> =
    old === undefined || old.joinRef === joinRef
      ? []
      : [{ _tag: "Send", joinRef: old.joinRef, ref: old.joinRef, topic: wire, event: "phx_close", payload: {} }]
  /** Who they are, where that is not who they said. */
  const known = (key: string | undefined): Payload => (key === undefined || key === config.key ? {} : { key })
  const refused = (reason: string): SessionStep =>
    old === undefined
      ? stay(state, refuse(message, reason))
      : leaving(state, wire, () => [refuse(message, reason), ...closed])
  const joined = (channel: Channel): SessionStep => ({
    state: withChannel(state, channel),
    actions: [
      accept(message, channel.joinRef, rules.protocol === "supabase" ? { postgres_changes: [] } : known(channel.key)),
      ...closed,
      { _tag: "Follow", channel }
    ]
  })
  return ask(state, {
    _tag: "Authorize",
    topic,
    payload: asked,
    next: (answer) => {
      if (answer._tag === "Refused") return refused(answer.reason)
      const clientMeta = answer.clientMeta !== false
      const meta = answer.meta === undefined ? {} : answer.meta
      const channel: Channel = {
        wire,
        topic,
        joinRef,
        key: answer.key,
        meta: clientMeta ? {} : meta,
        clientMeta,
        tracked: false,
        madeUp: config.madeUp && answer.key === config.key,
        watches: config.watches,
        asked: credentials(asked),
        expires: answer.expires,
        self: config.self,
        ack: config.ack
      }
      // Who says track later is not tracked by joining.
      if (channel.key !== undefined && rules.protocol === "phoenix") {
        return ask(state, {
          _tag: "Track",
          channel,
          key: channel.key,
          meta,
          next: (outcome) =>
            outcome._tag === "Failed" ? refused(outcome.reason) : joined({ ...channel, tracked: true })
        })
      }
      return old?.tracked ? ask(state, { _tag: "Untrack", wire, next: () => joined(channel) }) : joined(channel)
    }
  })
}

const leave = (state: SessionState, channel: Channel, message: ClientMessage): SessionStep =>
  leaving(state, channel.wire, () => [
    accept(message, channel.joinRef),
    {
      _tag: "Send",
      joinRef: channel.joinRef,
      ref: channel.joinRef,
      topic: channel.wire,
      event: "phx_close",
      payload: {}
    }
  ])

/** `track`, `update` and `untrack`, as Supabase's client pushes them. One who names a key asks to join under it. */
const presence = (
  rules: Rules,
  state: SessionState,
  channel: Channel,
  message: ClientMessage,
  payload: Payload
): SessionStep => {
  const event = payload.event ?? "track"
  if (event === "untrack") {
    if (!channel.tracked) return stay(state, ...answer(message, channel))
    return ask(state, {
      _tag: "Untrack",
      wire: channel.wire,
      next: () => stay(withChannel(state, { ...channel, tracked: false }), ...answer(message, channel))
    })
  }
  if (event !== "track") return stay(state, refuse(message, "event is neither track nor untrack"))
  const given = "payload" in payload ? payload.payload : payload.meta
  if (payload.key !== undefined) {
    const wrong = nameError("key", payload.key, rules.keyBytes)
    if (wrong !== undefined) return stay(state, refuse(message, wrong))
    return ask(state, {
      _tag: "Authorize",
      topic: channel.topic,
      payload: { ...channel.asked, ...payload },
      next: (permission) => {
        if (permission._tag === "Refused") return stay(state, refuse(message, permission.reason))
        const clientMeta = permission.clientMeta !== false
        const meta = permission.meta === undefined ? {} : permission.meta
        const asked = { ...channel.asked, ...credentials(payload) }
        const kept = clientMeta ? {} : meta
        const granted = {
          ...channel,
          key: permission.key,
          madeUp: channel.madeUp && permission.key === channel.key,
          meta: kept,
          clientMeta,
          asked,
          expires: permission.expires
        }
        return track(state, channel, message, clientMeta && given !== undefined ? given : meta, granted)
      }
    })
  }
  if (channel.tracked && !channel.clientMeta) return stay(state, refuse(message, "meta may not be replaced"))
  if (!channel.clientMeta) return track(state, channel, message, channel.meta)
  return track(state, channel, message, given === undefined ? {} : given)
}

/** `granted` is the channel as it will be, where that is not as it is. */
const track = (
  state: SessionState,
  channel: Channel,
  message: ClientMessage,
  meta: unknown,
  granted: Channel = channel
): SessionStep => {
  const { key } = granted
  if (key === undefined) return stay(state, refuse(message, "no key to track"))
  const next = (outcome: Outcome): SessionStep =>
    outcome._tag === "Failed"
      ? stay(state, refuse(message, outcome.reason))
      : stay(withChannel(state, { ...granted, tracked: true }), ...answer(message, granted))
  return channel.tracked && channel.key === key
    ? ask(state, { _tag: "Update", channel: granted, meta, next })
    : ask(state, { _tag: "Track", channel: granted, key, meta, next })
}

/**
 * A newer token. One that is refused, or is somebody else's, is none: the channel goes on with what it has. Whoever holds
 * two may stay as long as the later one lets them. Who they ask to be was said by joining, and is said by no token's push.
 */
const renew = (state: SessionState, channel: Channel, { key: _, ...payload }: Payload): SessionStep => {
  if (typeof payload.access_token !== "string") return stay(state)
  return ask(state, {
    _tag: "Authorize",
    topic: channel.topic,
    payload: { ...channel.asked, ...payload },
    next: (answer) => {
      if (answer._tag === "Refused" || answer.key !== channel.key) return stay(state)
      const asked = { ...channel.asked, ...credentials(payload) }
      const [before, after] = [channel.expires, answer.expires]
      const expires = before === undefined || after === undefined ? undefined : Math.max(before, after)
      return stay(withChannel(state, { ...channel, asked, expires }))
    }
  })
}

/** Characters of a token that is kept. A real one has hundreds. */
const TOKEN_LENGTH = 8_192

const credentials = (payload: Payload): Payload => {
  const kept: Record<string, unknown> = payload.key === undefined ? {} : { key: payload.key }
  for (const name of ["access_token", "token"]) {
    const token = payload[name]
    if (typeof token === "string" && token.length <= TOKEN_LENGTH) kept[name] = token
  }
  return kept
}

/** Any other event: the application's, or else for the other members. */
const push = (
  rules: Rules,
  state: SessionState,
  channel: Channel,
  message: ClientMessage,
  payload: Payload | Uint8Array
): SessionStep => {
  const { event, inner } = message
  const broadcast = event === "broadcast" && rules.protocol === "supabase"
  return ask(state, {
    _tag: "Ask",
    channel,
    event,
    payload,
    next: (reply) => {
      const silent = message.ref === null || (broadcast && !channel.ack)
      if (reply !== undefined) return stay(state, ...(silent ? [] : [replyWith(message, channel, reply)]))
      return ask(state, {
        _tag: "Relay",
        channel,
        event,
        payload,
        inner,
        self: broadcast && channel.self,
        next: () => stay(state, ...(silent ? [] : [accept(message, channel.joinRef)]))
      })
    }
  })
}

const PREFIX = "realtime:"

const presenceTopic = (rules: Rules, wire: string): string | undefined => {
  if (rules.protocol === "phoenix") return wire
  return wire.startsWith(PREFIX) ? wire.slice(PREFIX.length) : undefined
}

interface Config {
  readonly key: unknown
  readonly madeUp: boolean
  readonly watches: boolean
  readonly self: boolean
  readonly ack: boolean
}

const plain = (payload: Payload): Config => ({
  key: payload.key,
  madeUp: false,
  watches: true,
  self: false,
  ack: false
})

const readConfig = (payload: Payload, makeKey: () => string): Config => {
  const config = isRecord(payload.config) ? payload.config : {}
  const broadcast = isRecord(config.broadcast) ? config.broadcast : {}
  const presence = isRecord(config.presence) ? config.presence : {}
  // A page that is still loading its user says null.
  const madeUp = presence.key === undefined || presence.key === null || presence.key === ""
  return {
    key: madeUp ? makeKey() : presence.key,
    madeUp,
    watches: presence.enabled !== false,
    self: broadcast.self === true,
    ack: broadcast.ack === true
  }
}

/** What is wrong with a name that a client chose, if anything. */
const nameError = (what: "topic" | "key", name: unknown, maxBytes: number): string | undefined => {
  const refusal = checkName(name, maxBytes)
  if (refusal === undefined) return undefined
  return refusal._tag === "Invalid" ? `${what} ${refusal.reason}` : `${what} has more than ${maxBytes} bytes`
}

const stay = (state: SessionState, ...actions: ReadonlyArray<Action>): SessionStep => ({ state, actions })

const ask = (state: SessionState, question: Question): SessionStep => ({ state, actions: [], question })

const leaving = (state: SessionState, wire: string, actions: () => ReadonlyArray<Action>): SessionStep =>
  ask(state, { _tag: "Leave", wire, next: () => stay(withoutChannel(state, wire), ...actions()) })

const withChannel = (state: SessionState, channel: Channel): SessionState => ({
  channels: new Map(state.channels).set(channel.wire, channel)
})

const withoutChannel = (state: SessionState, wire: string): SessionState => {
  const channels = new Map(state.channels)
  channels.delete(wire)
  return { channels }
}

const reply = (message: ClientMessage, joinRef: Ref, status: "ok" | "error", response: Payload): Action => ({
  _tag: "Send",
  joinRef,
  ref: message.ref,
  topic: message.topic,
  event: "phx_reply",
  payload: { status, response }
})

const accept = (message: ClientMessage, joinRef: Ref = message.joinRef, response: Payload = {}): Action =>
  reply(message, joinRef, "ok", response)

const refuse = (message: ClientMessage, reason: string, joinRef: Ref = message.joinRef): Action =>
  reply(message, joinRef, "error", { reason })

const answer = (message: ClientMessage, channel: Channel): ReadonlyArray<Action> =>
  message.ref === null ? [] : [accept(message, channel.joinRef)]

const replyWith = (
  message: ClientMessage,
  channel: Channel,
  { status, response }: NonNullable<ApplicationReply>
): Action =>
  response instanceof Uint8Array
    ? { _tag: "SendBytes", joinRef: channel.joinRef, ref: message.ref, topic: message.topic, status, payload: response }
    : reply(message, channel.joinRef, status, response)
