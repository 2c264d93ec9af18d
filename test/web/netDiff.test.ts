import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { Connection, Diff, LeaveReason, PresenceChange, Snapshot } from "../../src/PresenceChange.js"
import { NetDiff } from "../../src/web/netDiff.js"

const diff = (from: number, parts: Partial<Pick<Diff, "joins" | "leaves" | "updates">>, version = from + 1): Diff => ({
  _tag: "Diff",
  topic: "room",
  epoch: "e",
  from,
  version,
  joins: [],
  leaves: [],
  updates: [],
  ...parts
})

const snapshot = (version: number, connections: ReadonlyArray<Connection>): Snapshot => ({
  _tag: "Snapshot",
  topic: "room",
  epoch: "e",
  version,
  connections
})

const a = (ref: string, meta = ref): Connection => ({ key: "a", ref, meta })
const released = { reason: "released" as const }

const folded = (...changes: ReadonlyArray<PresenceChange>): ReadonlyArray<PresenceChange> => {
  const window = new NetDiff()
  for (const change of changes) window.add(change)
  return window.take()
}

describe("Window", () => {
  it("gives one change as it came", () => {
    const change = diff(3, { joins: [a("1")], leaves: [{ ...a("2"), ...released }] })
    expect(folded(change)).toEqual([change])
  })

  it("is empty without changes, and after it was taken", () => {
    const window = new NetDiff()
    expect(window.take()).toEqual([])
    window.add(diff(0, { joins: [a("1")] }))
    expect(window.take()).toHaveLength(1)
    expect(window.take()).toEqual([])
  })

  it("does not send who joined and left in between", () => {
    expect(folded(diff(0, { joins: [a("1")] }), diff(1, { leaves: [{ ...a("1"), ...released }] }))).toEqual([])
  })

  it("begins a diff at the version that last went out, also when a window between held nothing", () => {
    const window = new NetDiff()
    window.add(snapshot(5, []))
    window.take()
    window.add(diff(5, { joins: [a("1")] }))
    window.add(diff(6, { leaves: [{ ...a("1"), ...released }] }))
    expect(window.take()).toEqual([])
    window.add(diff(7, { joins: [a("2")] }))
    expect(window.take()).toEqual([diff(5, { joins: [a("2")] }, 8)])
  })

  it("makes one update of A -> B -> C", () => {
    expect(
      folded(
        diff(0, { updates: [{ key: "a", ref: "B", previousRef: "A", meta: 1 }] }),
        diff(1, { updates: [{ key: "a", ref: "C", previousRef: "B", meta: 2 }] })
      )
    ).toEqual([diff(0, { updates: [{ key: "a", ref: "C", previousRef: "A", meta: 2 }] }, 2)])
  })

  it("makes a join of a join and its updates", () => {
    expect(
      folded(diff(0, { joins: [a("A")] }), diff(1, { updates: [{ key: "a", ref: "B", previousRef: "A", meta: 2 }] }))
    ).toEqual([diff(0, { joins: [{ key: "a", ref: "B", meta: 2 }] }, 2)])
  })

  it("names the ref that went out when an updated connection leaves", () => {
    expect(
      folded(
        diff(0, { updates: [{ key: "a", ref: "B", previousRef: "A", meta: 2 }] }),
        diff(1, { leaves: [{ key: "a", ref: "B", meta: 2, reason: "evicted" }] })
      )
    ).toEqual([diff(0, { leaves: [{ key: "a", ref: "A", meta: 2, reason: "evicted" }] }, 2)])
  })

  it("sends nothing of a connection that was lost and came back under its ref", () => {
    expect(folded(diff(0, { leaves: [{ ...a("A"), reason: "replicaLost" }] }), diff(1, { joins: [a("A")] }))).toEqual(
      []
    )
  })

  it("drops what waits for a snapshot, and sends what comes after it behind it", () => {
    const fresh = snapshot(9, [a("9")])
    expect(folded(diff(0, { joins: [a("1")] }), fresh)).toEqual([fresh])
    const later = diff(9, { leaves: [{ ...a("9"), ...released }] })
    expect(folded(diff(0, { joins: [a("1")] }), fresh, later)).toEqual([fresh, later])
  })

  it("sorts joins by key, then age, and an update keeps the place", () => {
    const [net] = folded(
      diff(0, { joins: [{ key: "b", ref: "b1", meta: 0 }] }),
      diff(1, { joins: [a("a1")] }),
      diff(2, { joins: [a("a2")] }),
      diff(3, { updates: [{ key: "a", ref: "a1'", previousRef: "a1", meta: 0 }] })
    )
    expect((net as Diff).joins.map(({ ref }) => ref)).toEqual(["a1'", "a2", "b1"])
  })

  it("sorts updates and leaves by key, then in the order they happened", () => {
    const updated = (key: string, n: number) => ({ key, ref: `${key}${n}'`, previousRef: `${key}${n}`, meta: 0 })
    const gone = (key: string, n: number) => ({ key, ref: `${key}${n}`, meta: 0, ...released })
    const [net] = folded(
      diff(0, { updates: [updated("b", 1)], leaves: [gone("d", 1)] }),
      diff(1, { updates: [updated("a", 2)], leaves: [gone("c", 2)] }),
      diff(2, { updates: [updated("a", 1)], leaves: [gone("c", 1)] })
    )
    expect((net as Diff).updates.map(({ previousRef }) => previousRef)).toEqual(["a2", "a1", "b1"])
    expect((net as Diff).leaves.map(({ ref }) => ref)).toEqual(["c2", "c1", "d1"])
  })

  // The naive model keeps the whole topic twice, as the receiver has it and as it is, and compares.
  it("equals the difference of the state before and after, for any changes", () => {
    interface Member extends Connection {
      readonly id: number
    }
    const command = fc.oneof(
      fc.record({ kind: fc.constant("join" as const), key: fc.constantFrom("a", "b", "__proto__") }),
      fc.record({ kind: fc.constantFrom("update" as const, "leave" as const), at: fc.nat(5) }),
      fc.record({ kind: fc.constant("snapshot" as const) }),
      fc.record({ kind: fc.constant("take" as const) })
    )
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const window = new NetDiff()
        let version = 0
        let ids = 0
        let now: ReadonlyArray<Member> = []
        let sent: ReadonlyArray<Member> = []
        let sentVersion = 0
        let resynced = false
        const sorted = () => [...now].sort((x, y) => (x.key === y.key ? x.id - y.id : x.key < y.key ? -1 : 1))
        const bare = ({ key, ref, meta }: Connection) => ({ key, ref, meta })
        const byRef = (x: { readonly ref: string }, y: { readonly ref: string }) => (x.ref < y.ref ? -1 : 1)
        const step = (parts: Parameters<typeof diff>[1]) => window.add(diff(version++, parts))
        const take = () => {
          const changes = [...window.take()]
          if (resynced) {
            const first = changes.shift()
            expect(first?._tag).toBe("Snapshot")
          }
          resynced = false
          const before = new Map(sent.map((member) => [member.id, member]))
          const after = new Map(now.map((member) => [member.id, member]))
          const joins = sorted().filter(({ id }) => !before.has(id))
          const leaves = sent.filter(({ id }) => !after.has(id))
          const updates = sorted().flatMap((member) => {
            const old = before.get(member.id)
            return old === undefined || old.ref === member.ref ? [] : [{ ...bare(member), previousRef: old.ref }]
          })
          if (joins.length + leaves.length + updates.length === 0) {
            expect(changes).toEqual([])
            return
          }
          expect(changes).toHaveLength(1)
          const net = changes[0] as Diff
          expect({ ...net, joins: 0, leaves: 0, updates: 0 }).toEqual({
            ...diff(sentVersion, {}, version),
            joins: 0,
            leaves: 0,
            updates: 0
          })
          expect(net.joins).toEqual(joins.map(bare))
          expect([...net.leaves].sort(byRef).map(({ key, ref }) => ({ key, ref }))).toEqual(
            [...leaves].sort(byRef).map(({ key, ref }) => ({ key, ref }))
          )
          expect([...net.updates].sort(byRef)).toEqual([...updates].sort(byRef))
          for (const list of [net.leaves, net.updates]) {
            expect(list.map(({ key }) => key)).toEqual(list.map(({ key }) => key).sort())
          }
          sent = now
          sentVersion = version
        }
        for (const command of commands) {
          if (command.kind === "take") take()
          else if (command.kind === "snapshot") {
            window.add(snapshot(version, sorted().map(bare)))
            sent = now
            sentVersion = version
            resynced = true
          } else if (command.kind === "join") {
            const id = ids++
            const member: Member = { id, key: command.key, ref: `${id}.0`, meta: 0 }
            now = [...now, member]
            step({ joins: [bare(member)] })
          } else {
            const member = now[command.at]
            if (member === undefined) continue
            if (command.kind === "leave") {
              now = now.filter((other) => other !== member)
              const reason: LeaveReason = "expired"
              step({ leaves: [{ ...bare(member), reason }] })
            } else {
              const ref = `${member.id}.${version}`
              const updated: Member = { ...member, ref, meta: version }
              now = now.map((other) => (other === member ? updated : other))
              step({ updates: [{ ...bare(updated), previousRef: member.ref }] })
            }
          }
        }
        take()
      }),
      { numRuns: 1_000 }
    )
  })
})
