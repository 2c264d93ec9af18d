/**
 * Mutants that change nothing that anybody could notice, so that no test can kill them.
 *
 * A mutant is named by its file, the line that it changes (without the space around it), and what stands there instead.
 */

export interface Equivalent {
  readonly file: string
  readonly line: string
  /** What the mutant puts in the place of a part of the line. */
  readonly becomes: ReadonlyArray<string>
  readonly because: string
}

export const EQUIVALENT: ReadonlyArray<Equivalent> = [
  {
    file: "src/internal/state/keyIndex.ts",
    line: "else if (held !== roster) this.byKey.set(key, new Set([held, roster]))",
    becomes: ["true"],
    because: "a set of one is that one, and goes as it does"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "this.blocks.push({ at: new Float64Array(BLOCK), items: [], bound: Number.POSITIVE_INFINITY })",
    becomes: ['["Stryker was here"]'],
    because: "the first place of a new block is taken at once"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "if (block.bound > now) continue",
    becomes: ["false"],
    because: "nothing is due there, and it is only looked at in vain"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "if (due.length === max) break",
    becomes: ["false"],
    because: "no more is taken, and the rest is only looked at in vain"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "} else if (at < bound) {",
    becomes: ["at <= bound"],
    because: "what is as early makes no other bound"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "for (const block of this.blocks) if (block.bound < bound) bound = block.bound",
    becomes: ["block.bound <= bound"],
    because: "what is as early makes no other bound"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "if (at < block.bound) block.bound = at",
    becomes: ["at <= block.bound"],
    because: "what is as early makes no other bound"
  },
  {
    file: "src/internal/state/registry.ts",
    line: "if (this.keyIndex !== undefined) return Array.from(this.keyIndex.of(key), ({ topic }) => topic)",
    becomes: ["false"],
    because: "a look at each topic gives the same answer, only later"
  },
  ...[
    "if (connection.slot !== -1) this.expiring.set(connection, now + connection.terms.ttl)",
    "if (connection.terms.ttl !== Number.POSITIVE_INFINITY) this.expiring.set(connection, now + connection.terms.ttl)"
  ].map((line) => ({
    ...{ file: "src/internal/state/registry.ts", line, becomes: ["true"] },
    because: "what is never due may stand among what is, and only takes its place there"
  })),
  {
    file: "src/internal/state/registry.ts",
    line: "if (this.lingering.size > 0) {",
    becomes: ["true", "this.lingering.size >= 0"],
    because: "where nobody lingers nobody is found who does"
  },
  {
    file: "src/internal/state/registry.ts",
    line: "if (size < max) return undefined",
    becomes: ["false"],
    because: "fewer than they are, they are below the limit as well: nobody has to be looked at"
  },
  {
    file: "src/internal/state/registry.ts",
    line: 'for (const connection of roster?.of(key) ?? NOBODY) if (connection.status === "lingering") size--',
    becomes: ["roster.of"],
    because: "who has connections is on a roster; the types ask"
  },
  ...[
    'const [joinRef, ref, topic = "", event = ""] = fields.texts',
    'const [joinRef, ref, topic = "", inner = ""] = fields.texts'
  ].map((line) => ({
    ...{ file: "src/socket/protocol/codec.ts", line, becomes: ['"Stryker was here!"'] },
    because: "there are as many texts as were asked for; the types ask"
  })),
  {
    file: "src/internal/state/roster.ts",
    line: "else if (held instanceof Set) {",
    becomes: ["true"],
    because: "a key that has connections and not this one alone has a set; the types ask"
  },
  {
    file: "src/internal/state/roster.ts",
    line: "if (this.dirty.size > Math.min(10_000, Math.max(32, this.entries.length / 16))) {",
    becomes: [
      "false",
      "this.dirty.size >= Math.min(10_000, Math.max(32, this.entries.length / 16))",
      "Math.max(10_000, Math.max(32, this.entries.length / 16))",
      "this.entries.length * 16",
      "{}"
    ],
    because: "a list that is patched is the one that is sorted anew: when which is done is a question of cost"
  },
  {
    file: "src/internal/state/roster.ts",
    line: "else if (this.dirty !== undefined) this.entries = this.patched(this.entries, this.dirty)",
    becomes: ["true"],
    because: "what was listed is forgotten when a key is dirty, and not before; the types ask"
  },
  {
    file: "src/internal/state/roster.ts",
    line: "if (dirty.size <= 8) {",
    becomes: ["true", "false", "dirty.size < 8", "dirty.size > 8", "{}"],
    because: "both ways lead to the same list"
  },
  {
    file: "src/socket/protocol/codec.ts",
    line: "} catch {",
    becomes: ["{}"],
    because: "what ends without an answer answers undefined"
  },
  {
    file: "src/socket/protocol/codec.ts",
    line: "if (Array.isArray(value)) return value.some((item) => isDeeper(item, max - 1))",
    becomes: ["false"],
    because: "`in` goes through lists too, only more slowly"
  },
  {
    file: "src/socket/protocol/stateJson.ts",
    line: "const metas = block.keys.get(key) ?? []",
    becomes: ['["Stryker was here"]'],
    because: "where there are no metas nobody has the ref"
  },
  {
    file: "src/socket/protocol/stateJson.ts",
    line: "if (this.blocks.length > 4 + (SPARSE * this.length) / BLOCK) {",
    becomes: ["this.blocks.length >= 4 + SPARSE * this.length / BLOCK"],
    because: "whether there is one more makes no difference to anybody"
  },
  {
    file: "src/web/netDiff.ts",
    line: "if (this.latest !== undefined && (this.fresh.size > 0 || this.gone.size > 0)) {",
    becomes: ["true"],
    because: "where something is fresh or gone a diff has brought it, which is the latest; the types ask"
  },
  {
    file: "src/web/netDiff.ts",
    line: "a.key < b.key ? -1 : a.key > b.key ? 1 : 0",
    becomes: ["true", "false", "a.key >= b.key", "a.key <= b.key"],
    because: "sorting only asks whether one comes before the other"
  },
  {
    file: "src/redis/write/lease.ts",
    line: 'private index: "kept" | "missing" | "whole" = "kept"',
    becomes: ['""'],
    because: "the first claim finds no index to be lost, and its answer says that it is kept"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "private queue: Array<Cell<O>> = []",
    becomes: ['["Stryker was here"]'],
    because: "what is no cell is not dirty, and passed over"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "private prevented: Array<Cell<O>> = []",
    becomes: ['["Stryker was here"]'],
    because: "what is no cell is not dirty, and passed over"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "const others: Array<Cell<O>> = []",
    becomes: ['["Stryker was here"]'],
    because: "what is no cell is not dirty, and passed over"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "cell.waiting ??= []",
    becomes: ['["Stryker was here"]'],
    because: "what waits for no wish is never told"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: 'const still: Cell["waiting"] = []',
    becomes: ['["Stryker was here"]'],
    because: "what waits for no wish is never told"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "cell.waiting = still.length === 0 ? undefined : still",
    becomes: ["false"],
    because: "an empty list tells nobody, as none does; it takes memory"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "if (this.head * 2 > this.queue.length || others.length > 0) {",
    becomes: ["true", "this.head * 2 >= this.queue.length", "others.length >= 0"],
    because: "to move the queue more often costs time only"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "if (this.queue.length - this.head > 2 * (this.waitingToBeSaid + BATCH)) {",
    becomes: [
      "true",
      "this.queue.length - this.head >= 2 * (this.waitingToBeSaid + BATCH)",
      "this.queue.length - this.head <= 2 * (this.waitingToBeSaid + BATCH)",
      "this.queue.length + this.head",
      "2 / (this.waitingToBeSaid + BATCH)",
      "this.waitingToBeSaid - BATCH"
    ],
    because: "to go through the queue more often costs time only"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: "this.queue = this.queue.slice(this.head).filter(({ dirty }) => dirty)",
    becomes: ["this.queue"],
    because: "those before the head are not dirty, or stand behind it once more"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: 'const cell = new Cell<O>(place.topic, "", place.seq, 0, null, undefined)',
    becomes: ['"Stryker was here!"'],
    because: "the key of one that leaves is said to nobody"
  },
  {
    file: "src/redis/write/outbox.ts",
    line: 'cell.leaving = "evicted"',
    becomes: ['""'],
    because: "of one that is forgotten nothing is said any more, so only that it leaves is asked"
  },
  {
    file: "src/redis/write/lease.ts",
    line: "if (call.number >= this.claimed) this.isIn = false",
    becomes: ["call.number > this.claimed"],
    because: "the claim that was let in had another answer"
  },
  {
    file: "src/redis/write/lease.ts",
    line: "if (!this.isIn || number < this.claimed) return nothing",
    becomes: ["number <= this.claimed"],
    because: "the claim that was let in had another answer"
  },
  {
    file: "src/redis/write/lease.ts",
    line: "if (operation !== undefined) this.seen.add(fieldOf(operation.seq, operation.topic))",
    becomes: ["true"],
    because: "Redis counts the operations that it was given; the types ask"
  },
  {
    file: "src/redis/write/partition.ts",
    line: "private recoverAgain = false",
    becomes: ["true"],
    because: "it is set before it is read"
  },
  {
    file: "src/redis/protocol/values.ts",
    line: "return seqOf(a.connection) - seqOf(b.connection) || (a.connection < b.connection ? -1 : 1)",
    becomes: ["a.connection <= b.connection"],
    because: "no two connections have the same name"
  },
  {
    file: "src/redis/protocol/decoding.ts",
    line: 'const [epoch = "", floor] = head.split(" ")',
    becomes: ['"Stryker was here!"'],
    because: "a text that is split has a first part; the types ask"
  },
  ...["decoding", "calls"].map((name) => ({
    file: `src/redis/protocol/${name}.ts`,
    line: "for (let i = 0; i + 1 < entries.length; i += 2) {",
    becomes: ["i + 1 <= entries.length", "i - 1"],
    because: "what stands beyond the end is no member"
  })),
  {
    file: "src/redis/protocol/decoding.ts",
    line: "if (a < 1 || b < a || end < b || !isCount(joined) || !isCount(revision) || !isCount(ownerOf(connection).seq)) {",
    becomes: ["b <= a", "end <= b"],
    because: "one place has one character: the second space is not where the first is, nor the line break where it is"
  },
  {
    file: "src/redis/protocol/decoding.ts",
    line: "} catch {",
    becomes: ["{}"],
    because: "what ends without an answer answers undefined"
  },
  {
    file: "src/redis/protocol/pages.ts",
    line: 'last = page.at(-1) ?? ""',
    becomes: ['"Stryker was here!"'],
    because: "a full page has a last topic; the types ask"
  },
  {
    file: "src/redis/protocol/scripts/apply.ts",
    line: "local hasEvicted = call('HLEN', evicted) > 0",
    becomes: ["local hasEvicted = call('HLEN', evicted) >= 0"],
    because: "it saves a question for each operation where nobody was evicted"
  },
  {
    file: "src/redis/protocol/scripts/apply.ts",
    line: "if keepsKeyIndex then arrived[whereabouts(topic, key)] = true end",
    becomes: ["if keepsKeyIndex then arrived[whereabouts(topic, key)] = false end"],
    because: "of these only the names are asked for"
  },
  {
    file: "src/redis/protocol/scripts/apply.ts",
    line: "adding[#adding + 1] = 0",
    becomes: ["adding[#adding + 1] = 7"],
    because: "the replicas, at 0, come before all topics by their names too"
  },
  {
    file: "src/redis/protocol/scripts/beat.ts",
    line: "local name, deadline = entries[i], math.min(tonumber(entries[i + 1]), 2 ^ 53)",
    becomes: ["local name, deadline = entries[i], math.min(tonumber(entries[i + 1]), 7 ^ 53)"],
    because: "any number does that is finite"
  },
  {
    file: "src/redis/protocol/scripts/beat.ts",
    line: "if beaten > LATE and (silence < 0 or silence > 2 * shortest or isNew) then",
    becomes: ["if beaten > LATE and (silence <= 0 or silence > 2 * shortest or isNew) then"],
    because: "it moves all deadlines by nothing"
  },
  {
    file: "src/redis/protocol/scripts/beat.ts",
    line: "call('ZADD', leases, now + lease, '*')",
    becomes: ["call('ZADD', leases, now - lease, '*')"],
    because: "then everybody was silent for two leases, and all are moved by that"
  },
  {
    file: "src/redis/protocol/scripts/beat.ts",
    line: "for i = 11, #ARGV do call('HDEL', evicted, ARGV[i]) end",
    becomes: ["for i = 7, #ARGV do call('HDEL', evicted, ARGV[i]) end"],
    because: "what stands there is no connection's place"
  },
  {
    file: "src/redis/protocol/scripts/beat.ts",
    line: "if deadlines[name] <= now and deadlines[name] > LATE then call('ZADD', leases, '-inf', name) end",
    becomes: ["if deadlines[name] <= now and deadlines[name] >= LATE then call('ZADD', leases, '-inf', name) end"],
    because: "it writes what is there already"
  },
  {
    file: "src/redis/protocol/scripts/read.ts",
    line: "size <= tonumber(ARGV[2]) and redis.call('HGETALL', KEYS[3]) or false,",
    becomes: ["size <= tonumber(ARGV[2]) and redis.call('HGETALL', KEYS[3]) or true,"],
    because: "neither is a list of members"
  },
  {
    file: "src/redis/protocol/scripts/get.ts",
    line: "if member and not string.find(doubted, ' ' .. replica .. ' ', 1, true) then",
    becomes: ["if member and not string.find(doubted, ' ' .. replica .. ' ', 7, true) then"],
    because: "it begins with a history, which is longer"
  },
  {
    file: "src/redis/write/lease.ts",
    line: 'private history = ""',
    becomes: ['"Stryker was here!"'],
    because: "the first claim sets it before it is compared"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (epoch === this.standing.epoch && version > this.confirmed) this.confirmed = version",
    becomes: ["version >= this.confirmed"],
    because: "it is confirmed already"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "if (expected === undefined || copy.hasReached(expected.epoch, expected.version)) continue",
    becomes: ["false"],
    because: "who expects nothing has reached it; the types ask"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: 'private history = ""',
    becomes: ['"Stryker was here!"'],
    because: "the first snapshot sets it before it is compared"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: 'this.roster = new Roster(topic, "")',
    becomes: ['"Stryker was here!"'],
    because: "a roster's epoch is what channels tell, and a copy tells none"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "this.draft = new SnapshotDraft(++this.drafts, standing, this.members)",
    becomes: ["--this.drafts"],
    because: "only that it is another than before is asked"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (!this.isLive && !this.members.has(stored.connection)) this.add(stored, draft.stamp)",
    becomes: ["false", "this.members.has(stored.connection)"],
    because: "the end of the snapshot takes all of them up then, in one turn"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "const updates: Array<StoredMember> = []",
    becomes: ['["Stryker was here"]'],
    because: "nobody is updated who is no member"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "} else if (stored.revision < member.revision && retains) this.retained.add(member)",
    becomes: ["stored.revision <= member.revision"],
    because: "of the same revision it does not differ"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: 'return isSame ? "nothing" : "perhaps something"',
    becomes: ['""'],
    because: "only that it is not nothing is asked"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "const isDoubted = (connection: string): boolean => doubted.size > 0 && doubted.has(ownerOf(connection).replica)",
    becomes: ["true", "doubted.size >= 0"],
    because: "it saves taking names apart where nobody is doubted"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (!wasLive && doubted.size > 0) {",
    becomes: ["true", "doubted.size >= 0"],
    because: "it saves going through all where nobody is doubted"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (joins.length > 1) joins.sort(byAge)",
    becomes: ["true", "joins.length >= 1"],
    because: "one is in order"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (member === undefined) continue",
    becomes: ["false"],
    because: "who is updated is a member; the types ask"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (member.joined === stored.joined) return",
    becomes: ["false"],
    because: "it saves looking at the order where nothing moved"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (this.roster.keys === this.roster.connections) return",
    becomes: ["false"],
    because: "it saves looking at the order where each key has one connection"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "for (const { key } of this.members.values()) if (this.roster.size(key) > 1) keys.add(key)",
    becomes: ["true", "this.roster.size(key) >= 1"],
    because: "one is in order"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (this.roster.size(key) < 2) return",
    becomes: ["false"],
    because: "one is in order"
  },
  {
    file: "src/redis/read/topicCopy.ts",
    line: "if (sorted.every((member, index) => member === members[index])) return",
    becomes: ["false", "() => undefined"],
    because: "what is in order stays so when it is put in order"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "isTelling = false",
    becomes: ["true"],
    because: "the first snapshot tells, and ends it; before, nothing can be followed anyway"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "private hasHeard = false",
    becomes: ["true"],
    because: "nothing was missed before the first look"
  },
  {
    file: "src/redis/protocol/scripts/apply.ts",
    line: "if tonumber(version) > tonumber(top) then top = version end",
    becomes: ["if tonumber(version) >= tonumber(top) then top = version end"],
    because: "of two that are equal either is the highest"
  },
  {
    file: "src/redis/protocol/scripts/apply.ts",
    line: "local emptied = 0",
    becomes: ["local emptied = 7"],
    because: "only 1 says so"
  },
  {
    file: "src/redis/read/cache.ts",
    line: "const members = doubted.size === 0 ? all : all.filter(({ connection }) => !doubted.has(ownerOf(connection).replica))",
    becomes: ["false"],
    because: "it saves taking names apart where nobody is doubted"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "if (this.topics.size === 0) return",
    becomes: ["false"],
    because: "it saves looking for topics where none is followed"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "if (expected === undefined || expected.epoch !== epoch || expected.version < version) {",
    becomes: ["expected.version <= version"],
    because: "it is the same once more"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "if (expected !== undefined && !copy.hasReached(expected.epoch, expected.version)) {",
    becomes: ["true"],
    because: "what has not been reached is expected; the types ask"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "if (followed.references === 0) return true",
    becomes: ["false"],
    because: "nobody reads again what nobody follows"
  },
  {
    file: "src/redis/read/copies.ts",
    line: "if (rest >= 1) {",
    becomes: ["rest > 1"],
    because: "a millisecond is no rest"
  },
  {
    file: "src/redis/read/cache.ts",
    line: 'const roster = new Roster<CopyMember>(topic, "")',
    becomes: ['"Stryker was here!"'],
    because: "a roster's epoch is what channels tell, and what is read tells none"
  },
  {
    file: "src/redis/write/partition.ts",
    line: 'const topics = new Set(prevented.map((index) => operations[index]?.topic ?? ""))',
    becomes: ["operations[index].topic", '"Stryker was here!"'],
    because: "Redis counts the operations that it was given; the types ask"
  },
  {
    file: "src/redis/write/partition.ts",
    line: "if (this.stopped) return",
    becomes: ["false"],
    because: "what it would say later is not said once it is stopped"
  },
  {
    file: "src/redis/write/partition.ts",
    line: "if (!this.stopped) this.do(this.replica.recovered())",
    becomes: ["true"],
    because: "what is to be done then is not done once it is stopped"
  }
]
