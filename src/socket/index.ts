/**
 * Presence over WebSockets, for the clients of Phoenix and Supabase.
 *
 * @module
 * @since 0.1.0
 */

/**
 * Who may connect, join and read.
 *
 * @since 0.1.0
 */
export * as Authorize from "../web/Authorize.js"

/**
 * The route.
 *
 * @since 0.1.0
 */
export * as PresenceSocket from "./PresenceSocket.js"
