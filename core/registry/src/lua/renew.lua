-- Renews the lease and publishes the head as the heartbeat. Answers with the head, or with nothing where it is no longer held.

local head_key, lease_key = KEYS[1], KEYS[2]
local instance, term, lifetime, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local other_type = wrong_type('HLEN', { head_key }) or wrong_type('GET', { lease_key })
if other_type then
  return other_type
end
local head, flat = read_hash(head_key)
if read_lease(lease_key) ~= instance or head.leader ~= instance or head.term ~= term then
  return {}
end
hold_lease(lease_key, instance, lifetime)
redis.call('PUBLISH', channel, '{"heartbeat":' .. cjson.encode(flat) .. '}')
return flat
