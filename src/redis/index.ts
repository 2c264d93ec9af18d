/**
 * Presence and channels over several replicas, kept in Redis.
 *
 * @since 0.1.0
 */

export type { ChannelsRedisOptions } from "./ChannelsRedis.js"
export * as ChannelsRedis from "./ChannelsRedis.js"
export type { Connect, ConnectionOptions, RedisConnection, Where } from "./client/connection.js"
export type { PresenceRedisOptions, RedisOptions } from "./options.js"
export * as PresenceRedis from "./PresenceRedis.js"
