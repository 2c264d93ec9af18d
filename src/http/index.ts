/**
 * Presence over HTTP: JSON and server-sent events.
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
export * as PresenceHttp from "./PresenceHttp.js"
