-- SPDX-License-Identifier: Apache-2.0
-- One change: all of it or nothing. Every replica runs this for every write; what it appends to the
-- stream is what every replica (the writer too) then applies.
--
-- KEYS  1 epoch  2 seq  3 resources  4 stream  5 audit  6 idempotency record  7 revisions
--       8 list of revisions  9 their contents  10 hash of things that are not for proxies (tokens)
-- ARGV  1 epoch the writer lives in        2 highest seq it has seen
--       3 audit entry (JSON, "" = none)    4 idempotency digest ("" = no key)
--       5 what a repeat needs to be told   6 file hash ("" = no file)
--       7 "new": only if that hash was never applied; "latest": unless it is the latest
--       8 wall clock, RFC 3339             9 the seq there must be ("" = any)
--       10 what the list says of the revision (JSON, "" = none)   11 its content
--       12 field of KEYS[10] ("" = none)   13 its value ("" deletes)
--       14 "0": it must be new, "1": it must be there
--       15 with a file: the seq it was compared with; no other may have been applied since
--       16 a provider's id: nothing that may name it was written behind the seq of ARGV 15 ("" = any)
--       17.. per resource: field, expected version, record
--         expected "*" any, "0" absent; record "" deletes, "=" writes nothing: it must be there
--
-- Returns {"ok", seq} {"again", payload, seq} {"reused"} {"known", seq} {"epoch"} {"regressed", seq}
--         {"gone", field}: not there, but for "="
--         {"conflict", field, version}; field "seq": the seq is another, not the one of ARGV 9, or
--         something was written behind that of ARGV 15
local IDEMPOTENCY_SECONDS = 86400
local STREAM_LENGTH = 10000
local AUDIT_LENGTH = 10000
local REVISIONS_KEPT = 20
local LOOKED_AT = 1000 -- changes looked through for who names a provider
local OPS = 17

-- Was a router that names it, or any provider key (they are sealed), written behind `at`? What the
-- stream does not have any more counts as one.
local function was_named(provider, at, seq)
  local entries = redis.call('XRANGE', KEYS[4], string.format('%.0f-0', at + 1), '+', 'COUNT', LOOKED_AT)
  if #entries < seq - at then
    return true
  end
  for _, entry in ipairs(entries) do
    local parts, p = entry[2][2], 1
    while p <= #parts do
      local field, record
      field, p = struct.unpack('>I4c0', parts, p)
      record, p = struct.unpack('>I4c0', parts, p)
      if record ~= '' and (string.find(field, '^provider_key:') or
                           string.find(field, '^router:') and string.find(record, provider, 1, true)) then
        return true
      end
    end
  end
  return false
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'epoch'}
end
local seq = tonumber(redis.call('GET', KEYS[2]) or '0')
if seq < tonumber(ARGV[2]) then
  return {'regressed', seq}
end

if ARGV[4] ~= '' then
  local seen = redis.call('HMGET', KEYS[6], 'digest', 'payload', 'seq')
  if seen[1] then
    if seen[1] ~= ARGV[4] then
      return {'reused'}
    end
    return {'again', seen[2], tonumber(seen[3])}
  end
end

if ARGV[6] ~= '' then
  if ARGV[7] == 'new' and redis.call('HEXISTS', KEYS[7], ARGV[6]) == 1 then
    return {'known', seq}
  end
  if redis.call('HGET', KEYS[7], 'latest') == ARGV[6] then
    return {'known', seq}
  end
end

if ARGV[9] ~= '' and seq ~= tonumber(ARGV[9]) then
  return {'conflict', 'seq', seq}
end
if ARGV[16] ~= '' and was_named(ARGV[16], tonumber(ARGV[15]), seq) then
  return {'conflict', 'seq', seq}
end
if ARGV[6] ~= '' then
  local newest = redis.call('LINDEX', KEYS[8], 0)
  if newest and tonumber(string.match(newest, '^%d+')) > tonumber(ARGV[15]) then
    return {'conflict', 'seq', seq}
  end
end
if ARGV[12] ~= '' and redis.call('HEXISTS', KEYS[10], ARGV[12]) ~= tonumber(ARGV[14]) then
  return {'conflict', ARGV[12], 0}
end

local parts = {}
for i = OPS, #ARGV, 3 do
  local field, expected, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if record == '=' then
    if redis.call('HEXISTS', KEYS[3], field) == 0 then
      return {'gone', field}
    end
  elseif expected ~= '*' then
    local old = redis.call('HGET', KEYS[3], field)
    local version = 0
    if old then
      version = struct.unpack('>I8', old, 5)
    end
    if version ~= tonumber(expected) then
      return {'conflict', field, version}
    end
  end
  if record ~= '=' then
    parts[#parts + 1] = struct.pack('>I4', #field)
    parts[#parts + 1] = field
    parts[#parts + 1] = struct.pack('>I4', #record)
    parts[#parts + 1] = record
  end
end

-- The stream first: if Redis refuses to write (memory, read-only), it refuses here, with nothing
-- written yet. The entry's id is the sequence, so a gap is seen by counting.
if #parts > 0 then
  seq = seq + 1
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', STREAM_LENGTH, string.format('%.0f-0', seq), 'c',
             table.concat(parts))
  redis.call('SET', KEYS[2], string.format('%.0f', seq))
  for i = OPS, #ARGV, 3 do
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[3], ARGV[i])
    elseif ARGV[i + 2] ~= '=' then
      redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
    end
  end
end
local shown = string.format('%.0f', seq)
if ARGV[12] ~= '' then
  if ARGV[13] == '' then
    redis.call('HDEL', KEYS[10], ARGV[12])
  else
    redis.call('HSET', KEYS[10], ARGV[12], ARGV[13])
  end
end
if ARGV[3] ~= '' then
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', AUDIT_LENGTH, '*', 'seq', shown, 'entry', ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[6], 'digest', ARGV[4], 'payload', ARGV[5], 'seq', shown)
  redis.call('EXPIRE', KEYS[6], IDEMPOTENCY_SECONDS)
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[7], ARGV[6], shown .. ' ' .. ARGV[8], 'latest', ARGV[6])
end
if ARGV[10] ~= '' and #parts > 0 then
  redis.call('LPUSH', KEYS[8], shown .. ' ' .. ARGV[10])
  redis.call('HSET', KEYS[9], shown, ARGV[11])
  while redis.call('LLEN', KEYS[8]) > REVISIONS_KEPT do
    local old = redis.call('RPOP', KEYS[8])
    redis.call('HDEL', KEYS[9], string.match(old, '^%d+'))
  end
end
return {'ok', seq}
