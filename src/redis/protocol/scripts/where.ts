export const WHERE = String.raw`#!lua flags=no-writes
-- On which topics of one partition a key may be, by the key index: a page of it.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline
-- KEYS[2]  o: the key index, a zset of "bytes:key" with the topic behind it, and "0:replica" of each that keeps it
--
-- ARGV[1]  key
-- ARGV[2]  the last topic of the page before; empty for none
-- ARGV[3]  topics of a page
--
-- Answers the topics, in order. Version 0.1 took nobody out, so the key may be gone from some. Or false, as long as
-- somebody has a lease who does not keep the index: then it does not have all.

for _, replica in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if not redis.call('ZSCORE', KEYS[2], '0:' .. replica) then return false end
end

-- Nothing that is written in UTF-8 has a byte of 255.
local key = #ARGV[1] .. ':' .. ARGV[1]
local topics = {}
for i, where in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '(' .. key .. ARGV[2], '(' .. key .. '\255', 'LIMIT', 0, ARGV[3])) do
  topics[i] = string.sub(where, #key + 1)
end
return topics
`
