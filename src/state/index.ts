/**
 * The state of a topic by what its followers are told, for a browser as for a server: no Effect and no Node comes with
 * it.
 *
 * @module
 * @since 0.2.0
 */
export type { Json } from "../Json.js"
export type { Connection, Diff, Leave, LeaveReason, PresenceChange, Snapshot, Update } from "../PresenceChange.js"
export type { PresenceEntry } from "../PresenceEntry.js"
export * from "../PresenceState.js"
