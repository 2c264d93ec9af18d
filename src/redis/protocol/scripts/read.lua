#!lua flags=no-writes
-- A topic as it stands, in one step if it is small.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline in ms
-- KEYS[2]  v: versions, a hash of topic -> "version tag" and '' -> "epoch floor"
-- KEYS[3]  m: members, a hash of connection -> "joined revision meta\nkey"
--
-- ARGV[1]  topic
-- ARGV[2]  up to how many members are read here; more are left to HSCAN, which does not hold Redis up
-- ARGV[3]  "follow" by who follows the topic, which is then told the history
--
-- Answers {"epoch floor" or false, "version tag" or false, history, the replicas in l, how many members, and when that
-- is not over ARGV[2] a list of connection and member by turns}. `history` is another after each restart and each
-- fail-over, which may have lost the last writes.

local history = ''
if ARGV[3] == 'follow' then
  history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
end

local size = redis.call('HLEN', KEYS[3])
return {
  redis.call('HGET', KEYS[2], ''),
  redis.call('HGET', KEYS[2], ARGV[1]),
  history,
  redis.call('ZRANGE', KEYS[1], 0, -1),
  size,
  size <= tonumber(ARGV[2]) and redis.call('HGETALL', KEYS[3]) or false
}
