/**
 * Presence by `@effect/rpc`, typed from end to end.
 *
 * @module
 * @since 0.2.0
 */

/**
 * The procedures, their handlers, and who may call them.
 *
 * @since 0.2.0
 */
export * as PresenceRpc from "./PresenceRpc.js"
