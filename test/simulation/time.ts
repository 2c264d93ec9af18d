/**
 * Time that only passes when everything has been done that was to be done: timers, the monotonic clock, the wall clock
 * and chance, of every process of a simulation.
 *
 * The code under test reads the globals as ever. While a simulation runs they are of the process whose turn it is, so a
 * paused one does nothing, a dead one never again, and each host's wall clock may step by itself.
 */

import { Agenda } from "../support/agenda.js"

/** A process: what it has set to happen waits while it is paused, and never happens when it is dead. */
export class Process {
  pausedUntil = 0
  isDead = false
  /** How far the wall clock of its host is from the true time, in ms. */
  skew = 0

  constructor(readonly name: string) {}
}

interface Event {
  at: number
  readonly order: number
  readonly process: Process | undefined
  readonly run: () => void
  isCancelled: boolean
}

/** Mulberry32: small, and the same everywhere. */
export const randomFrom = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

/** Until all promises have settled that can: Node's next tick comes after them, and costs no turn of the event loop. */
const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

/** What the wall clock says when a simulation begins. */
const BEGIN = Date.UTC(2030, 0)

export class VirtualTime {
  /** Milliseconds since the simulation began. */
  now = 0
  /** How many things have happened. */
  events = 0
  readonly random: () => number
  /** Whose turn it is; nobody's while the network and Redis do something. */
  private current: Process | undefined
  private readonly agenda = new Agenda<Event>()
  private order = 0

  constructor(seed: number) {
    this.random = randomFrom(seed)
  }

  /** What happens at a time. Of a process: then what follows from it is done before anything else. */
  at(at: number, process: Process | undefined, run: () => void): Event {
    const event = { at: Math.max(at, this.now), order: this.order++, process, run, isCancelled: false }
    this.agenda.add(event)
    return event
  }

  /** Does something as a process, now, and all that follows from it. */
  async turn(process: Process, run: () => void): Promise<void> {
    this.current = process
    run()
    await settled()
    this.current = undefined
  }

  async run(ms: number): Promise<void> {
    const end = this.now + ms
    for (let event = this.agenda.first; event !== undefined && event.at <= end; event = this.agenda.first) {
      this.agenda.takeFirst()
      const { process } = event
      if (event.isCancelled || process?.isDead === true) continue
      if (process !== undefined && process.pausedUntil > event.at) {
        event.at = process.pausedUntil
        this.agenda.add(event)
        continue
      }
      this.now = event.at
      this.events++
      if (process === undefined) event.run()
      else await this.turn(process, event.run)
    }
    this.now = end
  }

  /** Puts this time in the place of the real one, until what it returns is called. */
  install(): () => void {
    const set = (run: (...args: Array<unknown>) => void, ms = 0, ...args: Array<unknown>) =>
      this.timer(Math.max(1, ms || 0), () => run(...args))
    const clear = (timer: Timer | undefined): void => timer?.cancel()
    const replaced: ReadonlyArray<readonly [object, Record<string, unknown>]> = [
      [
        globalThis,
        {
          setTimeout: set,
          clearTimeout: clear,
          setInterval: (run: () => void, ms = 1) => {
            const again = (): void => {
              timer.inner = this.timer(ms, again)
              run()
            }
            const timer = new Timer()
            timer.inner = this.timer(ms, again)
            return timer
          },
          clearInterval: clear,
          setImmediate: (run: (...args: Array<unknown>) => void, ...args: Array<unknown>) =>
            this.timer(0, () => run(...args)),
          clearImmediate: clear
        }
      ],
      [performance, { now: () => this.now }],
      [process.hrtime, { bigint: () => BigInt(Math.round(this.now * 1e6)) }],
      [Date, { now: () => Math.floor(BEGIN + this.now + (this.current?.skew ?? 0)) }],
      [Math, { random: this.random }],
      [
        crypto,
        {
          getRandomValues: (bytes: Uint8Array) => {
            for (let i = 0; i < bytes.length; i++) bytes[i] = this.random() * 256
            return bytes
          }
        }
      ]
    ]
    const undo = replaced.flatMap(([owner, members]) =>
      Object.entries(members).map(([name, value]) => {
        const before = Object.getOwnPropertyDescriptor(owner, name)
        Object.defineProperty(owner, name, { value, configurable: true, writable: true, enumerable: true })
        return () => {
          if (before === undefined) Reflect.deleteProperty(owner, name)
          else Object.defineProperty(owner, name, before)
        }
      })
    )
    return () => {
      for (const one of undo) one()
    }
  }

  private timer(ms: number, run: () => void): Timer {
    return new Timer(this.at(this.now + ms, this.current, run))
  }
}

/** What `setTimeout` gives. Nothing keeps a simulation alive, so there is nothing to let go. */
class Timer {
  inner: Timer | undefined

  constructor(private readonly event?: Event) {}

  cancel(): void {
    if (this.event !== undefined) this.event.isCancelled = true
    this.inner?.cancel()
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}
