/**
 * Presence over HTTP: JSON and server-sent events.
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
 * The routes.
 *
 * @since 0.1.0
 */
export * as PresenceHttp from "./PresenceHttp.js"
