#!lua
-- Joins, updates and leaves of one replica's connections, in topics of one partition, in one step.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms
-- KEYS[2]  v: versions, a hash of topic -> "version tag" and '' -> "epoch floor"
-- KEYS[3]  i: the replica's index, a hash of "seq:topic" -> '' and '' -> last write number
-- KEYS[4]  x: the replica's evicted connections, a hash of "seq:topic" -> ''
-- then for each topic
--   m: members, a hash of connection -> "joined revision meta\nkey"
--   k: keys, a hash of key -> connections between spaces
--
-- ARGV[1]  mode: "own" by the replica itself, "reap" of one that is late, "evict" by anybody
-- ARGV[2]  replica, the owner of every connection here
-- ARGV[3]  write number, in mode own
-- ARGV[4]  tag, unique for each call; it becomes the epoch if there is none
-- ARGV[5]  what a topic's channel begins with
-- ARGV[6]  how many topics; their names follow
-- then the operations, each of them
--   "+" topic number, seq, revision, key, meta: joins when absent, updates when the revision is higher
--   "-" topic number, seq, reason (r, e, v, l): leaves when present
--
-- Answers {"OK", epoch, changed, emptied, versions of the topics, the operations that x forbade, counted from 0}, where
-- `changed` counts what was written and `emptied` is 1 when the reaped replica has nothing left and is forgotten.
-- Or, with nothing written: {"LEASE"} not in l or late, {"STALE"} a higher number was seen, {"ALIVE"} in time.

-- Of each kind of thing there is one command for the whole call where that can be: a command from here costs about a
-- microsecond, whatever it does.

local mode, replica, tag, channel = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local leases, versions, index, evicted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local deadline = tonumber(redis.call('ZSCORE', leases, replica) or 0)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- What is to be set in the index and in the versions at the end.
local indexing, versioning = {}, {}

if mode == 'own' then
  if deadline <= now then return { 'LEASE' } end
  if tonumber(ARGV[3]) <= tonumber(redis.call('HGET', index, '') or 0) then return { 'STALE' } end
  indexing = { '', ARGV[3] }
elseif mode == 'reap' and deadline > now then
  return { 'ALIVE' }
end

local count = tonumber(ARGV[6])
local heads = redis.call('HMGET', versions, '', unpack(ARGV, 7, 6 + count))
local epoch, floor
if heads[1] then
  epoch, floor = string.match(heads[1], '^(%S+) (%d+)$')
  floor = tonumber(floor)
else
  epoch, floor = tag, 0
end

-- Each topic as this call finds it.
local topics = {}
for number = 1, count do
  local topic = { name = ARGV[6 + number], members = KEYS[3 + 2 * number], keys = KEYS[4 + 2 * number], told = {} }
  local version = heads[1 + number]
  if version then
    local from, last = string.match(version, '^(%d+) (%S+)$')
    topic.from, topic.tag, topic.born = tonumber(from), last, '0'
  else
    topic.from, topic.tag, topic.born = floor, '', '1'
  end
  topic.to = topic.from + 1
  topics[number] = topic
end

local changed = 0
local forbidden = {}
local hasEvicted = redis.call('EXISTS', evicted) == 1

local function put(topic, seq, revision, key, meta)
  local connection = replica .. '.' .. seq
  local place = seq .. ':' .. topic.name
  local member = redis.call('HGET', topic.members, connection)
  local joined = topic.to
  if member then
    local was, known = string.match(member, '^(%d+) (%d+) ')
    if tonumber(revision) <= tonumber(known) then return true end
    joined = was
  elseif hasEvicted and redis.call('HEXISTS', evicted, place) == 1 then
    return false
  else
    indexing[#indexing + 1] = place
    indexing[#indexing + 1] = ''
    -- Most keys have one connection.
    if redis.call('HSETNX', topic.keys, key, ' ' .. connection .. ' ') == 0 then
      redis.call('HSET', topic.keys, key, redis.call('HGET', topic.keys, key) .. connection .. ' ')
    end
  end
  redis.call('HSET', topic.members, connection,
    joined .. ' ' .. revision .. ' ' .. meta .. '\n' .. key)
  local told = topic.told
  told[#told + 1] = '"+","' .. connection .. '",' .. revision .. ',' .. cjson.encode(key) .. ',' .. meta
  changed = changed + 1
  return true
end

local function remove(topic, seq, reason)
  local connection = replica .. '.' .. seq
  local place = seq .. ':' .. topic.name
  -- Also without a member: an entry of the index that leads nowhere would keep a reaped replica for ever.
  local indexed = redis.call('HDEL', index, place)
  local member = redis.call('HGET', topic.members, connection)
  if not member then
    changed = changed + indexed
    return
  end
  redis.call('HDEL', topic.members, connection)
  local key = string.sub(member, string.find(member, '\n', 1, true) + 1)
  local others = redis.call('HGET', topic.keys, key) or ' '
  local first, last = string.find(others, ' ' .. connection .. ' ', 1, true)
  if first then others = string.sub(others, 1, first) .. string.sub(others, last + 1) end
  if others == ' ' then
    redis.call('HDEL', topic.keys, key)
  else
    redis.call('HSET', topic.keys, key, others)
  end
  if mode == 'evict' then
    redis.call('HSET', evicted, place, '')
    redis.call('EXPIRE', evicted, 3600)
  end
  topic.shrank = true
  local told = topic.told
  told[#told + 1] = '"-","' .. connection .. '","' .. reason .. '"'
  changed = changed + 1
end

local i, operation = 7 + count, 0
while ARGV[i] do
  local topic = topics[tonumber(ARGV[i + 1])]
  if ARGV[i] == '+' then
    if not put(topic, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]) then
      forbidden[#forbidden + 1] = operation
    end
    i = i + 6
  else
    remove(topic, ARGV[i + 2], ARGV[i + 3])
    i = i + 4
  end
  operation = operation + 1
end

-- Each topic that changed: one version, one message. Of one that emptied only the floor remains, which never goes
-- back, so a topic that comes again goes on above it.
local answer = {}
local top = floor
for number = 1, count do
  local topic = topics[number]
  if #topic.told == 0 then
    answer[number] = topic.from
  else
    answer[number] = topic.to
    if topic.shrank and redis.call('EXISTS', topic.members) == 0 then
      redis.call('HDEL', versions, topic.name)
      if topic.to > top then top = topic.to end
    else
      versioning[#versioning + 1] = topic.name
      versioning[#versioning + 1] = topic.to .. ' ' .. tag
    end
    redis.call('PUBLISH', channel .. topic.name,
      '["' .. epoch .. '",' .. topic.from .. ',"' .. topic.tag .. '",' .. topic.to .. ',"' .. tag .. '",' .. topic.born
      .. ',' .. table.concat(topic.told, ',') .. ']')
  end
end
if not heads[1] or top > floor then
  versioning[#versioning + 1] = ''
  versioning[#versioning + 1] = epoch .. ' ' .. top
end
if #versioning > 0 then redis.call('HSET', versions, unpack(versioning)) end
if #indexing > 0 then redis.call('HSET', index, unpack(indexing)) end

local emptied = 0
if mode == 'reap' and redis.call('HLEN', index) <= redis.call('HEXISTS', index, '') then
  redis.call('DEL', index)
  redis.call('ZREM', leases, replica)
  emptied = 1
end

return { 'OK', epoch, changed, emptied, answer, forbidden }
