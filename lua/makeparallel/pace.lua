-- How many items a task takes: as many as fill about a millisecond, learnt from the time that those before took.
local math <const> = math
local pace = {}

pace.CHUNK_MAX = 1 << 20
local CHUNK_SECONDS <const> = 0.001 -- long beside a task's overhead (some 20 µs), short beside a wait
local GROWTH <const> = 8 -- of a chunk over the one before: the first ones only measure

local pace_methods = {}
local pace_mt = { __index = pace_methods }

--- chunk: a fixed size, or nil for a learnt one.
function pace.new(chunk, workers)
  return setmetatable({ chunk = chunk, workers = workers, size = 1 }, pace_mt)
end

--- Of `left` items (nil: nobody knows how many come): never so many that workers idle at the end.
function pace_methods:next_size(left)
  local size = self.chunk or self.size
  if not left then return size end
  if not self.chunk then size = math.min(size, left // (2 * self.workers)) end
  return math.max(1, math.min(size, left))
end

--- The task of `handle` had so many items; a tenth of `seconds`, what it took to get them, counts as well: nobody waits long for a source.
function pace_methods:learn(handle, count, seconds)
  local _, _, ran = handle:elapsed()
  local each = math.max(ran, (seconds or 0) / 10, 1e-7) / count
  self.size = math.max(1, math.min(CHUNK_SECONDS // each, self.size * GROWTH, pace.CHUNK_MAX)) // 1 | 0
end

return pace
