/** What a page's own types have to do with ours. Compiled with those of browsers, and never run. */
import { connect } from "effect-presence/client"
import { PresenceProvider } from "effect-presence/react"

connect("/socket", { transport: WebSocket })

export const page = (
  <PresenceProvider url="/socket" transport={WebSocket} token={async () => (await fetch("/token")).text()}>
    one <b>two</b>
  </PresenceProvider>
)
