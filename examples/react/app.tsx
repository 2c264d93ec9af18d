/** A page with avatars and cursors: everybody who has it open is on it, and sees where the others point. */
import { PresenceProvider, usePresence } from "effect-presence/react"
import { type CSSProperties, type PointerEvent, StrictMode, useState } from "react"
import { createRoot } from "react-dom/client"

/** What others see of a tab. A pointer that is outside is nowhere. */
interface Meta {
  readonly name: string
  readonly hue: number
  /** Shares of the board, from 0 to 1. */
  readonly pointer: { readonly x: number; readonly y: number } | null
}

const ANIMALS = ["Otter", "Heron", "Lynx", "Badger", "Finch", "Marten", "Gecko", "Raven", "Ibex", "Newt"]

/** Who this tab is, also after a reload. A page with users takes theirs. */
const readMe = () => {
  const number = Number(sessionStorage.getItem("me") ?? Math.floor(Math.random() * 1_000))
  sessionStorage.setItem("me", String(number))
  const name = new URLSearchParams(location.search).get("name") ?? `${ANIMALS[number % ANIMALS.length]} ${number}`
  return {
    key: name,
    meta: { name, hue: Array.from(name, (c) => c.charCodeAt(0) * 37).reduce((a, b) => a + b) % 360, pointer: null }
  }
}

/** As many faces as fit. */
const SHOWN = 6

const Room = ({ topic }: { readonly topic: string }) => {
  const [me] = useState(readMe)
  const { entries, others, status, reason, update } = usePresence<Meta>({ topic, ...me })
  const point = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect()
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
    update((meta) => ({ ...meta, pointer: { x, y } }))
  }
  return (
    <>
      <header>
        <h1>{topic}</h1>
        <ul className="avatars" aria-label="Here now">
          {entries.slice(0, SHOWN).map(({ key, metas: [meta] }) => (
            <li key={key} title={key === me.key ? `${key} (you)` : key} style={{ "--hue": meta?.hue } as CSSProperties}>
              {key.slice(0, 1)}
            </li>
          ))}
          {entries.length > SHOWN && <li className="more">+{entries.length - SHOWN}</li>}
        </ul>
        <p role="status">
          {status === "joined" ? `You are ${me.key}` : status === "refused" ? `Refused: ${reason}` : "Connecting…"}
        </p>
      </header>
      <main onPointerMove={point} onPointerLeave={() => update((meta) => ({ ...meta, pointer: null }))}>
        <p>{others.length === 0 ? "Open this page in another window, and move the pointer." : "Move the pointer."}</p>
        {others.flatMap(({ key, metas }) =>
          metas.map(({ name, hue, pointer }, tab) => {
            if (pointer === null) return null
            const style = { "--hue": hue, left: `${pointer.x * 100}%`, top: `${pointer.y * 100}%` }
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: an update keeps a tab's place
              <span key={`${key} ${tab}`} className="cursor" style={style as CSSProperties} aria-hidden="true">
                {name}
              </span>
            )
          })
        )}
      </main>
    </>
  )
}

const root = document.getElementById("root")
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <PresenceProvider url="/socket">
        <Room topic={new URLSearchParams(location.search).get("room") ?? "design review"} />
      </PresenceProvider>
    </StrictMode>
  )
}
