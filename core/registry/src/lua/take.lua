-- Takes tokens from the buckets of limits (GCRA): KEYS are the buckets, and for each of them ARGV has the time in which it is given
-- one token, in microseconds, the tokens of a full one, those that were spent already, and those that are wanted on top.
-- Answers with a granted number and the level that is left for each, both as text: Redis would cut the latter.
--
-- `Buckets` in bucket.rs does the same. What other hands put in a bucket's place counts as a full one.

local now = moment()

local function stored(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'table' or not value.err or string.find(value.err, 'WRONGTYPE', 1, true) then
    local full_at = tonumber(value or '')
    -- What is not equal to itself is no number (nan).
    return full_at == full_at and full_at or now
  end
  return nil, value
end

local answers = {}
for i, key in ipairs(KEYS) do
  local interval, capacity = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local spent, wanted = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local full_at, refused = stored(key)
  if refused then
    return refused
  end
  full_at = math.max(full_at, now)
  full_at = math.min(full_at + spent * interval, now + 2 * capacity * interval)
  local level = capacity - (full_at - now) / interval
  local granted = math.max(0, math.min(wanted, math.floor(level)))
  full_at = full_at + granted * interval
  if full_at > now then
    -- A bucket that expires is a full one.
    local left = math.ceil((full_at - now) / 1000) + 1
    redis.call('SET', key, string.format('%.3f', full_at), 'PX', number(left))
  end
  answers[#answers + 1] = number(granted)
  answers[#answers + 1] = string.format('%.6f', level - granted)
end
return answers
