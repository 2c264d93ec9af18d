/** What all clients of the crowd share: where the replicas are, and what is so. */
import { performance } from "node:perf_hooks"

/** How long somebody has to be there, in ms, before it is wrong to be told that they left. */
const SETTLED = 20_000

/** Somebody who is on a list. */
export interface Tracked {
  readonly key: string
  /** Where they are, or nowhere. */
  readonly room: string | undefined
  readonly n: number
}

export class World {
  ports: ReadonlyArray<number> = []
  /** Come back after their connection had ended. */
  returns = 0
  /** The first few who were told of as gone while they were there. */
  readonly wronged: Array<string> = []
  private readonly everybody = new Map<string, Presence>()

  /** @param grace How long somebody may be without a connection, in ms, and have never left. */
  constructor(private readonly grace: number) {}

  /** A replica, as a balancer picks one. */
  port(): number {
    return this.ports[Math.floor(Math.random() * this.ports.length)] ?? 0
  }

  enrol(tracked: Tracked): Presence {
    const presence = new Presence(tracked, this.grace)
    this.everybody.set(tracked.key, presence)
    return presence
  }

  /** A client was told that these left its room. */
  told(room: string, gone: ReadonlyArray<string>, by: string): void {
    for (const key of gone) {
      const presence = this.everybody.get(key)
      if (presence?.isSettledIn(room)) this.wronged.push(`${by} in ${room} was told that ${key} left, who was there`)
    }
  }

  /** Who is where, as the server has to show it. */
  get truth(): ReadonlyArray<readonly [room: string, key: string, n: number]> {
    return Array.from(this.everybody.values()).flatMap(({ tracked: { room, key, n } }) =>
      room === undefined ? [] : [[room, key, n] as const]
    )
  }
}

/** How long somebody has been where they are. */
export class Presence {
  private since: number | undefined
  private lost: number | undefined

  constructor(
    readonly tracked: Tracked,
    private readonly grace: number
  ) {}

  /** The server has said so. */
  here(): void {
    if (this.isAway()) this.since = performance.now()
    this.lost = undefined
  }

  /** The connection is gone, for how long nobody knows. */
  gone(): void {
    this.lost ??= performance.now()
  }

  /** They go elsewhere, or out. */
  leaves(): void {
    this.since = undefined
    this.lost = undefined
  }

  isSettledIn(room: string): boolean {
    return this.tracked.room === room && !this.isAway() && performance.now() - (this.since ?? 0) >= SETTLED
  }

  private isAway(): boolean {
    return this.since === undefined || (this.lost !== undefined && performance.now() - this.lost > this.grace)
  }
}
