export const BEAT = String.raw`#!lua flags=allow-oom
-- A replica's heartbeat in one partition: keeps its lease, claims it (again), or gives it back. This alone believes the
-- clock: here who is late is found, and marked, and everybody else goes by the mark.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms, or -inf of one that was found late; '*' stands for all of whom
--          nobody knows whether they had one
-- KEYS[2]  v: versions, of which '' -> "epoch floor"
-- KEYS[3]  i: the replica's index, of which '' -> last write number
-- KEYS[4]  x: the replica's evicted connections, a hash of "seq:topic" -> ''
-- KEYS[5]  c: what all replicas must have in common, as text: "format N, ...", or without a format by version 0.1
-- KEYS[6]  r: replicas, a hash of replica -> "lease heartbeat history", in ms, and '' -> "history doubted doubted ..."
-- KEYS[7]  o: the key index, a zset of "bytes:key" with the topic behind it, and "0:replica" of each that keeps it; not
--          given by who does not
--
-- ARGV[1]  mode: "beat", "claim" or "leave"
-- ARGV[2]  replica
-- ARGV[3]  write number
-- ARGV[4]  tag, unique for each call; it becomes the epoch if there is none
-- ARGV[5]  lease in ms
-- ARGV[6]  heartbeat in ms
-- ARGV[7]  the history in which the replica has removed what Redis had of it and it did not hold; empty for none
-- ARGV[8]  how many partitions there are
-- ARGV[9]  what the channel begins with where a replica is told to beat
-- ARGV[10] whether the replica has looked for all that Redis has of it, and written all that it holds, since i was
--          lost: '1' or empty
-- then the "seq:topic" of connections whose eviction the owner has seen
--
-- Answers {"OK", epoch, history, connections, late replicas, evicted connections, shortest heartbeat, longest lease}, of
-- the lists the first 100 and 1,000. 'connections' is nil where i is lost: then it has no '' until ARGV[10] says so, and
-- whoever reaps looks on all topics. 'history' is another after each restart and each fail-over, which may have lost the
-- last writes.
-- Or, with nothing written: {"LEASE"} not in l or found late, {"STALE"} a higher number was seen, {"SHARED", theirs} a
-- claim while others live by what this replica does not understand, or understand nothing of its own numbers; of a newer
-- format also a beat, so that it stands aside. Replicas of such a format are in l, and in r say other than numbers.

local call = redis.call
local mode, replica, lease, heartbeat = ARGV[1], ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
local leases, versions, index, evicted, common, replicas, keyIndex = unpack(KEYS)
local LATE = -math.huge

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local last = call('HGET', index, '')
if tonumber(ARGV[3]) <= (tonumber(last or 0) or 0) then return { 'STALE' } end

local own = {}
local fields = call('HGETALL', replicas)
for i = 1, #fields, 2 do own[fields[i]] = fields[i + 1] end

-- Version 0.1 wrote the same numbers for all: replicas without their own live by those. While all live by the same it
-- stays so, and replicas of either version may come and go.
local theirs = call('GET', common)
local first = 'lease ' .. ARGV[5] .. ' ms, heartbeat ' .. ARGV[6] .. ' ms, partitions ' .. ARGV[8]
local format = 'format 2, partitions ' .. ARGV[8]

-- When anybody last beat, the shortest heartbeat, the longest lease, and whether somebody in time has no numbers of its
-- own. Such a one may be no replica at all: when it beat counts only if nobody has numbers.
local beaten, elderBeaten, shortest, longest, elders, longer = LATE, LATE, heartbeat, lease, false, {}
-- Whether somebody wrote none that are understood here, as a newer version may.
local strangers = false
local names, deadlines = {}, {}
local entries = call('ZRANGE', leases, 0, -1, 'WITHSCORES')
-- Somebody has deleted it: whoever has numbers of its own has a whole lease to beat again.
if #entries == 0 then
  for name, numbers in pairs(own) do
    local itsLease = string.match(numbers, '^(%d+) %d+ %w*$')
    if name ~= '' and itsLease then call('ZADD', leases, now + itsLease, name) end
  end
  -- That too. Who lives claims again; by when that must be, whoever ends '*' looks for members of who has not.
  if call('EXISTS', leases) == 0 and call('HLEN', versions) > call('HEXISTS', versions, '') then
    call('ZADD', leases, now + lease, '*')
    own['*'] = ARGV[5] .. ' ' .. ARGV[6] .. ' '
    call('HSET', replicas, '*', own['*'])
  end
  entries = call('ZRANGE', leases, 0, -1, 'WITHSCORES')
end
-- Nobody else need know how this one lives for it to say when it last beat.
local numbers = ARGV[5] .. ' ' .. ARGV[6] .. ' '
own[replica] = own[replica] or numbers
for i = 1, #entries, 2 do
  local name, deadline = entries[i], math.min(tonumber(entries[i + 1]), 2 ^ 53)
  names[#names + 1] = name
  deadlines[name] = deadline
  strangers = strangers or not string.match(own[name] or '', '^%d+ %d+ %w*$')
  if deadline > LATE then
    local itsLease, itsHeartbeat
    if own[name] then
      itsLease, itsHeartbeat = string.match(own[name], '^(%d+) (%d+)')
    else
      itsLease, itsHeartbeat = string.match(theirs or '', '^lease (%d+) ms, heartbeat (%d+) ms')
      elders = elders or deadline > now
    end
    if itsLease then
      if own[name] then
        beaten = math.max(beaten, deadline - itsLease)
      else
        elderBeaten = math.max(elderBeaten, deadline - itsLease)
      end
      shortest = math.min(shortest, itsHeartbeat)
      longest = math.max(longest, itsLease)
      if tonumber(itsHeartbeat) > heartbeat then longer[#longer + 1] = name end
    end
  end
end

if (tonumber(string.match(theirs or '', '^format (%d+)')) or 0) > 2 then
  if strangers then return { 'SHARED', theirs } end
  -- Nobody is there who wrote it.
  theirs = format
  call('SET', common, format)
end
if mode == 'claim' and theirs ~= first and theirs ~= format then
  if theirs then
    local ofElders = string.match(theirs, '^lease .* partitions (%d+)$') == ARGV[8]
    if ofElders and elders or not ofElders and #names > 0 then return { 'SHARED', theirs } end
  end
  call('SET', common, theirs and format or first)
end

-- All beat at the shortest heartbeat. When nobody has for two of them, Redis or the network was away, or its clock
-- went forward; when the last beat is in the future, its clock went back; in a new history later beats may be lost. None
-- is anybody's death, so all deadlines move by that time.
if beaten == LATE then beaten = elderBeaten end
local history = string.match(call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local isNew = own[''] and string.match(own[''], '^%w*') ~= history
local silence = now - beaten
if beaten > LATE and (silence < 0 or silence > 2 * shortest or isNew) then
  for _, name in ipairs(names) do deadlines[name] = tonumber(call('ZINCRBY', leases, silence, name)) end
end

if mode == 'beat' and (deadlines[replica] or LATE) == LATE then return { 'LEASE' } end

-- Somebody has deleted it.
if mode == 'beat' and not theirs and not strangers then call('SET', common, format) end

for i = 11, #ARGV do call('HDEL', evicted, ARGV[i]) end

-- Who has a lease and no index has lost it to somebody who deleted it, and nobody knows what else it had.
local isWhole = last or ARGV[10] == '1' or not deadlines[replica]
local connections = isWhole and call('HLEN', index) - call('HEXISTS', index, '')

local epoch = string.match(call('HGET', versions, '') or '', '^(%S+) %d+$')
if not epoch then
  epoch = ARGV[4]
  call('HSET', versions, '', epoch .. ' 0')
end

if mode == 'leave' then
  if connections == 0 and last then
    call('DEL', index, evicted)
    call('ZREM', leases, replica)
    call('HDEL', replicas, replica)
    if keyIndex then redis.pcall('ZREM', keyIndex, '0:' .. replica) end
    if call('EXISTS', leases) == 0 then call('DEL', replicas, keyIndex or replicas) end
  end
  return { 'OK', epoch, history, connections, {}, {}, shortest, longest }
end

-- A data set that was loaded, or taken over, may show who has left since. In each history a replica is doubted until it
-- has gone through what there is of it.
local function settledIn(name) return string.match(own[name], '^%d+ %d+ (%w*)$') end
local isSettled = connections == 0 or ARGV[7] == history or own[replica] and settledIn(replica) == history
own[replica] = numbers .. (isSettled and history or '')
if not deadlines[replica] then names[#names + 1] = replica end
deadlines[replica] = now + lease

call('ZADD', leases, now + lease, replica)
if isWhole then call('HSET', index, '', ARGV[3]) end
-- Of who has nothing here, all will be in it. If somebody deletes it, nobody says so of what it no longer has.
if keyIndex and connections == 0 then redis.pcall('ZADD', keyIndex, 0, '0:' .. replica) end
call('HSET', replicas, replica, own[replica])

local doubted = history
for _, name in ipairs(names) do
  if deadlines[name] <= now and deadlines[name] > LATE then call('ZADD', leases, '-inf', name) end
  if own[name] and settledIn(name) ~= history then doubted = doubted .. ' ' .. name end
end
if own[''] ~= doubted then call('HSET', replicas, '', doubted) end
for name in pairs(own) do
  if name ~= '' and not deadlines[name] then call('HDEL', replicas, name) end
end

-- They hear of the shorter heartbeat with their next beat; better at once.
if mode == 'claim' and shortest == heartbeat then
  for _, name in ipairs(longer) do call('PUBLISH', ARGV[9] .. name, '') end
end

local late = call('ZRANGEBYSCORE', leases, '-inf', '-inf', 'LIMIT', 0, 100)
return { 'OK', epoch, history, connections, late, call('HRANDFIELD', evicted, 1000), shortest, longest }
`
