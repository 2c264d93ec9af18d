import type { ClientMessage } from "../../../src/socket/protocol/codec.js"
import { end, initial, receive } from "../../../src/socket/protocol/session.js"
import type {
  Action,
  ApplicationReply,
  Outcome,
  Permission,
  Question,
  Rules,
  SessionState,
  SessionStep
} from "../../../src/socket/protocol/sessionStep.js"

const done: Outcome = { _tag: "Done" }
export const failed = (reason: string): Outcome => ({ _tag: "Failed", reason })
export const refusedWith = (reason: string): Permission => ({ _tag: "Refused", reason })

/** Everybody may do what they ask, unless a test says otherwise; what was asked is written down. */
export const makeClient = (
  overrides: Partial<Rules> = {},
  world: {
    readonly authorize?: (payload: Record<string, unknown>) => Permission
    readonly track?: Outcome
    readonly update?: Outcome
    readonly ask?: ApplicationReply
  } = {}
) => {
  const rules: Rules = {
    protocol: "phoenix",
    channels: 100,
    topicBytes: 255,
    keyBytes: 255,
    metaDepth: 64,
    makeKey: () => "made",
    ...overrides
  }
  let state: SessionState = initial
  const questions: Array<Record<string, unknown>> = []
  const allow = (payload: Record<string, unknown>): Permission =>
    typeof payload.key === "string"
      ? { _tag: "Granted", key: payload.key, ...("meta" in payload ? { meta: payload.meta } : {}) }
      : { _tag: "Granted" }
  const next = (question: Question, heard: Array<unknown>): SessionStep => {
    const { next: _, ...rest } = question
    const readable = "channel" in rest ? { ...rest, channel: rest.channel.wire } : rest
    if (question._tag === "Relay") heard.push(readable)
    else questions.push(readable)
    switch (question._tag) {
      case "Authorize":
        return question.next((world.authorize ?? allow)(question.payload))
      case "Track":
        return question.next(world.track ?? done)
      case "Update":
        return question.next(world.update ?? done)
      case "Ask":
        return question.next(world.ask)
      default:
        return question.next()
    }
  }
  /** What the client and the other members hear. */
  const run = (first: SessionStep): Array<unknown> => {
    const heard: Array<unknown> = first.actions.map(readable)
    let step = first
    while (step.question !== undefined) {
      step = next(step.question, heard)
      heard.push(...step.actions.map(readable))
    }
    state = step.state
    return heard
  }
  return {
    questions,
    get channels() {
      return [...state.channels.values()]
    },
    say: (
      ...[joinRef, ref, topic, event, payload]: [ClientMessage["ref"], ClientMessage["ref"], string, string, unknown]
    ) => run(receive(rules, state, { joinRef, ref, topic, event, payload })),
    receive: (message: ClientMessage) => run(receive(rules, state, message)),
    end: (wire: string, joinRef: ClientMessage["ref"], event: "phx_close" | "phx_error") =>
      run(end(state, wire, joinRef, event))
  }
}

/** Sends as frames of version 2, the rest by name. */
const readable = (action: Action): unknown => {
  switch (action._tag) {
    case "Send":
      return [action.joinRef, action.ref, action.topic, action.event, action.payload]
    case "SendBytes":
      return [action.joinRef, action.ref, action.topic, action.status, action.payload]
    case "Follow":
      return `follow ${action.channel.wire} ${action.channel.joinRef}`
  }
}

export const ok = (joinRef: unknown, ref: unknown, topic: string, response: unknown = {}) => [
  joinRef,
  ref,
  topic,
  "phx_reply",
  { status: "ok", response }
]
export const error = (joinRef: unknown, ref: unknown, topic: string, reason: string) => [
  joinRef,
  ref,
  topic,
  "phx_reply",
  { status: "error", response: { reason } }
]
