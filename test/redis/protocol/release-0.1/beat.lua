#!lua flags=allow-oom
-- A replica's heartbeat in one partition: keeps its lease, claims it (again), or gives it back.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms
-- KEYS[2]  v: versions, of which '' -> "epoch floor"
-- KEYS[3]  i: the replica's index, of which '' -> last write number
-- KEYS[4]  x: the replica's evicted connections, a hash of "seq:topic" -> ''
-- KEYS[5]  c: what all replicas must have in common, as text
--
-- ARGV[1]  mode: "beat", "claim" or "leave"
-- ARGV[2]  replica
-- ARGV[3]  write number
-- ARGV[4]  tag, unique for each call; it becomes the epoch if there is none
-- ARGV[5]  lease in ms
-- ARGV[6]  heartbeat in ms
-- ARGV[7]  what all replicas must have in common
-- then the "seq:topic" of connections whose eviction the owner has seen
--
-- Answers {"OK", epoch, history, connections, late replicas, evicted connections}, of the last two the first 100 and
-- 1,000. `history` is another after each restart and each fail-over, which may have lost the last writes. Or, with nothing written: {"LEASE"} not in l or late, {"STALE"} a higher number was
-- seen, {"SHARED", theirs} a claim while others live by other settings.

local mode, replica, lease = ARGV[1], ARGV[2], tonumber(ARGV[5])
local leases, versions, index, evicted, shared = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if tonumber(ARGV[3]) <= tonumber(redis.call('HGET', index, '') or 0) then return { 'STALE' } end

local newest = tonumber(redis.call('ZREVRANGE', leases, 0, 0, 'WITHSCORES')[2] or 0)

if mode == 'claim' then
  local theirs = redis.call('GET', shared)
  if theirs ~= ARGV[7] then
    -- Settings are forgotten with the last replica that lives by them.
    if theirs and newest > now then return { 'SHARED', theirs } end
    redis.call('SET', shared, ARGV[7])
  end
end

-- The newest deadline tells when anybody last beat. When all were silent, Redis or the network was away: nobody's
-- death, so all deadlines move on by that time.
local silence = now - (newest - lease)
if newest > 0 and silence > 2 * tonumber(ARGV[6]) then
  for _, other in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    redis.call('ZINCRBY', leases, silence, other)
  end
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
  end
  return { 'OK', epoch, history, connections, {}, {} }
end

redis.call('ZADD', leases, now + lease, replica)
redis.call('HSET', index, '', ARGV[3])

local late = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 100)
return { 'OK', epoch, history, connections, late, redis.call('HRANDFIELD', evicted, 1000) }
