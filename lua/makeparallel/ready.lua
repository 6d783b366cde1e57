-- Coroutines whose wait is over, resumed one after the other from here: a chain of a thousand that wait for one another must not nest.
local ready = {}

local queue, head, tail = {}, 1, 0
local pumping = false

--- Resumes what is in the queue, and what comes meanwhile; returns how many. Also for a coroutine that was resumed from here and drives the
-- others itself now: the queue goes on, and each is resumed once.
function ready.pump()
  local resumed = 0
  while head <= tail do
    local entry = queue[head]
    queue[head], head = nil, head + 1
    if coroutine.status(entry.co) == "suspended" then
      resumed = resumed + 1
      local ok, err = coroutine.resume(entry.co)
      if not ok then entry.failed(err, entry.co) end
    end
  end
  return resumed
end

--- The coroutines in the list are to be resumed: at once, or as soon as whoever resumes the others gets to them. failed(err, co) is called
-- for one that dies of an error.
function ready.resume(list, failed)
  for _, co in ipairs(list) do
    tail = tail + 1
    queue[tail] = { co = co, failed = failed }
  end
  if pumping then return end
  pumping = true
  local stop <close> = setmetatable({}, { __close = function() pumping = false end }) -- luacheck: ignore
  ready.pump()
end

return ready
