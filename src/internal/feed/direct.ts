/**
 * The door by which the routes of this package follow topics and channels: by a call for each change, in the step that
 * makes it, without a fiber, a stream or a queue. A topic that sits still costs what stands in it.
 *
 * It hangs on the services where users do not see it, and is not copied with them: whoever puts a service of their own
 * in the place of ours has none, and is followed through its public members.
 */
import type { PresenceChange } from "../../PresenceChange.js"
import type { PresenceUnavailable } from "../../PresenceError.js"

/** Who follows. What it does may not wait or throw. */
export interface Follower {
  /** First the state, then each change of it. */
  readonly onChange: (change: PresenceChange) => void
  /** It goes on no more: the backend is away, or without an error the layer has closed. */
  readonly onEnd: (error: PresenceUnavailable | undefined) => void
}

/** Follows a topic until what it returns is called. */
export type FollowDirectly = (topic: string, follower: Follower) => () => void

/** Hears the texts of a channel until what it returns is called. */
export type HearDirectly = (topic: string, onText: (text: string) => void) => () => void

const FOLLOW = Symbol("effect-presence/follow")
const HEAR = Symbol("effect-presence/hear")

export const withFollow = <S extends object>(service: S, follow: FollowDirectly): S =>
  Object.defineProperty(service, FOLLOW, { value: follow })

export const withHear = <S extends object>(service: S, hear: HearDirectly): S =>
  Object.defineProperty(service, HEAR, { value: hear })

export const followOf = (service: object): FollowDirectly | undefined =>
  (service as { readonly [FOLLOW]?: FollowDirectly })[FOLLOW]

export const hearOf = (service: object): HearDirectly | undefined =>
  (service as { readonly [HEAR]?: HearDirectly })[HEAR]
