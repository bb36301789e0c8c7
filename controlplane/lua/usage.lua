-- SPDX-License-Identifier: Apache-2.0
-- One numbered usage report, counted exactly once. Reports of a stream come as 1, 2, 3, ...; what is
-- not the next one is not applied, and the answer always says which was the last that was. When the
-- proxy has lost what came between (`oldest` is the lowest it still has) counting goes on there.
-- Number 0 is never the next one: it only asks.
--
-- KEYS  1 last number of this stream   2 recent requests   3.. aggregates
-- ARGV  1 number  2 oldest  3 how many recent requests follow (a report of one each)  then those
--       then per increment: index into KEYS, field, amount
--
-- Returns {applied 0|1, last, numbers lost}
local KEEP_SECONDS = 60 * 86400     -- of a stream that is heard no more
local RECENT_LENGTH = 10000
local HOUR_SECONDS = 40 * 86400     -- aggregates by hour
local DAY_SECONDS = 800 * 86400     -- aggregates by day
local FIELDS_MAX = 50000            -- of one aggregate; beyond it everything new is "(other)"

local number, oldest, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
if number ~= last + 1 and not (number == oldest and number > last) then
  return {0, last, 0}
end
for i = 4, 3 + n do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', RECENT_LENGTH, '*', 'r', ARGV[i])
end
local full = {}
for i = 3, #KEYS do
  full[i] = redis.call('HLEN', KEYS[i]) >= FIELDS_MAX
end
for i = 4 + n, #ARGV, 3 do
  local key, field = tonumber(ARGV[i]), ARGV[i + 1]
  if full[key] and redis.call('HEXISTS', KEYS[key], field) == 0 then
    field = '(other)' .. string.match(field, '\31.*$')
  end
  redis.call('HINCRBY', KEYS[key], field, ARGV[i + 2])
end
for i = 3, #KEYS do
  -- "...:h:2026112520:key" by hour, "...:d:20261125:key" by day
  local keep = string.find(KEYS[i], ':h:', 1, true) and HOUR_SECONDS or DAY_SECONDS
  redis.call('EXPIRE', KEYS[i], keep)
end
redis.call('SET', KEYS[1], string.format('%.0f', number), 'EX', KEEP_SECONDS)
return {1, number, number - last - 1}
