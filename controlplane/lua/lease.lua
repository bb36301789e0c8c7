-- SPDX-License-Identifier: Apache-2.0
-- Leases: one batch of questions about limits, answered at once. docs/internals/leases.md has the
-- argument why no interval ever sees more than its bound.
--
-- KEYS  1 clock   2.. one per question
-- ARGV  1 caller (one monotonic clock)   2 its monotonic time, us   3 holder: who has what is granted
--       then per question, 14 each:
--         kind      "b" bucket | "w" window anchored at `arg` | "c" window among `arg` boundaries
--         amount    units
--         per       us: refill time of a bucket, length of a window
--         lease     us
--         want, returned, debt   units
--         window    that `returned` was granted in, as told then
--         batch     that `returned` was granted in, as told then: the oldest
--         no        of the question: it rises for each holder and limit; 0: not said
--         taken     of `window`, all that the holder has, spent or not, as of this question
--         since     number of the first question of those that it has had no answer to
--         again     returned to a bucket by those before this one; `batch` is the oldest of this, too
--         arg       "w": anchor us, 0 = first use; "c": "t0,t1,t2,t3", three windows, ascending
--
-- Returns {clock us, clock error us, {granted, lease, remaining, reset, empty, window, batch}, ...};
-- times in us, from now. granted -1: no given window holds the clock's time (ask again with others);
-- -2: no grants for the length of a lease after another state of Redis was adopted (adopt.lua).
-- {-3, why}: what is stored of this limit is not what this script writes; the others are answered.
-- Behind the last of them "anew", if the clock was no clock.
--
-- A bucket is   v level (negative: debt)   t when that was   a, b units granted in this slot of two
--               leases and in the one before   e end of this slot   r units granted before that and
--               not replaced by the refill yet   k what was ever granted, in amounts   n the amount
-- a + b is never less than what proxies may still spend, and v + a + b + r never more than the amount:
-- what is in v comes from the refill in place of the oldest units. A unit may be given back as late
-- as it likes, but not after that: a batch is named by k at its end, at most k - batch units are
-- younger than it, so that at least a + b + r less those are of it, or older. For each holder that
-- numbers its questions, p:<name> "<granted> <no> <time> <given back> <batch>": what the last question
-- was granted, in which batch, and what it and those it was told with gave back. A holder that had no
-- answer to it (since <= no) tells all of that again: what is new counts, and what was granted is back.
-- Scripts of earlier versions keep none of that: s is what this one has stored (one of those was here
-- where it says something else), o when that was last found; for a while nothing counts again.
--
-- A window is   w its start   x its end   u units used   and for each holder p:<name>
-- "<own> <no> <end of window>":
-- what it has of `u`, and the last question that said so. What a holder says it has taken replaces
-- `own`: it knows, since it asks one question at a time, and an answer that it did not get is worth
-- nothing to it. A question that comes after a later one (it was held up, and given up) says nothing.
local TOLERANCE = 2000000   -- us Redis's clock may differ from the caller's between two calls
local KEEP_MS = 604800000   -- forgotten after a week without use, so that no jump of the clock does it
local TIME_MAX = 9e15       -- us: fits an integer
local PROXIES_MIN = 64      -- with a field in a window before dead ones are looked for
local LEASE_MAX = 5000000   -- us: leases_length_us gives no longer ones
local EACH = 14             -- arguments of a question
local BATCHES = 100000000   -- numbers for as many units as a bucket holds
local AGAIN = 20000000      -- us, in which a holder may tell something again (lease.c: 10 s)

local NUMBER_MAX = 2 ^ 63
local clock_anew = false

local function fmt(x)
  return string.format('%.17g', x)
end

-- What fmt made of a number; nil: something else.
local function number(s)
  local n = tonumber(s)
  return n and n >= -NUMBER_MAX and n <= NUMBER_MAX and n or nil
end

-- A stored number, or what it is where none is stored.
local function stored(s, default)
  if not s then
    return default
  end
  return number(s) or error('"' .. string.sub(s, 1, 40) .. '" is no number', 0)
end

-- Redis's clock, held against the caller's: never backwards, and believed within TOLERANCE of what the
-- caller's monotonic clock says has passed since both last agreed. Outside of that it has jumped (or
-- this call was waiting for long): time goes on by the caller's clock, `o` behind Redis's, until
-- Redis's own agrees again. What the call that finds it gives back does not count: it may be old.
local function read_clock()
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local mono = tonumber(ARGV[2])
  -- It is everybody's: what is damaged of it is made anew, as at the first question.
  local is_hash, saved = pcall(redis.call, 'HMGET', KEYS[1], 'v', 'm:' .. ARGV[1], 'w:' .. ARGV[1], 'pause',
                               'o:' .. ARGV[1])
  if not is_hash then
    redis.call('DEL', KEYS[1])
    clock_anew = true
    saved = {false, false, false, false, false}
  end
  local last = number(saved[1] or '0') or 0
  clock_anew = clock_anew or not number(saved[1] or '0')
  local x, late, agrees, ahead = now, 0, true, 0
  local was_ahead = number(saved[5] or '0') or 0
  local was_mono, was = number(saved[2] or ''), number(saved[3] or '')
  if was_mono and was then
    local due = was + math.max(0, mono - was_mono)
    if math.abs(now - due) > TOLERANCE then
      ahead = was_ahead
      x = now - ahead
    end
    late = x - due
    if math.abs(late) > TOLERANCE then
      x, late, agrees, ahead = due, LEASE_MAX + 1, false, now - due
    end
  end
  local clock = math.max(last, x)
  if agrees then
    redis.call('HSET', KEYS[1], 'v', fmt(clock), 'm:' .. ARGV[1], fmt(mono), 'w:' .. ARGV[1],
               fmt(clock))
  else
    redis.call('HSET', KEYS[1], 'v', fmt(clock))
  end
  if ahead ~= was_ahead then
    redis.call('HSET', KEYS[1], 'o:' .. ARGV[1], fmt(ahead))
  end
  local paused = saved[4] and number(saved[4])
  if saved[4] == 'begin' then
    paused = clock
    redis.call('HSET', KEYS[1], 'pause', fmt(clock))
  elseif paused and clock >= paused + LEASE_MAX then
    redis.call('HDEL', KEYS[1], 'pause')
  end
  return clock, now - x, late, paused or nil
end

local clock, clock_error, late, paused = read_clock()
local own_field = 'p:' .. ARGV[3]

-- Level after filling from `from` to `to`, with at most `cap` in it. A level above the cap stays.
local function fill(v, from, to, amount, per, cap)
  if v < cap and to > from then
    v = math.min(cap, v + amount * (to - from) / per)
  end
  return v
end

-- Time from now until a whole unit is there: the cap rises at the ends of slots.
local function until_one(v, a, b, e, slot, amount, per, size)
  local at = clock
  for i = 0, 2 do
    local top = math.min(size, amount - a - b)
    local edge = e + i * slot
    local when = at + (1 - v) * per / amount
    if top >= 1 and (when <= edge or a + b <= 0) then
      return math.max(1, math.ceil(when - clock))
    end
    v = fill(v, at, edge, amount, per, top)
    at, a, b = math.max(at, edge), 0, a
  end
  return math.max(1, math.ceil(at + (1 - v) * per / amount - clock))
end

-- Fields of proxies not heard for a minute. Looked for when there are twice as many fields as the
-- last look left, so that a question costs the same however many proxies there are.
local function forget_proxies(key)
  local all, left = redis.call('HGETALL', key), 0
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'p:' then
      local e = string.match(all[i + 1], '^%S+ %S+ (%S+)')
      if (number(e or '') or 0) + 60000000 < clock then
        redis.call('HDEL', key, all[i])
      else
        left = left + 1
      end
    end
  end
  redis.call('HSET', key, 'f', fmt(math.max(PROXIES_MIN, 2 * left)))
end

local function bucket(key, amount, per, lease, q)
  -- What a lease may be spent late by, in whole units; small buckets rely on a + b alone.
  local size = amount - math.floor(amount * lease / per)
  local slot = 2 * lease
  local saved = redis.call('HMGET', key, 'v', 't', 'a', 'b', 'e', 'r', 'k', 'n', own_field, 'f', 's', 'o')
  local v, t = stored(saved[1], size), stored(saved[2], clock)
  local a, b = stored(saved[3], 0), stored(saved[4], 0)
  local e, r = stored(saved[5], 0), stored(saved[6], 0)
  local k = stored(saved[7], 1)
  if stored(saved[8], 0) ~= amount then
    k, r = k + 3, 0 -- numbers given under another amount are of no use
  end

  -- From t to now, in pieces: the cap rises where a slot's leases have died, and what was full
  -- until then has not been filling.
  while a + b > 0 and clock >= e do
    v = fill(v, t, e, amount, per, math.min(size, amount - a - b))
    r = math.max(0, math.min(r, amount - a - b - v)) + b
    t, a, b, e = math.max(t, e), 0, a, e + slot
  end
  if a + b <= 0 then
    e = clock + slot
  end
  local cap = math.min(size, amount - a - b)
  v = fill(v, t, clock, amount, per, cap)
  if v > cap then -- the limit was lowered
    v = math.max(cap, math.min(v, 0))
  end
  r = math.max(0, math.min(r, amount - a - b - v)) -- the refill has replaced the others

  -- Given back: units that were not replaced. Where they are counted is not known; taken from r
  -- first, a + b stays large enough.
  local function take_back(units, batch)
    if late <= lease and units > 0 and batch <= k * BATCHES then
      local younger = k * amount - (batch + 1) / BATCHES * amount
      local back = math.max(0, math.min(units, math.floor(a + b + r - math.max(0, younger))))
      local rest = math.max(0, back - r)
      v = math.min(size, v + back)
      r = math.max(0, r - back)
      a, b = a - math.max(0, rest - b), math.max(0, b - rest)
    end
  end
  local told = q.returned + q.again
  local others = stored(saved[12], -AGAIN) -- when an earlier version was here
  if saved[1] and saved[11] ~= saved[1] .. ' ' .. tostring(saved[2]) .. ' ' .. tostring(saved[7]) then
    others = clock
  end
  local unheard = clock < others + AGAIN and q.returned or told -- what cannot have been counted
  local lost, last, at, heard_back, lost_batch = string.match(saved[9] or '', '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  if q.no == 0 or not last then
    take_back(unheard, q.batch)
  elseif q.no <= stored(last) then
    q.want, q.debt = 0, 0 -- it was held up: a later one has told all of this
  elseif q.since > 0 and stored(last) >= q.since then
    take_back(stored(lost), stored(lost_batch))
    take_back(math.min(told - stored(heard_back), unheard), q.batch)
  else
    take_back(unheard, q.batch)
  end
  v = v - q.debt
  local granted = math.max(0, math.floor(math.min(q.want, v)))
  v, a, k = v - granted, a + granted, k + granted / amount
  local level, at_clock, number_now = fmt(v), fmt(clock), fmt(k)
  redis.call('HSET', key, 'v', level, 't', at_clock, 'a', fmt(a), 'b', fmt(b), 'e', fmt(e), 'r', fmt(r),
             'k', number_now, 'n', fmt(amount), 's', level .. ' ' .. at_clock .. ' ' .. number_now)
  if others == clock then
    redis.call('HSET', key, 'o', at_clock)
  end
  if q.no > 0 and not (last and q.no <= stored(last)) then
    redis.call('HSET', key, own_field,
               fmt(granted) .. ' ' .. fmt(q.no) .. ' ' .. fmt(clock) .. ' ' .. fmt(told) .. ' ' ..
               fmt(math.floor(k * BATCHES)))
    if redis.call('HLEN', key) > stored(saved[10], PROXIES_MIN) + 11 then
      forget_proxies(key)
    end
  end

  local empty = 0
  if granted == 0 and q.want >= 1 then
    empty = until_one(v, a, b, e, slot, amount, per, size)
  end
  local reset = math.max(0, math.ceil((size - v) * per / amount))
  return {granted, lease, math.max(0, math.floor(v)), math.min(reset, TIME_MAX),
          math.min(empty, TIME_MAX), 0, math.floor(k * BATCHES)}
end

local function window(key, amount, starts, ends, lease, q)
  local saved = redis.call('HMGET', key, 'w', 'u', own_field, 'f', 'x')
  local used = stored(saved[2], 0)
  local begun, over = stored(saved[1], -1), stored(saved[5], -1)
  if begun ~= starts and begun <= clock and clock < over then
    starts, ends = begun, over -- what is counted goes on, whoever has other bounds by now
  elseif begun ~= starts then
    used = 0
  end
  local own, last, e = string.match(saved[3] or '', '^(%S+) (%S+) (%S+)$')
  if e and stored(e) == ends then
    own, last = stored(own), stored(last)
  else
    own, last = 0, 0
  end
  local want = q.want
  if q.no == 0 then
    -- A proxy that keeps no account: it gives back no more than it was granted in this window.
    local back = q.window == starts and math.min(q.returned, own) or 0
    used, own = math.max(0, used - back) + q.debt, own - back
  elseif q.no <= last then
    want = 0
  elseif q.window == starts or (q.window == 0 and q.since > 0 and last >= q.since) then
    -- Of none that is known: all of `own` was granted in questions whose answers got lost.
    used, own = math.max(0, used + q.taken - own), q.taken
  elseif q.window > 0 and q.window < starts then
    -- Its last answer was of an earlier window: of none in this one.
    used, own = math.max(0, used - own) + q.debt, q.debt
  else
    -- It does not know this window yet: what it may have had of it before stays used.
    used, own = used + q.debt, q.debt
  end
  local granted = math.max(0, math.floor(math.min(want, amount - used)))
  used, own = used + granted, own + granted
  redis.call('HSET', key, 'w', fmt(starts), 'x', fmt(ends), 'u', fmt(used), own_field,
             fmt(own) .. ' ' .. fmt(math.max(last, q.no)) .. ' ' .. fmt(ends))
  if redis.call('HLEN', key) > stored(saved[4], PROXIES_MIN) + 4 then
    forget_proxies(key)
  end
  local left = math.ceil(ends - clock)
  return {granted, math.min(lease, left), math.max(0, amount - used), left,
          granted == 0 and want >= 1 and left or 0, starts, 0}
end

-- Who adopts waits for the leases granted before. Who numbers its questions tells again what had no
-- answer. Others take the whole for heard when anything of a call is answered: then their debts are
-- taken at once.
local function is_held(lease)
  return paused and clock < paused + lease
end
local heard = false
for i = 2, #KEYS do
  heard = heard or not is_held(tonumber(ARGV[4 + (i - 2) * EACH + 3]))
end

-- The answer to the question in KEYS[i].
local function answer(i)
  local p = 4 + (i - 2) * EACH
  local key, kind = KEYS[i], ARGV[p]
  local amount, per, lease = tonumber(ARGV[p + 1]), tonumber(ARGV[p + 2]), tonumber(ARGV[p + 3])
  local q = {
    want = tonumber(ARGV[p + 4]), returned = tonumber(ARGV[p + 5]), debt = tonumber(ARGV[p + 6]),
    window = tonumber(ARGV[p + 7]), batch = tonumber(ARGV[p + 8]), no = tonumber(ARGV[p + 9]),
    taken = tonumber(ARGV[p + 10]), since = tonumber(ARGV[p + 11]),
    again = tonumber(ARGV[p + 12])
  }
  local arg = ARGV[p + 13]
  local keep = KEEP_MS
  local grant = {-1, 0, 0, 0, 0, 0, 0}

  local held = is_held(lease)
  if held then
    q.want, q.returned, q.debt = 0, 0, q.no == 0 and heard and q.debt or 0
  end
  if held and q.debt == 0 then
    return {-2, 0, 0, 0, 0, 0, 0}
  elseif kind == 'b' then
    grant = bucket(key, amount, per, lease, q)
  elseif kind == 'w' then
    local anchor = tonumber(arg)
    if anchor == 0 then
      redis.call('HSETNX', key, 'n', fmt(clock))
      anchor = stored(redis.call('HGET', key, 'n'))
    end
    local starts = anchor + math.floor((clock - anchor) / per) * per
    grant = window(key, amount, starts, starts + per, lease, q)
    keep = keep + 2 * math.ceil(per / 1000)
  else
    local t = {}
    for x in string.gmatch(arg, '[^,]+') do
      t[#t + 1] = tonumber(x)
    end
    for j = 1, #t - 1 do
      if clock >= t[j] and clock < t[j + 1] then
        grant = window(key, amount, t[j], t[j + 1], lease, q)
      end
    end
    keep = keep + 63 * 86400000
  end
  redis.call('PEXPIRE', key, keep) -- nothing happens when there is no such key
  return held and {-2, 0, 0, 0, 0, 0, 0} or grant
end

local out = {clock, clock_error}
for i = 2, #KEYS do
  local ok, grant = pcall(answer, i)
  if not ok then
    grant = {-3, type(grant) == 'table' and grant.err or tostring(grant)}
  end
  out[#out + 1] = grant
end
if clock_anew then
  out[#out + 1] = 'anew'
end
return out
