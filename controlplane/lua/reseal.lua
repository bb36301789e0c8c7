-- SPDX-License-Identifier: Apache-2.0
-- The same resource sealed with another master key: put in place of the old record unless that has
-- been changed meanwhile. Not a change of the state: no sequence, no stream entry.
--
-- KEYS  1 resources
-- ARGV  1 field  2 record as it was seen  3 record to be there
--
-- Returns 1 put, 0 it is another by now
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
