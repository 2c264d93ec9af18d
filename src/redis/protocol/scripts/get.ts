export const GET = String.raw`#!lua flags=no-writes
-- A key's connections in one topic, in one step: read one after the other a key could seem gone that never was.
--
-- KEYS[1]  k: keys, a hash of key -> connections between spaces
-- KEYS[2]  m: members, a hash of connection -> "joined revision meta\nkey"
-- KEYS[3]  r: replicas, of which '' -> "history doubted doubted ..."
--
-- ARGV[1]  key
--
-- Answers a list of connection and member by turns, in no order, without those of replicas that are doubted: they may
-- have left before Redis restarted or failed over.

local doubted = (redis.call('HGET', KEYS[3], '') or '') .. ' '
local found = {}
for connection in string.gmatch(redis.call('HGET', KEYS[1], ARGV[1]) or '', '%S+') do
  local member = redis.call('HGET', KEYS[2], connection)
  local replica = string.match(connection, '^(.*)%.')
  if member and not string.find(doubted, ' ' .. replica .. ' ', 1, true) then
    found[#found + 1] = connection
    found[#found + 1] = member
  end
end
return found
`
