-- Stores what an instance or a server says of itself, stamped with the registry's time, and announces it where a channel is given.
-- Answers with that time.

local field, value, channel = ARGV[1], ARGV[2], ARGV[3]

local other_type = wrong_type('HLEN', { KEYS[1] })
if other_type then
  return other_type
end
local at = moment()
redis.call('HSET', KEYS[1], field, '{"time":' .. number(milliseconds(at)) .. ',"value":' .. value .. '}')
if channel ~= '' then
  redis.call('PUBLISH', channel, field)
end
return at
