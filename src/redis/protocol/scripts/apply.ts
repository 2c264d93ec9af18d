export const APPLY = String.raw`#!lua
-- Joins, updates and leaves of one replica's connections, in topics of one partition, in one step.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms, or -inf of one that was found late
-- KEYS[2]  v: versions, a hash of topic -> "version tag" and '' -> "epoch floor"
-- KEYS[3]  i: the replica's index, a hash of "seq:topic" -> '' and '' -> last write number
-- KEYS[4]  x: the replica's evicted connections, a hash of "seq:topic" -> ''
-- then for each topic
--   m: members, a hash of connection -> "joined revision meta\nkey"
--   k: keys, a hash of key -> connections between spaces
-- and last
--   o: the key index, a zset of "bytes:key" with the topic behind it, and "0:replica" of each that keeps it
--
-- ARGV[1]  mode: "own" by the replica itself, "reap" of one that was found late, "evict" by anybody
-- ARGV[2]  replica, the owner of every connection here
-- ARGV[3]  write number, in mode own
-- ARGV[4]  tag, unique for each call; it becomes the epoch if there is none
-- ARGV[5]  what a topic's channel begins with
-- ARGV[6]  how many topics; their names follow
-- then the operations, each of them
--   "+" topic number, seq, revision, key, meta: joins when absent, updates when the revision is higher, and else puts
--       back what belongs to it and somebody has deleted
--   "-" topic number, seq, reason (r, e, v, l): leaves when present
--
-- Answers {"OK", epoch, changed, emptied, versions of the topics, the operations that x forbade, lost, the operations
-- that a key of another type prevents}. The version of a topic on which nobody was and is, is 0. 'changed' counts what
-- was written; 'emptied' is 1 when the reaped replica has nothing left and is forgotten; 'lost' has in mode reap by turns
-- the operations that ended a member, and the member.
-- Operations are counted from 0.
-- Or, with nothing written: {"LEASE"} not in l or found late, {"STALE"} a higher number was seen, {"ALIVE"} not found
-- late. Only a heartbeat finds somebody late; no clock is asked here, which may step between the two.

-- Of each kind of thing there is one command for the whole call where that can be: a command from here costs a quarter
-- of a microsecond and more. Versions stay text: to make one of a number costs as much.

-- Anybody may have written anything here by mistake. Of what cannot be read the script goes on as if it were not there,
-- and a key of another type spoils its own topic only: a script that fails half-way leaves half of what it wrote.
-- It fails where the user loses the right to a command. What it left is made whole when the call is said again: members
-- come first and the index last, so who is in one of them only is one whom no follower may have heard of.

local call = redis.call
local mode, replica, tag, channel = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local leases, versions, index, evicted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Of a key of another type the answer is an error; whatever else fails ends the script.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and not string.find(reply.err, '^WRONGTYPE') then error(reply) end
  return reply
end

local function isError(reply) return type(reply) == 'table' end

local isIn = tonumber(call('ZSCORE', leases, replica) or '-inf') > -math.huge

-- What is to be set in the index and in the versions at the end, what is to be taken out of them, keys of topics that
-- emptied, and by a topic's number what is to be set in its members.
local indexing, versioning, unindexing, unversioning, emptying, updating = {}, {}, {}, {}, {}, {}

local last = call('HGET', index, '')
if mode == 'own' then
  if not isIn then return { 'LEASE' } end
  if tonumber(ARGV[3]) <= (tonumber(last or 0) or 0) then return { 'STALE' } end
  -- Of an index that somebody deleted it stays away until a heartbeat counts what is missing: whoever reaps looks for it.
  if last then indexing = { '', ARGV[3] } end
elseif mode == 'reap' and isIn then
  return { 'ALIVE' }
end

local count = tonumber(ARGV[6])
local heads = call('HMGET', versions, '', unpack(ARGV, 7, 6 + count))
local epoch, floor = string.match(heads[1] or '', '^(%S+) (%d+)$')
local isFirst = not epoch
if isFirst then epoch, floor = tag, '0' end

-- Of each topic, by its number: where this call finds it, where it leads, and what there is to tell of it.
local from, fromTag, to, told, shrank, unversioned, untold = {}, {}, {}, {}, {}, {}, {}
for number = 1, count do
  local version = heads[1 + number]
  if version then from[number], fromTag[number] = string.match(version, '^(%d+) (%S+)$') end
  if not from[number] then from[number], fromTag[number] = floor, '' end
  to[number] = string.format('%d', from[number] + 1)
end

local changed = 0
local forbidden, lost, prevented = {}, {}, {}
local hasEvicted = call('HLEN', evicted) > 0

-- Whoever keeps the key index says so in it, before it has any connection here. All take out of it who is gone.
local keyIndex = KEYS[5 + 2 * count]
local hasKeyIndex = call('EXISTS', keyIndex) == 1
local score = hasKeyIndex and try('ZSCORE', keyIndex, '0:' .. replica)
hasKeyIndex = hasKeyIndex and not isError(score)
local keepsKeyIndex = hasKeyIndex and score
local arrived = {}

local function whereabouts(topic, key) return #key .. ':' .. key .. ARGV[6 + topic] end

local function tell(topic, text)
  local texts = told[topic]
  if texts then texts[#texts + 1] = text else told[topic] = { text } end
  changed = changed + 1
end

-- The version is told to nobody, nor what changes with it where followers may lack who is restored: they compare it soon.
local function restore(topic, connection, key, place)
  local keys = KEYS[4 + 2 * topic]
  if call('HEXISTS', index, place) == 0 then
    indexing[#indexing + 1] = place
    indexing[#indexing + 1] = ''
    untold[topic] = true
  end
  local others = try('HGET', keys, key) or ' '
  if not isError(others) and not string.find(others, ' ' .. connection .. ' ', 1, true) then
    call('HSET', keys, key, others .. connection .. ' ')
  end
  if keepsKeyIndex then arrived[whereabouts(topic, key)] = true end
  unversioned[topic] = fromTag[topic] == '' or untold[topic]
end

-- Adds the operation to a list when it does not carry it out.
local function put(operation, topic, seq, revision, key, meta)
  local connection = replica .. '.' .. seq
  local place = seq .. ':' .. ARGV[6 + topic]
  if hasEvicted and call('HEXISTS', evicted, place) == 1 then
    forbidden[#forbidden + 1] = operation
    return
  end
  local members, keys = KEYS[3 + 2 * topic], KEYS[4 + 2 * topic]
  local said = ' ' .. revision .. ' ' .. meta .. '\n' .. key
  -- Most keys have one connection.
  local isNew = try('HSETNX', members, connection, to[topic] .. said)
  local isFirstOfKey = isNew == 1 and try('HSETNX', keys, key, ' ' .. connection .. ' ')
  if isError(isNew) or isError(isFirstOfKey) then
    if isNew == 1 then call('HDEL', members, connection) end
    prevented[#prevented + 1] = operation
    return
  end
  if isNew == 1 then
    indexing[#indexing + 1] = place
    indexing[#indexing + 1] = ''
    -- Not the first of a key only: that one may be of a replica that keeps no key index.
    if keepsKeyIndex then arrived[whereabouts(topic, key)] = true end
    if isFirstOfKey == 0 then
      call('HSET', keys, key, call('HGET', keys, key) .. connection .. ' ')
    end
  else
    local joined, known = string.match(call('HGET', members, connection), '^(%d+) (%d+) ')
    if known and tonumber(revision) <= tonumber(known) then return restore(topic, connection, key, place) end
    local updates = updating[topic] or {}
    updating[topic] = updates
    updates[#updates + 1] = connection
    updates[#updates + 1] = (joined or to[topic]) .. said
  end
  tell(topic, '"+","' .. connection .. '",' .. revision .. ',' .. cjson.encode(key) .. ',' .. meta)
end

local function remove(topic, seq, reason, operation)
  local connection = replica .. '.' .. seq
  local place = seq .. ':' .. ARGV[6 + topic]
  local members, keys = KEYS[3 + 2 * topic], KEYS[4 + 2 * topic]
  local member = try('HGET', members, connection)
  if isError(member) then member = false end
  -- Of a member that somebody deleted too: who follows the topic shows it still.
  if not member and call('HEXISTS', index, place) == 0 then return end
  if mode == 'evict' then
    call('HSET', evicted, place, '')
    call('EXPIRE', evicted, 3600)
  elseif mode == 'reap' and member then
    lost[#lost + 1] = operation
    lost[#lost + 1] = member
  end
  unindexing[#unindexing + 1] = place
  if member then
    local key = string.sub(member, (string.find(member, '\n') or #member) + 1)
    local others = try('HGET', keys, key) or ' '
    if not isError(others) then
      local first, last = string.find(others, ' ' .. connection .. ' ', 1, true)
      if first then others = string.sub(others, 1, first) .. string.sub(others, last + 1) end
      if others == ' ' then
        if hasKeyIndex then call('ZREM', keyIndex, whereabouts(topic, key)) end
        call('HDEL', keys, key)
      else
        call('HSET', keys, key, others)
      end
    end
    call('HDEL', members, connection)
  end
  shrank[topic] = true
  tell(topic, '"-","' .. connection .. '","' .. reason .. '"')
end

local i, operation = 7 + count, 0
while ARGV[i] do
  local topic = tonumber(ARGV[i + 1])
  if ARGV[i] == '+' then
    put(operation, topic, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
    i = i + 6
  else
    remove(topic, ARGV[i + 2], ARGV[i + 3], operation)
    i = i + 4
  end
  operation = operation + 1
end

-- Each topic that changed: one version, one message. Of one that emptied only the floor remains, which never goes
-- back, so a topic that comes again goes on above it.
local answer = {}
local top = floor
for number = 1, count do
  local name, version = ARGV[6 + number], to[number]
  if not told[number] and not unversioned[number] then
    -- The floor may have risen since by other topics: no message leads there.
    answer[number] = fromTag[number] == '' and '0' or from[number]
  else
    answer[number] = version
    if shrank[number] and call('EXISTS', KEYS[3 + 2 * number]) == 0 then
      unversioning[#unversioning + 1] = name
      -- It names who was deleted from the members.
      emptying[#emptying + 1] = KEYS[4 + 2 * number]
      if tonumber(version) > tonumber(top) then top = version end
    else
      versioning[#versioning + 1] = name
      versioning[#versioning + 1] = version .. ' ' .. tag
    end
  end
end
if isFirst or top ~= floor then
  versioning[#versioning + 1] = ''
  versioning[#versioning + 1] = epoch .. ' ' .. top
end
for number = 1, count do
  if updating[number] then call('HSET', KEYS[3 + 2 * number], unpack(updating[number])) end
end
if #versioning > 0 then call('HSET', versions, unpack(versioning)) end
if #unversioning > 0 then
  call('HDEL', versions, unpack(unversioning))
  call('DEL', unpack(emptying))
end
if #indexing > 0 then call('HSET', index, unpack(indexing)) end
if #unindexing > 0 then call('HDEL', index, unpack(unindexing)) end
if next(arrived) then
  local adding = {}
  for where in pairs(arrived) do
    adding[#adding + 1] = 0
    adding[#adding + 1] = where
  end
  call('ZADD', keyIndex, unpack(adding))
end

-- An index that somebody deleted does not say what else there is: who has looked everywhere calls without operations.
local emptied = 0
local isWhole = mode == 'reap' and (operation == 0 or last)
if isWhole and call('HLEN', index) <= (last and 1 or 0) then
  call('DEL', index)
  if hasKeyIndex then call('ZREM', keyIndex, '0:' .. replica) end
  call('ZREM', leases, replica)
  emptied = 1
end

-- Last, as the user may have lost the right to it: then all is written, and who follows the topic compares its version.
for number = 1, count do
  if told[number] and not untold[number] then
    local born = fromTag[number] == '' and '1' or '0'
    call('PUBLISH', channel .. ARGV[6 + number],
      '["' .. epoch .. '",' .. from[number] .. ',"' .. fromTag[number] .. '",' .. to[number] .. ',"' .. tag .. '",' .. born
      .. ',' .. table.concat(told[number], ',') .. ']')
  end
end

return { 'OK', epoch, changed, emptied, answer, forbidden, lost, prevented }
`
