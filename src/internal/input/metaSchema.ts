/** Metas of a schema's type, as the JSON that they are stored and sent as. */
import { Schema } from "effect"
import { Json } from "../../Json.js"

/** A schema that encodes to what is no JSON (a `Date`, a `bigint`, `undefined`) refuses to, and names the place. */
export const metaSchema = <A, I, R>(meta: Schema.Schema<A, I, R>): Schema.Schema<A, Json, R> =>
  Schema.compose(Json, meta, { strict: false })
