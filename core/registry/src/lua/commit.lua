-- The commit: everything is checked, then everything is written, numbered, logged, published and answered.
-- `store/commit.rs` and `store/stage.rs` say the same, step for step; a change here is a change there.

local head_key, log_key, history_key, answers_key, registrations_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local instances_key = KEYS[6]
local elements_of = collections_from(7)

local channel, id, author, author_instance, author_term = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fence_instance, fence_term, fence_epoch = ARGV[6], ARGV[7], ARGV[8]
local epoch, expected, reason, idempotency_key, fingerprint = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local log_length, history_length = ARGV[14], ARGV[15]
local answer_lifetime, answers_max, answers_cleared = tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18])

local writes = {}
for i = 19, #ARGV, 7 do
  local write = { collection = ARGV[i], key = ARGV[i + 1], identity = ARGV[i + 4], seen = ARGV[i + 5],
    is_untold = ARGV[i + 6] == 'untold' }
  write.is_known = write.seen ~= '' and write.seen ~= 'nothing'
  if ARGV[i + 2] == 'put' then
    write.value = ARGV[i + 3]
  end
  table.insert(writes, write)
end

-- Checks -------------------------------------------------------------------------------------------------------------

local hashes = { head_key, answers_key, registrations_key }
for _, hash in pairs(elements_of) do
  table.insert(hashes, hash)
end
local other_type = wrong_type('HLEN', hashes) or wrong_type('XLEN', { log_key, history_key })
if other_type then
  return other_type
end

local head = read_hash(head_key)
if not head.epoch then
  return { 'uninitialised' }
end
for collection in pairs(elements_of) do
  for _, field in ipairs({ collection .. ':sum', collection .. ':count' }) do
    if head[field] and not tonumber(head[field]) then
      return damaged(head_key, 'holds no number in ' .. field)
    end
  end
end

-- The commit that the key came with first, and what stands for its request.
local function first_with_key()
  local first = idempotency_key ~= '' and redis.call('HGET', answers_key, 'key:' .. idempotency_key)
  return string.match(first or '', '^(%S+) ?(.*)$')
end

-- The answer that was given to this commit before. An empty fingerprint fits any.
local function earlier_answer()
  local first, sent_with = first_with_key()
  local kept = redis.call('HGET', answers_key, 'id:' .. (first or id))
  if kept then
    local fits = not first or fingerprint == '' or sent_with == '' or sent_with == fingerprint
    if not fits then
      return { 'key reused' }
    end
    local answer = cjson.decode(kept)
    answer[1] = 'replayed'
    return answer
  end
end

local earlier = earlier_answer()
if earlier then
  return earlier
end

local is_leader, is_fenced = author_instance ~= '', fence_instance ~= ''
local function leads(instance, term)
  return head.leader == instance and head.term == term
end
if (epoch ~= head.epoch and (epoch ~= '' or is_leader)) or (is_fenced and fence_epoch ~= head.epoch) then
  return { 'other epoch', head.epoch }
end
if (is_leader and not leads(author_instance, author_term)) or (is_fenced and not leads(fence_instance, fence_term)) then
  return { 'not leading', head.term, head.leader or '' }
end
if expected ~= '' and expected ~= head.desired then
  return { 'conflict', head.desired }
end

-- Whether an element exists once the commit is made.
local put = {}
for _, write in ipairs(writes) do
  put[write.collection .. ' ' .. write.key] = write.value ~= nil
end
local function exists(collection, key)
  local written = put[collection .. ' ' .. key]
  if written ~= nil then
    return written
  end
  return redis.call('HEXISTS', elements_of[collection], key) == 1
end

local function pool_of(key)
  return string.match(key, '^([^/]*)')
end

local function has_servers(pool)
  local prefix = pool .. '/'
  for _, key in ipairs(redis.call('HKEYS', elements_of.servers)) do
    if string.sub(key, 1, #prefix) == prefix and exists('servers', key) then
      return true
    end
  end
  return false
end

for _, write in ipairs(writes) do
  if (write.collection == 'servers' or write.collection == 'holds') and write.value then
    if not exists('pools', pool_of(write.key)) then
      return { 'invalid', write.key, 'the pool does not exist' }
    end
  elseif write.collection == 'pools' and not write.value and has_servers(write.key) then
    return { 'invalid', write.key, 'the pool still has servers' }
  end
end

local function is_count(value)
  return type(value) == 'number' and value >= 0 and value == math.floor(value)
end

-- What is stored of an element: its text, whether that is JSON, and its stamp where a commit wrote it.
local function stored(collection, key)
  local text = redis.call('HGET', elements_of[collection], key)
  if not text then
    return nil
  end
  local is_json, parsed = pcall(cjson.decode, text)
  local element = { text = text, is_json = is_json }
  if is_json and type(parsed) == 'table' and is_count(parsed.revision) and is_count(parsed.created)
    and is_count(parsed.ordinal) and is_count(parsed.incarnation) then
    element.stamp, element.value = parsed, parsed.value
  end
  return element
end

-- An element that is not what the author saw is not written over: perhaps the author cannot even read it. One without a stamp was
-- written by no commit, and is no loss.
local unseen = { 'unseen' }
for _, write in ipairs(writes) do
  local before = write.value and write.seen ~= '' and stored(write.collection, write.key)
  if before and before.stamp and redis.sha1hex(before.text) ~= write.seen then
    table.insert(unseen, write.collection)
    table.insert(unseen, write.key)
    table.insert(unseen, before.text)
  end
end
if #unseen > 1 then
  return unseen
end

local missing = missing_right({
  { 'HSET', head_key, 'revision', '0' },
  { 'HDEL', head_key, 'revision' },
  { 'HSET', instances_key, 'since', '' },
  { 'XADD', log_key, '*', 'delta', '' },
  { 'PUBLISH', channel, '' },
})
if missing then
  return missing
end

-- Staging ------------------------------------------------------------------------------------------------------------

local revision = number(tonumber(head.revision) + 1)
local steps, refused, renewed, created = {}, {}, {}, 0

-- The value's own JSON within a stored text.
local function value_text(text)
  local _, last = string.find(text, ',"value":', 1, true)
  if last and string.sub(text, -1) == '}' then
    return string.sub(text, last + 1, -2)
  end
end

local function wrap(old, value, moved)
  local incarnation, born, ordinal = revision, revision, created
  if old then
    born, ordinal = number(old.created), old.ordinal
    if not moved then
      incarnation = number(old.incarnation)
    end
  else
    created = created + 1
  end
  return '{"revision":' .. revision .. ',"created":' .. born .. ',"ordinal":' .. number(ordinal)
    .. ',"incarnation":' .. incarnation .. ',"value":' .. value .. '}'
end

-- Whether other hands took elements from a collection.
local function is_short(collection)
  return redis.call('HLEN', elements_of[collection]) < tonumber(head[collection .. ':count'] or 0)
end

-- Stages what a write makes of an element, unless that changes nothing that is known: of what other hands put there nobody has heard,
-- and where they took one, who still knows it has to learn that it is removed. `moved` gives an element that is there a new identity.
local function stage(collection, key, write, before, moved)
  local value = write.value
  if not before and not value and not write.is_known and not is_short(collection) then
    return
  end
  local old = before and before.stamp
  if old and value and value_text(before.text) == value and not write.is_untold then
    return
  end
  table.insert(steps, { collection = collection, key = key, before = before, after = value and wrap(old, value, moved) })
end

-- What removes an element that nobody asks about.
local removal = {}

local function is_at(server, address)
  return server and server.stamp and type(server.value) == 'table' and server.value.address == address
end

-- A server that goes, or moves to another address, takes its verdict with it.
local function stage_server(write)
  local before = stored('servers', write.key)
  local stays = is_at(before, write.identity)
  stage('servers', write.key, write, before, not stays)
  if not (stays and write.value) then
    stage('health', write.key, removal, stored('health', write.key), false)
    renewed[write.key] = true
  end
end

-- A verdict on a server that is gone, or on another incarnation of it, is left out.
local function stage_verdict(write)
  local server = stored('servers', write.key)
  local is_about = server and server.stamp and number(server.stamp.incarnation) == write.identity
  if write.value and (renewed[write.key] or not is_about) then
    table.insert(refused, write.key)
  elseif not renewed[write.key] then
    stage('health', write.key, write, stored('health', write.key), false)
  end
end

for _, write in ipairs(writes) do
  if write.collection == 'servers' then
    stage_server(write)
  elseif write.collection == 'health' then
    stage_verdict(write)
  else
    stage(write.collection, write.key, write, stored(write.collection, write.key), false)
  end
end

-- Writing ------------------------------------------------------------------------------------------------------------

local committed_at = moment()
local time = milliseconds(committed_at)

local function count(step)
  local sum_field, count_field = step.collection .. ':sum', step.collection .. ':count'
  local sum, elements = tonumber(head[sum_field] or 0), tonumber(head[count_field] or 0)
  if step.before then
    sum = sum + DIGEST_MODULUS - share(step.key, step.before.text)
    elements = math.max(elements - 1, 0)
  end
  if step.after then
    sum = sum + share(step.key, step.after)
    elements = elements + 1
  end
  head[sum_field], head[count_field] = number(sum % DIGEST_MODULUS), number(elements)
end

local function write_element(step)
  if step.after then
    redis.call('HSET', elements_of[step.collection], step.key, step.after)
  else
    redis.call('HDEL', elements_of[step.collection], step.key)
    if step.collection == 'servers' then
      redis.call('HDEL', registrations_key, step.key)
    end
  end
end

local function entry(step, text)
  return '{"collection":"' .. step.collection .. '","key":"' .. step.key .. '","value":' .. (text or 'null') .. '}'
end

local function position()
  return '"epoch":"' .. head.epoch .. '","revision":' .. head.revision .. ',"id":"' .. head.id .. '"'
end

local function write_head()
  local fields = {}
  for name, value in pairs(head) do
    table.insert(fields, name)
    table.insert(fields, value)
  end
  redis.call('HSET', head_key, unpack(fields))
end

local function delta_text(previous)
  local entries = {}
  for _, step in ipairs(steps) do
    table.insert(entries, entry(step, step.after))
  end
  return '{' .. position() .. ',"previous":"' .. previous .. '","desired":' .. head.desired
    .. ',"author":' .. author .. ',"time":' .. number(committed_at) .. ',"entries":[' .. table.concat(entries, ',') .. ']}'
end

-- Where other hands put a later entry into the log, it takes none before that, not even when the entry is gone.
local function log_refuses(delta)
  local logged = redis.pcall('XADD', log_key, 'MAXLEN', '~', log_length, revision .. '-1', 'delta', delta)
  if type(logged) == 'table' and logged.err then
    local is_ahead = string.find(logged.err, 'stream', 1, true)
    return is_ahead and damaged(log_key, 'has held an entry beyond revision ' .. head.revision) or logged
  end
end

local function remember()
  local before, after = {}, {}
  for _, step in ipairs(steps) do
    if is_desired(step.collection) then
      table.insert(before, entry(step, step.before and step.before.is_json and step.before.text))
      table.insert(after, entry(step, step.after))
    end
  end
  redis.call('XADD', history_key, 'MAXLEN', '~', history_length, '*', 'change',
    '{"position":{' .. position() .. '},"author":' .. author .. ',"reason":' .. reason .. ',"time":' .. number(time)
    .. ',"before":[' .. table.concat(before, ',') .. '],"after":[' .. table.concat(after, ',') .. ']}')
end

-- The revision's id follows from all that came before, so that a commit which is sent again after a failover, and made on another
-- branch of the history, is another revision there.
local function successor(previous)
  local hex = redis.sha1hex(previous .. id)
  return table.concat({ string.sub(hex, 1, 8), string.sub(hex, 9, 12), string.sub(hex, 13, 16), string.sub(hex, 17, 20),
    string.sub(hex, 21, 32) }, '-')
end

if #steps > 0 then
  local previous, concerns_people = head.id, false
  for _, step in ipairs(steps) do
    concerns_people = concerns_people or is_desired(step.collection)
    count(step)
  end
  head.revision, head.id = revision, successor(head.id)
  if concerns_people then
    head.desired = revision
  end
  -- The log is written first: of all writes it alone may still be refused, and then nothing has been written.
  local delta = delta_text(previous)
  local refusal = log_refuses(delta)
  if refusal then
    return refusal
  end
  for _, step in ipairs(steps) do
    write_element(step)
  end
  write_head()
  redis.call('PUBLISH', channel, '{"delta":' .. delta .. '}')
  if concerns_people then
    remember()
  end
end
-- Also where no revision was made: who waits for the one that stands learns when it is known who is there.
mark_instances(instances_key, head.epoch .. ' ' .. head.revision .. ' ' .. number(time))

-- Answering ----------------------------------------------------------------------------------------------------------

-- Answers are a queue in a hash: `at:<n>` names the n-th one, from `first` to before `next`. Each commit clears a few that are
-- older than their lifetime or too many.
local function clear_answers(first, next)
  for _ = 1, answers_cleared do
    local given = redis.call('HGET', answers_key, 'at:' .. number(first))
    if not given then
      break
    end
    local at, of_id, of_key = string.match(given, '^(%d+) (%S+) (.*)$')
    -- What other hands wrote there goes like what is outdated.
    at, of_id, of_key = at or '0', of_id or '', of_key or ''
    if next - first <= answers_max and time - tonumber(at) <= answer_lifetime then
      break
    end
    redis.call('HDEL', answers_key, 'at:' .. number(first), 'id:' .. of_id, 'key:' .. of_key)
    first = first + 1
  end
  redis.call('HSET', answers_key, 'first', number(first), 'next', number(next))
end

local function keep(answer)
  local first = tonumber(redis.call('HGET', answers_key, 'first') or 0) or 0
  local next = tonumber(redis.call('HGET', answers_key, 'next') or 0) or 0
  redis.call('HSET', answers_key, 'id:' .. id, cjson.encode(answer),
    'at:' .. number(next), number(time) .. ' ' .. id .. ' ' .. idempotency_key)
  if idempotency_key ~= '' then
    redis.call('HSET', answers_key, 'key:' .. idempotency_key, id .. ' ' .. fingerprint)
  end
  clear_answers(first, next + 1)
end

local answer = { 'committed', head.epoch, head.revision, head.id, head.desired }
for _, key in ipairs(refused) do
  table.insert(answer, key)
end
keep(answer)
return answer
