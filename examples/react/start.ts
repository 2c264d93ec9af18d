/** `npm run example:react` */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Layer } from "effect"
import { server } from "./server.js"

const port = Number(process.env.PORT ?? 4000)

NodeRuntime.runMain(
  Layer.launch(
    Layer.tap(server(port), () =>
      Console.log(`http://127.0.0.1:${port} is ready: open it in two windows, Ctrl-C ends it`)
    )
  )
)
