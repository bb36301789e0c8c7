-- SPDX-License-Identifier: Apache-2.0
-- One change: all of it or nothing. Every replica runs this for every write; what it appends to the
-- stream is what every replica (the writer too) then applies.
--
-- KEYS  1 epoch  2 seq  3 resources  4 stream  5 audit  6 idempotency record  7 revisions
-- ARGV  1 epoch the writer lives in        2 highest seq it has seen
--       3 audit entry (JSON, "" = none)    4 idempotency digest ("" = no key)
--       5 what a repeat needs to be told   6 file hash ("" = no file)
--       7 "new": only if that hash was never applied; "latest": unless it is the latest
--       8 wall clock, RFC 3339             9.. per resource: field, expected version, record
--         expected "*" any, "0" absent; record "" deletes
--
-- Returns {"ok", seq} {"again", payload, seq} {"reused"} {"known", seq} {"epoch"} {"regressed", seq}
--         {"conflict", field, version}
local IDEMPOTENCY_SECONDS = 86400
local STREAM_LENGTH = 10000
local AUDIT_LENGTH = 10000

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

local parts = {}
for i = 9, #ARGV, 3 do
  local field, expected, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if expected ~= '*' then
    local old = redis.call('HGET', KEYS[3], field)
    local version = 0
    if old then
      version = struct.unpack('>I8', old, 5)
    end
    if version ~= tonumber(expected) then
      return {'conflict', field, version}
    end
  end
  parts[#parts + 1] = struct.pack('>I4', #field)
  parts[#parts + 1] = field
  parts[#parts + 1] = struct.pack('>I4', #record)
  parts[#parts + 1] = record
end

-- The stream first: if Redis refuses to write (memory, read-only), it refuses here, with nothing
-- written yet. The entry's id is the sequence, so a gap is seen by counting.
if #parts > 0 then
  seq = seq + 1
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', STREAM_LENGTH, string.format('%.0f-0', seq), 'c',
             table.concat(parts))
  redis.call('SET', KEYS[2], string.format('%.0f', seq))
  for i = 9, #ARGV, 3 do
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[3], ARGV[i])
    else
      redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
    end
  end
end
local shown = string.format('%.0f', seq)
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
return {'ok', seq}
