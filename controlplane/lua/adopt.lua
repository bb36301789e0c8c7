-- SPDX-License-Identifier: Apache-2.0
-- A person has decided to go on with what Redis holds now, although more was seen before: a new
-- epoch begins, which names those it replaces. All or nothing, once: whoever comes second finds
-- another epoch than the one he decided about.
--
-- KEYS  1 epoch  2 superseded epochs  3 sequence  4 audit  5 clock of the lease script
-- ARGV  1 epoch that the caller saw here ("" = none)  2 new epoch  3 epochs it replaces, 16 bytes
--       each  4 audit entry (JSON)
--
-- Returns {"ok", seq} {"changed"}
local EPOCH_BYTES = 16
local SUPERSEDED_MAX = 8
local AUDIT_LENGTH = 10000

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return {'changed'}
end
local list = redis.call('GET', KEYS[2]) or ''
for i = 1, #ARGV[3], EPOCH_BYTES do
  local one = string.sub(ARGV[3], i, i + EPOCH_BYTES - 1)
  local known = false
  for j = 1, #list, EPOCH_BYTES do
    known = known or string.sub(list, j, j + EPOCH_BYTES - 1) == one
  end
  if not known then
    list = list .. one
  end
end
list = string.sub(list, math.max(1, #list - SUPERSEDED_MAX * EPOCH_BYTES + 1))

-- What may be refused (memory, read-only) is refused here, with nothing written yet. Units leased in
-- the lost tail may still be spent: the lease script grants nothing for the length of a lease.
redis.call('SET', KEYS[2], list)
redis.call('HSET', KEYS[5], 'pause', 'begin')
redis.call('SET', KEYS[1], ARGV[2])
local seq = redis.call('GET', KEYS[3]) or '0'
redis.call('XADD', KEYS[4], 'MAXLEN', '~', AUDIT_LENGTH, '*', 'seq', seq, 'entry', ARGV[4])
return {'ok', tonumber(seq)}
