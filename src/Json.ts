/**
 * What a meta is: a JSON value.
 *
 * `track` takes anything and answers `InvalidMeta` for what JSON cannot say; what is stored and handed out is always a
 * deeply frozen copy of this type.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { isJson } from "./internal/input/json.js"

/**
 * A JSON value, read-only.
 *
 * @since 0.1.0
 * @category models
 */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [name: string]: Json }

/**
 * The schema of any JSON value. It checks and copies nothing, so that names such as `__proto__` survive.
 *
 * @since 0.1.0
 * @category models
 */
export const Json: Schema.Schema<Json> = Schema.declare((input: unknown): input is Json => isJson(input), {
  identifier: "Json",
  arbitrary: () => (fc) => fc.jsonValue().map((value): Json => value as Json)
})
