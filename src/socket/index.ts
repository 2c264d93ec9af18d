/**
 * Presence over WebSockets, for the clients of Phoenix and Supabase.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Authorize from "../web/Authorize.js"

/**
 * @since 0.1.0
 */
export * as PresenceSocket from "./PresenceSocket.js"
