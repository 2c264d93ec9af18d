/**
 * Presence and channels over several replicas, kept in Redis.
 *
 * @module
 * @since 0.1.0
 */

export type { ChannelsRedisOptions } from "./ChannelsRedis.js"
/**
 * Channels over several replicas, without presence.
 *
 * @since 0.1.0
 */
export * as ChannelsRedis from "./ChannelsRedis.js"
export type { Connect, ConnectionOptions, RedisConnection, Where } from "./client/connection.js"
export type { PresenceRedisOptions, RedisOptions } from "./options.js"
/**
 * Presence and its channels over several replicas.
 *
 * @since 0.1.0
 */
export * as PresenceRedis from "./PresenceRedis.js"
