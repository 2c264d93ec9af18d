/**
 * A port with a span for each call, by OpenTelemetry's conventions for databases. A call is a batch of what many did, so it
 * has no parent.
 */
import { Cause, type Clock, Context, Exit, Option, type Tracer } from "effect"
import type { Port } from "./client/port.js"

export const traced = (port: Port, tracer: Tracer.Tracer, clock: Clock.Clock): Port => {
  const trace = <A>(command: string, script: string | undefined, call: () => Promise<A>): Promise<A> => {
    const name = script === undefined ? command : `${command} ${script}`
    const now = () => clock.unsafeCurrentTimeNanos()
    const span = tracer.span(name, Option.none(), Context.empty(), [], now(), "client")
    span.attribute("db.system.name", "redis")
    span.attribute("db.operation.name", command)
    if (script !== undefined) span.attribute("db.stored_procedure.name", script)
    const called = call()
    called.then(
      () => span.end(now(), Exit.void),
      (error) => span.end(now(), Exit.failCause(Cause.fail(error)))
    )
    return called
  }
  return {
    ...port,
    command: (name, args) => trace(name.toUpperCase(), undefined, () => port.command(name, args)),
    run: (script, keys, args) => trace("EVALSHA", script.name, () => port.run(script, keys, args))
  }
}
