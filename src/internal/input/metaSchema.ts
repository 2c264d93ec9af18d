/** Metas of a schema's type, as the JSON that they are stored and sent as. */
import { Option, Schema } from "effect"
import { Json } from "../../Json.js"

/** A schema that encodes to what is no JSON (a `Date`, a `bigint`, `undefined`) refuses to, and names the place. */
export const metaSchema = <A, I, R>(meta: Schema.Schema<A, I, R>): Schema.Schema<A, Json, R> =>
  Schema.compose(Json, meta, { strict: false })

/**
 * Decodes what anybody may have stored. A transformation or filter of the schema that throws at it does not decode it:
 * else who stores what it throws at would break the readers of everybody's.
 */
export const decoder = <A, I>(schema: Schema.Schema<A, I>): ((meta: unknown) => Option.Option<A>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (meta) => {
    try {
      return decode(meta)
    } catch {
      return Option.none()
    }
  }
}
