#!lua flags=allow-oom
-- A replica's heartbeat in one partition: keeps its lease, claims it (again), or gives it back.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms
-- KEYS[2]  v: versions, of which '' -> "epoch floor"
-- KEYS[3]  i: the replica's index, of which '' -> last write number
-- KEYS[4]  x: the replica's evicted connections, a hash of "seq:topic" -> ''
-- KEYS[5]  c: by what the first replica here lives, as text; all must have its number of partitions, and its form
-- KEYS[6]  d: by what each replica lives, a hash of replica -> "lease heartbeat" in ms
--
-- ARGV[1]  mode: "beat", "claim" or "leave"
-- ARGV[2]  replica
-- ARGV[3]  write number
-- ARGV[4]  tag, unique for each call; it becomes the epoch if there is none
-- ARGV[5]  lease in ms
-- ARGV[6]  heartbeat in ms
-- ARGV[7]  by what this replica lives, as text: "lease 15000 ms, heartbeat 5000 ms, partitions 1"
-- then the "seq:topic" of connections whose eviction the owner has seen
--
-- Answers {"OK", epoch, history, connections, late replicas, evicted connections}, of the last two the first 100 and
-- 1,000. `history` is another after each restart and each fail-over, which may have lost the last writes. Or, with nothing written: {"LEASE"} not in l or late, {"STALE"} a higher number was
-- seen, {"SHARED", theirs} a claim while others divide topics otherwise, or say it in a form that is not known here.
--
-- The clock of Redis may step, also by a fail-over to another host. No deadline stays further ahead than a lease: so
-- nobody who is dead stays for the step. What steps forward looks like silence of all, and is treated so.

local mode, replica, lease = ARGV[1], ARGV[2], tonumber(ARGV[5])
local leases, versions, index, evicted, shared, terms = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if tonumber(ARGV[3]) <= tonumber(redis.call('HGET', index, '') or 0) then return { 'STALE' } end

local replicas = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
local present, deadlines, known = {}, {}, {}
for i = 1, #replicas, 2 do
  present[replicas[i]] = true
  deadlines[replicas[i]] = tonumber(replicas[i + 1])
end
local said = redis.call('HGETALL', terms)
for i = 1, #said, 2 do known[said[i]] = said[i + 1] end

-- When anybody last beat, whether anybody is in time, and how often the slowest beats.
local lastBeat, anybody, slowest = nil, false, tonumber(ARGV[6])
for other, deadline in pairs(deadlines) do
  -- Of a replica that does not say by what it lives it is taken that it lives as this one does.
  local theirs, beats = string.match(known[other] or '', '^(%d+) (%d+)$')
  local furthest = now + (tonumber(theirs) or lease)
  anybody = anybody or deadline > now
  if deadline > furthest then
    -- It was written by another time, which says nothing of when that was.
    redis.call('ZADD', leases, furthest, other)
    deadlines[other] = nil
  else
    lastBeat = math.max(lastBeat or -math.huge, deadline - (tonumber(theirs) or lease))
  end
  slowest = math.max(slowest, tonumber(beats) or 0)
end

if mode == 'claim' then
  local form = '^lease %d+ ms, heartbeat %d+ ms, partitions (%d+)$'
  local theirs = redis.call('GET', shared)
  local partitions = theirs and string.match(theirs, form)
  local agree = theirs == ARGV[7] or (partitions and partitions == string.match(ARGV[7], form))
  if not agree then
    -- It is forgotten with the last replica that lives by it.
    if theirs and anybody then return { 'SHARED', theirs } end
    redis.call('SET', shared, ARGV[7])
  end
end

-- When all were silent, Redis or the network was away, or the clock has stepped: nobody's death, so all deadlines move on
-- by that time.
local silence = lastBeat and now - lastBeat or 0
if silence > 2 * slowest then
  for other in pairs(deadlines) do redis.call('ZINCRBY', leases, silence, other) end
end

local deadline = tonumber(redis.call('ZSCORE', leases, replica) or 0)
if mode == 'beat' and deadline <= now then return { 'LEASE' } end

for i = 8, #ARGV do redis.call('HDEL', evicted, ARGV[i]) end

local connections = redis.call('HLEN', index) - redis.call('HEXISTS', index, '')

local epoch
local head = redis.call('HGET', versions, '')
if head then
  epoch = string.match(head, '^%S+')
else
  epoch = ARGV[4]
  redis.call('HSET', versions, '', epoch .. ' 0')
end

local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''

if mode == 'leave' then
  if connections == 0 then
    redis.call('DEL', index, evicted)
    redis.call('ZREM', leases, replica)
    redis.call('HDEL', terms, replica)
  end
  return { 'OK', epoch, history, connections, {}, {} }
end

redis.call('ZADD', leases, now + lease, replica)
if mode == 'claim' then
  for other in pairs(known) do
    if not present[other] then redis.call('HDEL', terms, other) end
  end
  redis.call('HSET', terms, replica, ARGV[5] .. ' ' .. ARGV[6])
end
redis.call('HSET', index, '', ARGV[3])

local late = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)
return { 'OK', epoch, history, connections, late, redis.call('HRANDFIELD', evicted, 1000) }
