-- What several scripts share. It is put before each of them.
--
-- Elements' values are never written by cjson, which would turn [] into {} and round numbers: they are passed on as the text they
-- came in. Keys and channels are all arguments; no script builds one.

-- A whole number as text; tostring would write large ones with an exponent.
local function number(value)
  return string.format('%.0f', value)
end

-- The registry's time in microseconds.
local function moment()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- The same in whole milliseconds.
local function milliseconds(moment)
  return math.floor(moment / 1000)
end

-- A hash as a table, and as the flat list that a reader gets.
local function read_hash(key)
  local fields, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields, flat
end

-- One element's share in its collection's digest: the first 48 bits of SHA-1 over key NUL text.
local function share(key, text)
  return tonumber(string.sub(redis.sha1hex(key .. '\0' .. text), 1, 12), 16)
end

local DIGEST_MODULUS = 2 ^ 48

-- `Collection::ALL` says the same.
local COLLECTIONS = {
  'pools',
  'servers',
  'health',
  'holds',
  'routes',
  'listeners',
  'networks',
  'certificates',
  'limits',
  'secrets',
}

-- The keys of the collections, by name; they come in that order from KEYS[first] on.
local function collections_from(first)
  local keys = {}
  for i, name in ipairs(COLLECTIONS) do
    keys[name] = KEYS[first + i - 1]
  end
  return keys
end

-- Whether people or sources write it, and the history tells of it, which shows what it was.
local function is_desired(collection)
  return collection ~= 'health' and collection ~= 'secrets'
end

-- What other hands did to a key, of which a commit would be made in half or not at all, and what helps.
local function damaged(key, fault)
  return redis.error_reply('DAMAGED ' .. key .. ' ' .. fault .. ': other hands wrote it; rename or delete that key')
end

local TYPES = { XLEN = 'stream', HLEN = 'hash', GET = 'string' }

-- Whether a key that is there has another type than the command reads. Every user who writes may run XLEN, HLEN and GET.
local function wrong_type(command, keys)
  for _, key in ipairs(keys) do
    local answer = redis.pcall(command, key)
    if type(answer) == 'table' and answer.err then
      local is_type = string.find(answer.err, 'WRONGTYPE', 1, true)
      return is_type and damaged(key, 'is no ' .. TYPES[command]) or answer
    end
  end
end

-- A user who lacks a right learns it before anything is written, not halfway. Redis before 7 cannot be asked.
local function missing_right(commands)
  for _, command in ipairs(commands) do
    if redis.acl_check_cmd and not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM this user may not run ' .. command[1] .. ' on ' .. command[2])
    end
  end
end

-- Says beside the reports since which revision the registry remembers them, where that is not said: at the seed, and at the first
-- commit after the key was evicted, which adds its time in milliseconds. Of what other hands made of the key, those who read it speak.
local function mark_instances(instances_key, mark)
  if redis.pcall('HEXISTS', instances_key, 'since') == 0 then
    redis.call('HSET', instances_key, 'since', mark)
  end
end

-- Who holds the lease, and for how many milliseconds it was taken, where that is known: an older version wrote the holder alone.
local function read_lease(lease_key)
  local holder, lifetime = string.match(redis.call('GET', lease_key) or '', '^(%S+) ?(%d*)$')
  return holder, tonumber(lifetime)
end

local function hold_lease(lease_key, instance, lifetime)
  redis.call('SET', lease_key, instance .. ' ' .. lifetime, 'PX', lifetime)
end
