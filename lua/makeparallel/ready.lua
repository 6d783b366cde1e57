-- Coroutines whose wait is over, resumed one after the other from here: a chain of a thousand that wait for one another must not nest.
local core = require "makeparallel.core"
local coroutine <const>, table <const> = coroutine, table

local ready = {}

local queue, head, tail = {}, 1, 0
local pumping = false

-- Takes the first entry of that world, or of any for nil; those before it stay.
local function take(world)
  for i = head, tail do
    local entry = queue[i]
    if not world or entry.world == world then
      table.move(queue, head, i - 1, head + 1)
      queue[head], head = nil, head + 1
      return entry
    end
  end
end

local function pump(world)
  local resumed = 0
  for entry in take, world do
    if coroutine.status(entry.co) == "suspended" then
      resumed = resumed + 1
      local ok, err = coroutine.resume(entry.co)
      if not ok then entry.failed(err, entry.co, entry.world) end
    end
  end
  return resumed
end

--- Resumes what is in the queue, and what comes meanwhile; returns how many. Also for a coroutine that was resumed from here and drives the
-- others itself now: the queue goes on, and each is resumed once. A task that runs while another waits leaves that one's alone.
function ready.pump()
  return pump(core.world())
end

--- The coroutines in the list, of that world (core.world), are to be resumed: at once, or as soon as whoever resumes the others gets to
-- them. failed(err, co, world) is called for one that dies of an error.
function ready.resume(world, list, failed)
  for _, co in ipairs(list) do
    tail = tail + 1
    queue[tail] = { co = co, failed = failed, world = world }
  end
  if pumping then return end
  pumping = true
  local stop <close> = setmetatable({}, { __close = function() pumping = false end }) -- luacheck: ignore
  pump()
end

--- Does the queue stand still until whoever asks, resumed from here, comes back or drives it itself?
function ready.is_pumping()
  return pumping
end

return ready
