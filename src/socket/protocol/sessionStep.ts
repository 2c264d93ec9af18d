/**
 * The words in which the machine of `session.ts` and whoever drives it talk: what is known, what is to be done, and what
 * has to be found out first.
 */
import type { Ref } from "./codec.js"

/** A channel that the client has joined. */
export interface Channel {
  /** The topic as the client says it, `realtime:room` for Supabase. */
  readonly wire: string
  /** The topic of presence, `room`. */
  readonly topic: string
  readonly joinRef: Ref
  /** Who may be tracked here; without it they watch. */
  readonly key: string | undefined
  /** What they carry, where pushes may not say it. */
  readonly meta: unknown
  readonly clientMeta: boolean
  readonly tracked: boolean
  /** Whether the key is one that nobody can come back under, since it was made here. */
  readonly madeUp: boolean
  /** Whether they are told who is here: Supabase's client says no when nobody listens. */
  readonly watches: boolean
  /** Who the client said it was, and by which token: what later questions to authorize begin with. */
  readonly asked: Payload
  /** When the grant ends, in milliseconds since the epoch; without it never. */
  readonly expires: number | undefined
  /** Supabase: whether own broadcasts come back, and whether they are answered. */
  readonly self: boolean
  readonly ack: boolean
}

export interface SessionState {
  readonly channels: ReadonlyMap<string, Channel>
}

export interface Rules {
  readonly protocol: "phoenix" | "supabase"
  readonly channels: number
  readonly topicBytes: number
  readonly keyBytes: number
  readonly metaDepth: number
  /** A key for a Supabase client that names none. */
  readonly makeKey: () => string
}

export type Payload = { readonly [name: string]: unknown }

/** Something to do. */
export type Action =
  | {
      readonly _tag: "Send"
      readonly joinRef: Ref
      readonly ref: Ref
      readonly topic: string
      readonly event: string
      readonly payload: Payload
    }
  /** A reply whose response is bytes. */
  | {
      readonly _tag: "SendBytes"
      readonly joinRef: Ref
      readonly ref: Ref
      readonly topic: string
      readonly status: string
      readonly payload: Uint8Array
    }
  /** From here on the channel gets a `presence_state` and the diffs after it. Once more: with the new `joinRef`. */
  | { readonly _tag: "Follow"; readonly channel: Channel }

/** What authorize says. */
export type Permission =
  | {
      readonly _tag: "Granted"
      readonly key?: string | undefined
      readonly meta?: unknown
      readonly clientMeta?: boolean | undefined
      readonly expires?: number | undefined
    }
  | { readonly _tag: "Refused"; readonly reason: string }

/** Whether something was done, or the reason why not. */
export type Outcome = { readonly _tag: "Done" } | { readonly _tag: "Failed"; readonly reason: string }

/** What the application says to a message: nothing, then it goes to the other members; or its reply. */
export type ApplicationReply = { readonly status: "ok" | "error"; readonly response: Payload | Uint8Array } | undefined

/** Something to find out before the machine goes on. */
export type Question =
  | {
      readonly _tag: "Authorize"
      readonly topic: string
      readonly payload: Payload
      readonly next: (answer: Permission) => SessionStep
    }
  /** Tracks it, and once that is done ends what the socket tracked on the channel before. */
  | {
      readonly _tag: "Track"
      readonly channel: Channel
      readonly key: string
      readonly meta: unknown
      readonly next: (answer: Outcome) => SessionStep
    }
  | {
      readonly _tag: "Update"
      readonly channel: Channel
      readonly meta: unknown
      readonly next: (answer: Outcome) => SessionStep
    }
  /** Ends what is tracked on the channel, at once. */
  | { readonly _tag: "Untrack"; readonly wire: string; readonly next: () => SessionStep }
  /** The same, and the channel is followed no more. */
  | { readonly _tag: "Leave"; readonly wire: string; readonly next: () => SessionStep }
  | {
      readonly _tag: "Ask"
      readonly channel: Channel
      readonly event: string
      readonly payload: Payload | Uint8Array
      readonly next: (answer: ApplicationReply) => SessionStep
    }
  /** Passes the message on to the topic's other members, with `self` to this one too. */
  | {
      readonly _tag: "Relay"
      readonly channel: Channel
      readonly event: string
      readonly payload: Payload | Uint8Array
      readonly inner: string | undefined
      readonly self: boolean
      readonly next: () => SessionStep
    }

export interface SessionStep {
  readonly state: SessionState
  readonly actions: ReadonlyArray<Action>
  readonly question?: Question
}
