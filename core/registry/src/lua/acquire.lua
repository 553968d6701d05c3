-- Takes the lease where nobody else holds it, and increments the term. Answers with the head, or with nothing.
-- Who asks again, since the answer was lost, gets a term of its own: what it did in the former one is refused from then on.

local head_key, lease_key = KEYS[1], KEYS[2]
local instance, lifetime = ARGV[1], ARGV[2]

local other_type = wrong_type('HLEN', { head_key }) or wrong_type('GET', { lease_key })
if other_type then
  return other_type
end
-- Also who stands by learns now that it could not lead, and not when it would have to.
local missing = missing_right({ { 'SET', lease_key, instance, 'PX', lifetime }, { 'HSET', head_key, 'term', '0' } })
if missing then
  return missing
end

local head = read_hash(head_key)
local holder, held_for = read_lease(lease_key)
if not head.epoch then
  return {}
end
if holder and holder ~= instance then
  -- Longer than it was taken for: the clock was set back since then. Its rest counts from now.
  local rest = redis.call('PTTL', lease_key)
  if rest < 0 or (held_for and rest > held_for) then
    redis.call('PEXPIRE', lease_key, held_for or lifetime)
  end
  return {}
end
hold_lease(lease_key, instance, lifetime)
redis.call('HSET', head_key, 'term', number(tonumber(head.term) + 1), 'leader', instance)
return redis.call('HGETALL', head_key)
