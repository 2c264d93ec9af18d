export const HAVING = String.raw`#!lua flags=no-writes
-- On which topics of one partition a key is.
--
-- KEYS  of each topic, k: keys, a hash of key -> connections between spaces
--
-- ARGV[1]  key
--
-- Answers the numbers of those topics, counted from 0.

local found = {}
for i, keys in ipairs(KEYS) do
  if redis.call('HEXISTS', keys, ARGV[1]) == 1 then found[#found + 1] = i - 1 end
end
return found
`
