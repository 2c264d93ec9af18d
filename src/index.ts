/**
 * Presence for Effect: who is here, right now, on which topic.
 *
 * @module
 * @since 0.1.0
 */
export * from "./Channels.js"
export * from "./Json.js"
export * from "./Lease.js"
export * from "./Presence.js"
export * from "./PresenceActivity.js"
export * from "./PresenceChange.js"
export * from "./PresenceEntry.js"
export * from "./PresenceError.js"
export * from "./PresenceEvent.js"
export * from "./PresenceHealth.js"
export * from "./PresenceState.js"
export * from "./Subscription.js"
