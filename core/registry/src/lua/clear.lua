-- Removes what an instance or a server said of itself, for a leader that still leads, and announces it where a channel is given.
-- `store/reports.rs` says the same.

local head_key, hash = KEYS[1], KEYS[2]
local instance, term, epoch, field, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local other_type = wrong_type('HLEN', { head_key, hash })
if other_type then
  return other_type
end
local head = read_hash(head_key)
if not head.epoch then
  return { 'uninitialised' }
end
if head.epoch ~= epoch then
  return { 'other epoch', head.epoch }
end
if head.leader ~= instance or head.term ~= term then
  return { 'not leading', head.term, head.leader or '' }
end
local missing = missing_right({
  { 'HDEL', hash, field },
  channel ~= '' and { 'PUBLISH', channel, field } or nil,
})
if missing then
  return missing
end
local known = redis.call('HDEL', hash, field)
if channel ~= '' then
  redis.call('PUBLISH', channel, field)
end
return { 'cleared', number(known) }
