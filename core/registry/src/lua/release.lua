-- Gives the lease back, if it is still held, and publishes the head, which names no leader then: whoever stands by need not wait to ask.

local head_key, lease_key = KEYS[1], KEYS[2]
local instance, term, channel = ARGV[1], ARGV[2], ARGV[3]

local other_type = wrong_type('HLEN', { head_key }) or wrong_type('GET', { lease_key })
if other_type then
  return other_type
end
local head = read_hash(head_key)
if head.leader ~= instance or head.term ~= term then
  return 0
end
if read_lease(lease_key) == instance then
  redis.call('DEL', lease_key)
end
redis.call('HDEL', head_key, 'leader')
local _, flat = read_hash(head_key)
redis.call('PUBLISH', channel, '{"heartbeat":' .. cjson.encode(flat) .. '}')
return 1
