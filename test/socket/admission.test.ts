/** Who is let in, and when, of a crowd that waits for the same answer. */
import type { HttpServerRequest } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Option } from "effect"
import { Admission } from "../../src/socket/admission.js"
import type { OpenSockets } from "../../src/socket/connection/openSockets.js"
import * as AtOnce from "../../src/web/atOnce.js"

it.live("a crowd whose tokens are good in one moment comes in by turns", () =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const admission = new Admission<never>({
      isAllowed: () => true,
      authorize: () => Effect.as(Deferred.await(gate), {}),
      sockets: { stopping: false, size: 0, from: () => 0 } as unknown as OpenSockets,
      limits: { sockets: 1_000, socketsPerAddress: 1_000 }
    })
    const request = { url: "/?vsn=2.0.0", remoteAddress: Option.none() } as HttpServerRequest.HttpServerRequest
    let turn = 0
    const begun: Array<number> = []
    for (let n = 0; n < 100; n++) {
      Effect.runFork(
        AtOnce.toEffect(
          admission.answer<void>(
            request,
            () => {},
            () => void begun.push(turn)
          )
        )
      )
    }
    const count = (): void => {
      turn++
      if (begun.length < 100) setImmediate(count)
    }
    count()
    yield* Deferred.succeed(gate, undefined)
    while (begun.length < 100) yield* Effect.sleep(5)
    const inEach = new Map<number, number>()
    for (const turn of begun) inEach.set(turn, (inEach.get(turn) ?? 0) + 1)
    expect(Math.max(...inEach.values())).toBeLessThanOrEqual(32)
  })
)
