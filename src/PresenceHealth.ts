/**
 * Whether presence can serve, as `GET /health` answers it.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The schema of the health of this replica. `status`: `ok`; `degraded`, it reads and writes, but hears of others up to
 * 10 seconds late, as nothing can be subscribed to in Redis; `unavailable`, Redis does not answer. `since`: epoch milliseconds of the last change of `status`; `connections`
 * and `topics` are this replica's. In process the status is always `ok`.
 *
 * @since 0.1.0
 * @category models
 */
export const PresenceHealth = Schema.Struct({
  status: Schema.Literal("ok", "degraded", "unavailable"),
  since: Schema.NonNegativeInt,
  connections: Schema.NonNegativeInt,
  topics: Schema.NonNegativeInt
}).annotations({ identifier: "PresenceHealth" })

/**
 * The health of this replica.
 *
 * @since 0.1.0
 * @category models
 */
export type PresenceHealth = typeof PresenceHealth.Type
