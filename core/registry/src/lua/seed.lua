-- Makes the head with every element of a snapshot. Does nothing where a head exists. What a lost head left behind is cleared
-- away, but for the history. `store/seed.rs` says the same.

local head_key, log_key, instances_key = KEYS[1], KEYS[2], KEYS[3]
local elements_of = collections_from(6)
local channel, epoch, revision, id, desired, origin = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
-- The collections of a newer version: their names, and their keys after those that are always there.
local others, first_other = tonumber(ARGV[7]), 6 + #COLLECTIONS
for i = 1, others do
  elements_of[ARGV[7 + i]] = KEYS[first_other + i - 1]
end

if redis.call('EXISTS', head_key) == 1 then
  return 0
end
local missing = missing_right({
  { 'DEL', log_key },
  { 'HSET', head_key, 'revision', '0' },
  { 'HSET', instances_key, 'since', '' },
  { 'XADD', log_key, '*', 'delta', '' },
  { 'PUBLISH', channel, '' },
})
if missing then
  return missing
end

for i = 2, #KEYS do
  if KEYS[i] ~= instances_key then
    redis.call('DEL', KEYS[i])
  end
end
local counts, sums = {}, {}
for collection in pairs(elements_of) do
  counts[collection], sums[collection] = 0, 0
end
for i = 8 + others, #ARGV, 3 do
  local collection, key, text = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('HSET', elements_of[collection], key, text)
  counts[collection] = counts[collection] + 1
  sums[collection] = (sums[collection] + share(key, text)) % DIGEST_MODULUS
end
redis.call('HSET', head_key, 'epoch', epoch, 'revision', revision, 'id', id, 'desired', desired, 'term', '0')
for collection in pairs(elements_of) do
  redis.call('HSET', head_key, collection .. ':count', number(counts[collection]), collection .. ':sum', number(sums[collection]))
end
mark_instances(instances_key, epoch .. ' ' .. revision)
redis.call('XADD', log_key, revision .. '-1', 'delta', origin)
redis.call('PUBLISH', channel, '{"delta":' .. origin .. '}')
return 1
