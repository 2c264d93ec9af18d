/**
 * A page that shows rooms as text, for tests that say from outside what it renders: `window.show(props)`. Rendered on a
 * server it is `html()`.
 */
import { PresenceProvider, usePresence } from "effect-presence/react"
import { Component, type ReactNode, StrictMode, useEffect, useState } from "react"
import { createRoot, hydrateRoot } from "react-dom/client"
import type { AppProps, RoomProps } from "./props.js"

interface Meta {
  readonly n: number
}

interface Control {
  update: (n: number) => void
  wave: (text: string) => void
}

declare global {
  interface Window {
    show: (props: AppProps) => void
    rooms: Record<string, Control>
    waves: Array<string>
    renders: number
  }
}

/** Its effects run before those of the room that hands it the functions. */
const Ears = ({ name, on }: { readonly name: string; readonly on: ReturnType<typeof usePresence>["on"] }) => {
  useEffect(() => on<{ text: string }>("wave", ({ text }) => window.waves.push(`${name} ${text}`)), [name, on])
  return null
}

const Room = ({ name, topic, user, n }: RoomProps & { readonly name: string }) => {
  const { entries, others, me, status, reason, update, broadcast, on } = usePresence<Meta>({
    topic,
    key: user ?? null,
    ...(n === undefined ? {} : { meta: { n } })
  })
  useEffect(() => {
    window.rooms[name] = { update: (n) => update({ n }), wave: (text) => broadcast("wave", { text }) }
  }, [name, update, broadcast])
  const list = entries.map(({ key, metas }) => `${key}:${metas.map(({ n }) => n).join("+")}`)
  return (
    <p id={name}>
      {`${status} [${list.join()}] me ${me?.key} others ${others.length}${reason === undefined ? "" : ` ${reason}`}`}
      <Ears name={name} on={on} />
    </p>
  )
}

class Boundary extends Component<{ readonly children: ReactNode }, { readonly error?: unknown }> {
  override state: { readonly error?: unknown } = {}
  static getDerivedStateFromError(error: unknown) {
    return { error }
  }
  override render() {
    return "error" in this.state ? <p id="error">{String(this.state.error)}</p> : this.props.children
  }
}

export const App = ({ props }: { readonly props: AppProps }) => {
  const [{ url, token, rooms }, show] = useState(props)
  useEffect(() => {
    window.show = show
  }, [])
  return (
    <StrictMode>
      <Boundary>
        <PresenceProvider url={url} {...(token === undefined ? {} : { token: () => token })}>
          {Object.entries(rooms).map(([name, room]) => (
            <Room key={name} name={name} {...room} />
          ))}
        </PresenceProvider>
      </Boundary>
    </StrictMode>
  )
}

export const start = (props: AppProps) => {
  window.rooms = {}
  window.waves = []
  const root = document.getElementById("root")
  if (root === null) throw new Error("there is no root")
  if (root.firstChild === null) createRoot(root).render(<App props={props} />)
  else hydrateRoot(root, <App props={props} />)
}
