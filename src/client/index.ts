/**
 * Presence in a browser, without a framework: {@link connect}, join, and see who is here.
 *
 * @module
 * @since 0.2.0
 */
export { type Client, type ConnectOptions, connect, type JoinOptions } from "./connect.js"
export { ClientError } from "./errors.js"
export type { Room, RoomState, RoomStatus } from "./room.js"
export type { Entry } from "./roster.js"
export type { Token, TokenSource } from "./tokens.js"
export type { Transport, TransportConstructor } from "./transport.js"
