/**
 * What a replica does about connections of others in one partition: it ends those of a key, and those of the lost.
 */
import type { Port } from "../client/port.js"
import * as calls from "../protocol/calls.js"
import { EVERYBODY, type Keys, ownerOf, placeOf } from "../protocol/keys.js"
import { ownersWithoutLease, placesOf } from "../protocol/pages.js"
import type { ApplyCall, Operation, StoredMember } from "../protocol/values.js"
import { BATCH } from "./outbox.js"

export interface OthersOptions {
  readonly port: Port
  readonly keys: Keys
  /** The name of this replica. */
  readonly replica: string
  /** A call about connections of another replica. */
  readonly about: (mode: "reap" | "evict", replica: string, operations: ReadonlyArray<Operation>) => ApplyCall
  /** Redis has new versions of topics by our own doing. */
  readonly onWritten: (epoch: string, versions: ReadonlyMap<string, number>) => void
  /** A connection of a lost replica was ended by us. */
  readonly onLost: (topic: string, member: StoredMember) => void
  readonly onReaped: (replica: string, connections: number) => void
  readonly onFailure: (what: string, cause: unknown) => void
}

export class Others {
  private readonly reaping = new Set<string>()
  private stopped = false

  constructor(private readonly options: OthersOptions) {}

  stop(): void {
    this.stopped = true
  }

  /** Ends the connections of a key that others own, and counts them. */
  async evict(topic: string, key: string): Promise<number> {
    const { port, keys, replica: self, about, onWritten } = this.options
    const found = await port.command("HGET", [keys.keys(topic), key])
    const byOwner = new Map<string, Array<Operation>>()
    for (const connection of String(found ?? "").split(" ")) {
      const { replica, seq } = ownerOf(connection)
      if (replica === "" || replica === self) continue
      const operations = byOwner.get(replica) ?? []
      operations.push({ type: "remove", topic, seq, reason: "evicted" })
      byOwner.set(replica, operations)
    }
    let count = 0
    for (const [replica, operations] of byOwner) {
      for (const some of batches(operations)) {
        const answer = await calls.apply(port, keys, about("evict", replica, some))
        if (answer.status !== "OK") continue
        count += answer.changed
        if (answer.changed > 0) onWritten(answer.epoch, answer.versions)
      }
      // Lost, it is found by the owner's next heartbeat.
      port.publish(keys.inbox(replica), "").catch(() => {})
    }
    return count
  }

  /** Ends the connections of a replica whose lease is over. Called again while it does, it does nothing. */
  reap(late: string): void {
    if (this.reaping.has(late) || this.stopped) return
    this.reaping.add(late)
    const { onReaped, onFailure } = this.options
    let ended = 0
    this.endAll(late, (connections) => {
      ended += connections
    })
      .catch((cause) => onFailure("reaping", cause))
      .finally(() => {
        this.reaping.delete(late)
        if (ended > 0) onReaped(late, ended)
      })
  }

  /** A call after the other, as long as it is we who end them: two would do everything twice. */
  private async endAll(late: string, onEnded: (connections: number) => void): Promise<void> {
    const { port, keys, about, onLost } = this.options
    let isForgotten = false
    /** Whether there may be more for us to do. */
    const end = async (operations: ReadonlyArray<Operation>): Promise<boolean> => {
      const answer = await calls.apply(port, keys, about("reap", late, operations))
      if (answer.status !== "OK") return false
      for (const { topic, member } of answer.lost) onLost(topic, member)
      onEnded(answer.changed)
      isForgotten = answer.emptied
      return answer.changed > 0 && !this.stopped
    }
    if (late === EVERYBODY) await this.findLate()
    for await (const page of placesOf(port, keys, late)) {
      const operations = page
        .map(placeOf)
        .flatMap(
          (place): ReadonlyArray<Operation> =>
            place === undefined ? [] : [{ type: "remove", ...place, reason: "replicaLost" }]
        )
      for (const some of batches(operations)) if (!(await end(some))) return
    }
    // A call without operations forgets a replica that has nothing.
    if (!isForgotten) await end([])
  }

  /** Whoever has members and has not claimed again since the leases were lost is late, as the next heartbeat says. */
  private async findLate(): Promise<void> {
    const { port, keys } = this.options
    const owners = await ownersWithoutLease(port, keys)
    if (owners.size === 0) return
    // Who claims meanwhile is not.
    await port.command("ZADD", [keys.leases, "NX", ...Array.from(owners).flatMap((owner) => ["-inf", owner])])
  }
}

const batches = (operations: ReadonlyArray<Operation>): ReadonlyArray<ReadonlyArray<Operation>> =>
  Array.from({ length: Math.ceil(operations.length / BATCH) }, (_, i) => operations.slice(i * BATCH, (i + 1) * BATCH))
