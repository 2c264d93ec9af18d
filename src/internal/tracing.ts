/**
 * Spans where somebody hears of them. Effect's own tracer keeps what it makes to itself, and a socket would keep what is
 * made for it: with that one there are none, and they cost nothing.
 */
import { Context, DefaultServices, Effect, Option, Tracer } from "effect"

const silent = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** The tracer that somebody provided, if anybody did. */
export const heard: Effect.Effect<Option.Option<Tracer.Tracer>> = Effect.map(Effect.tracer, (tracer) =>
  tracer === silent ? Option.none() : Option.some(tracer)
)
