/** What users of `effect-presence/react` infer. Compiled and never run. */
import { createElement } from "react"
import { expectTypeOf } from "vitest"
import type { Entry } from "../../src/client/index.js"
import { PresenceProvider, usePresence } from "../../src/react/index.js"

interface Viewer {
  readonly typing: boolean
}
export const useLobby = (user: string | undefined) => {
  const lobby = usePresence<Viewer>({ topic: "lobby", key: user, meta: { typing: false } })
  expectTypeOf(lobby.others).toEqualTypeOf<ReadonlyArray<Entry<Viewer>>>()
  expectTypeOf(lobby.update).toBeCallableWith({ typing: true })
  // @ts-expect-error The wrong meta.
  lobby.update({ typing: 1 })
  expectTypeOf(usePresence({ topic: null }).me).toEqualTypeOf<Entry<Readonly<Record<string, unknown>>> | undefined>()
  // @ts-expect-error Where is not said.
  usePresence({ key: "alice" })
  // @ts-expect-error The wrong meta.
  usePresence<Viewer>({ topic: "lobby", meta: {} })
}

createElement(PresenceProvider, { url: "/socket", token: async () => "token" }, "children")
// @ts-expect-error A provider has a url.
createElement(PresenceProvider, {})
