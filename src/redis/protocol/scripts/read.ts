export const READ = String.raw`#!lua flags=no-writes
-- A topic as it stands, in one step if it is small.
--
-- KEYS[1]  l: leases, a zset of replica -> deadline
-- KEYS[2]  v: versions, a hash of topic -> "version tag" and '' -> "epoch floor"
-- KEYS[3]  m: members, a hash of connection -> "joined revision meta\nkey"
-- KEYS[4]  r: replicas, a hash of replica -> "lease heartbeat history" and '' -> "history doubted doubted ..."
--
-- ARGV[1]  topic
-- ARGV[2]  up to how many members are read here; more are left to HSCAN, which does not hold Redis up
-- ARGV[3]  "follow" by who follows the topic, which is then told the history
--
-- Answers {"epoch floor" or false, "version tag" or false, history, the replicas in l, how many members, when that is
-- not over ARGV[2] a list of connection and member by turns, else false, the replicas that are doubted}. 'history' is
-- another after each restart and each fail-over, which may have lost the last writes. A replica is doubted in a history
-- until it has gone through what there is of it: some of its members may have left before, as others were told.

local replicas = redis.call('ZRANGE', KEYS[1], 0, -1)
local doubted = {}
for word in string.gmatch(redis.call('HGET', KEYS[4], '') or '', '%S+') do doubted[#doubted + 1] = word end
local known = table.remove(doubted, 1)

local history = ''
if ARGV[3] == 'follow' then
  history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
  -- Nobody has beaten yet in this one; l may be lost.
  if known and known ~= history then
    doubted = {}
    for _, replica in ipairs(redis.call('HKEYS', KEYS[4])) do
      if replica ~= '' then doubted[#doubted + 1] = replica end
    end
  end
end

local size = redis.call('HLEN', KEYS[3])
return {
  redis.call('HGET', KEYS[2], ''),
  redis.call('HGET', KEYS[2], ARGV[1]),
  history,
  replicas,
  size,
  size <= tonumber(ARGV[2]) and redis.call('HGETALL', KEYS[3]) or false,
  doubted
}
`
