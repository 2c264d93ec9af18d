#!lua flags=no-writes
-- A topic as it stands, in one step if it is small.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms
-- KEYS[2]  v: versions, a hash of topic -> "version tag" and '' -> "epoch floor"
-- KEYS[3]  m: members, a hash of connection -> "joined version revision meta\nkey"
--
-- ARGV[1]  topic
-- ARGV[2]  up to how many members are read here; more are left to HSCAN, which does not hold Redis up
--
-- Answers {"epoch floor" or false, "version tag" or false, the replicas in l, how many members, and when that is not
-- over ARGV[2] a list of connection and member by turns}.

local size = redis.call('HLEN', KEYS[3])
return {
  redis.call('HGET', KEYS[2], ''),
  redis.call('HGET', KEYS[2], ARGV[1]),
  redis.call('ZRANGE', KEYS[1], 0, -1),
  size,
  size <= tonumber(ARGV[2]) and redis.call('HGETALL', KEYS[3]) or false
}
