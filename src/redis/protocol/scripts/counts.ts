export const COUNTS = String.raw`#!lua flags=no-writes
-- How many keys and connections topics of one partition have.
--
-- KEYS  of each topic
--   k: keys, a hash of key -> connections between spaces
--   m: members, a hash of connection -> "joined revision meta\nkey"
--
-- Answers the two numbers of each topic by turns.

local counts = {}
for i, key in ipairs(KEYS) do counts[i] = redis.call('HLEN', key) end
return counts
`
