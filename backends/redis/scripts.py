"""Scripts that Redis runs on a user's log, each in one step, so that nodes cannot get between each other.

- `threadcast:{user}:place`: the epoch; the offset at which it began (`base`), of the newest frame (`offset`), and of the newest
  frame that is gone (`forgotten`); how many bytes are kept (`bytes`); and, only if a node once could not tell the others
  everything, the offset of the newest frame when this last happened (`lost`).
- `threadcast:{user}:log`: a stream. An entry's id is its offset, its one field what was published: a head line and the frame.
- `threadcast:fence:<node>`: the number of the last frame that a node has published. So a frame that is sent again, since its
  answer was lost, is not published twice, even if the first one arrives after the second.

After each name stands the run_id of the Redis. What comes back from a disk or a replica may be older than what was heard: it is
not read any more, and expires.

A place that begins takes its offsets from Redis' clock, in microseconds: they are above all that any earlier one had, and no
node has to remember. JavaScript's whole numbers are exact for another two centuries of them.
"""

from hashlib import sha1

_BEGIN = """
local function number(n) return string.format('%.0f', n) end
local function epoch(node, now) return string.sub(redis.sha1hex(node .. now[1] .. ' ' .. now[2]), 1, 16) end
local function begin(place, node, floor)
  local now = redis.call('TIME')
  local base = number(math.max(tonumber(floor), now[1] * 1000000 + now[2]))
  redis.call('HSET', place, 'epoch', epoch(node, now), 'base', base, 'offset', base, 'forgotten', base, 'bytes', 0)
end
"""

# KEYS: place, log, fence. ARGV: node, floor, seconds, the frame's number, what to publish, its channel, the time by Redis'
# clock until which it may be published ('' for ever), and the entries and bytes of the log to keep. When it comes too late the
# answer is the time: the frame may have been held up on its way, and another node may have told the end.
PUBLISH = (
    _BEGIN
    + """
local place, log, fence = KEYS[1], KEYS[2], KEYS[3]
local spoken, blob = redis.call('GET', fence), ARGV[5]
if spoken and tonumber(spoken) >= tonumber(ARGV[4]) then return 0 end
if ARGV[7] ~= '' then
  local now = redis.call('TIME')
  if now[1] * 1000000 + now[2] > tonumber(ARGV[7]) then return now end
end
redis.call('SET', fence, ARGV[4], 'EX', 86400)
local offset = redis.call('HINCRBY', place, 'offset', 1)
if offset == 1 then
  begin(place, ARGV[1], ARGV[2])
  offset = redis.call('HINCRBY', place, 'offset', 1)
end
if ARGV[8] then
  redis.call('XADD', log, number(offset) .. '-0', 'f', blob)
  local bytes = redis.call('HINCRBY', place, 'bytes', #blob)
  local entries = redis.call('XLEN', log)
  if entries == 1 and bytes > #blob then -- the others have been evicted
    bytes = #blob
    redis.call('HSET', place, 'bytes', bytes, 'forgotten', number(offset - 1))
  end
  while entries > 0 and (entries > tonumber(ARGV[8]) or bytes > tonumber(ARGV[9])) do
    local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    redis.call('XDEL', log, oldest[1])
    bytes = redis.call('HINCRBY', place, 'bytes', -#oldest[2][2])
    redis.call('HSET', place, 'forgotten', string.sub(oldest[1], 1, -3))
    entries = entries - 1
  end
  redis.call('EXPIRE', log, ARGV[3])
end
redis.call('EXPIRE', place, ARGV[3])
redis.call('PUBLISH', ARGV[6], number(offset) .. ' ' .. blob)
return offset
"""
)

# KEYS: place, log, fence. ARGV: node, floor, seconds, epoch ('' for none, '*' for any), offset. Returns what followed the
# offset, if all of it is still known; with '*', as much of it as is known.
READ = (
    _BEGIN
    + """
local place, log, fence = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', place) == 0 then
  if ARGV[4] == '*' then return {} end
  begin(place, ARGV[1], ARGV[2])
end
redis.call('EXPIRE', place, ARGV[3])
local kept = redis.call('EXPIRE', log, ARGV[3]) == 1
local found = redis.call('HMGET', place, 'epoch', 'base', 'offset', 'forgotten', 'bytes', 'lost')
local base, offset, forgotten = tonumber(found[2]), tonumber(found[3]), tonumber(found[4])
if not kept and tonumber(found[5]) > 0 then forgotten = offset end -- evicted
local after = tonumber(ARGV[5])
local any = ARGV[4] == '*'
if not any then after = math.max(after, base) end
local whole = forgotten <= after and (any or ARGV[4] == '' or (ARGV[4] == found[1] and after <= offset))
local entries = {}
if ARGV[4] ~= '' and (any or whole) then
  entries = redis.call('XRANGE', log, number(after + 1) .. '-0', '+')
end
return {found[1], found[3], whole and 1 or 0, redis.call('GET', fence) or '0', entries, found[6] or '0'}
"""
)

# KEYS: place. ARGV: node. Begins another epoch, in which the offsets go on.
RENEW_EPOCH = (
    _BEGIN
    + """
local offset = redis.call('HGET', KEYS[1], 'offset')
if offset then
  redis.call('HSET', KEYS[1], 'epoch', epoch(ARGV[1], redis.call('TIME')), 'base', offset)
end
return 0
"""
)

# KEYS: place. ARGV: node, floor, seconds, the channel, what to publish. Frames were lost: nobody resumes from before this.
# Nodes that listen are told, and a node that does not listen now finds it in the place later.
LOSE = (
    _BEGIN
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then begin(KEYS[1], ARGV[1], ARGV[2]) end
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
redis.call('HSET', KEYS[1], 'epoch', epoch(ARGV[1], redis.call('TIME')), 'base', number(offset), 'lost', number(offset))
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 0
"""
)

# KEYS: place, log. ARGV: seconds.
TOUCH = "return redis.call('EXPIRE', KEYS[1], ARGV[1]) + redis.call('EXPIRE', KEYS[2], ARGV[1])"


def sha(script: str) -> str:
    """By which Redis knows a script that it has loaded."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = (PUBLISH, READ, RENEW_EPOCH, LOSE, TOUCH)
LOADS = tuple(("SCRIPT", "LOAD", script) for script in SCRIPTS)
SPEAK_SHA, READ_SHA, RENEW_SHA, LOSE_SHA, TOUCH_SHA = map(sha, SCRIPTS)
