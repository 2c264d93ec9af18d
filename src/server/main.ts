/**
 * The ready server, until SIGTERM or SIGINT, or its terminal goes (SIGHUP).
 *
 * What is wrong with the settings, or with the address they name, is one line on standard error and exit code 1. A
 * second signal does not cut its end short. What cannot be logged is lost, and ends nothing.
 */
// By module, here and in what this imports: the whole of the platform takes seconds to load.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Logger } from "effect"
import * as Server from "./Server.js"
import * as Settings from "./Settings.js"

const serve = Effect.gen(function* () {
  const settings = yield* Effect.withConfigProvider(Settings.settings, Settings.provider(process.env)).pipe(
    Effect.mapError(Settings.describe)
  )
  const unknown = Settings.describeUnknown(process.env)
  for (const warning of [unknown, Settings.describeSecret(settings)]) {
    if (warning !== undefined) yield* Console.warn(`effect-presence: ${warning}`)
  }
  return yield* Layer.effectDiscard(Server.announce(settings)).pipe(
    Layer.provide(Server.layer(settings)),
    Layer.launch,
    Effect.mapError((error) =>
      error._tag === "PresenceUnavailable"
        ? Settings.describeRedis(error)
        : Settings.describeListening(settings, error.cause)
    ),
    Logger.withMinimumLogLevel(settings.logLevel)
  )
})

// npm passes on what a terminal has sent to both of them already, and without a listener the second would kill.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {})
// Without its end in order everybody would be there for a lease longer.
process.on("SIGHUP", () => process.emit("SIGTERM"))

// Whoever reads what is logged may go, and its disk may be full: nobody who is here shall leave for that.
for (const log of [process.stdout, process.stderr]) log.on("error", () => {})

const [first] = process.argv.slice(2)

const main = (): Effect.Effect<void, string> => {
  if (first === undefined) return serve
  if (first === "--help" || first === "-h") return Console.log(Settings.help)
  return Effect.fail(`${first} is not understood; --help lists the settings`)
}

main().pipe(
  Effect.tapError((line) => Console.error(`effect-presence: ${line}`)),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
