/**
 * Sleep: a laptop that was shut, a phone that changed its network, a tab that was frozen or out of sight.
 *
 * Phoenix's client comes back when it knows that its connection is gone. A connection that died asleep looks open until
 * a heartbeat stays away, up to a minute later; so whoever wakes asks at once, and waits five seconds. And who is online
 * again does not wait for the next try. A page that stays in sight is told nothing when its machine sleeps, and outside of
 * pages there is nobody to tell: there it is the clock that has gone on.
 */
import { Socket } from "phoenix"

/** Milliseconds that a server has to answer whoever wakes, and between two looks at the clock: a sleep makes one as late. */
const PATIENCE = 5_000

/** What is used of a page. Elsewhere there is none, and nobody sleeps. */
interface Page {
  readonly addEventListener?: (event: string, listener: () => void) => void
  readonly document?: { readonly visibilityState: string; addEventListener(event: string, listener: () => void): void }
}

/** One whose page is out of sight comes back too: else all who look elsewhere are gone after each deploy. */
export class WakefulSocket extends Socket {
  override get pageHidden(): boolean {
    return false
  }
}

/**
 * Listens for as long as the page lives, as the socket does too. What it returns looks at the clock from then on, for as long
 * as somebody wants the socket; it is called when that may have changed.
 */
export const onWake = (socket: Socket, isWanted: () => boolean): (() => void) => {
  const page = globalThis as Page
  let asking: ReturnType<typeof setTimeout> | undefined
  const again = () => socket.disconnect(() => isWanted() && socket.connect())
  const wake = () => {
    if (!isWanted() || page.document?.visibilityState === "hidden") return
    clearTimeout(asking)
    const { conn } = socket
    if (socket.connectionState() === "closed") return again()
    // One that is being opened has as long.
    const asked = socket.ping(() => clearTimeout(asking))
    asking = setTimeout(() => isWanted() && socket.conn === conn && asked === socket.isConnected() && again(), PATIENCE)
  }
  page.addEventListener?.("online", wake)
  page.addEventListener?.("pageshow", wake)
  page.document?.addEventListener("visibilitychange", wake)
  page.document?.addEventListener("resume", wake)
  let looking: ReturnType<typeof setTimeout> | undefined
  const look = (before = Date.now()): void => {
    clearTimeout(looking)
    if (Date.now() - before > 2 * PATIENCE) wake()
    if (isWanted()) looking = setTimeout(look, PATIENCE, Date.now())
  }
  return look
}
