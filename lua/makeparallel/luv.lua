-- makeparallel in a luv loop: `local mpluv = require "makeparallel.luv"`, `mpluv.attach()`, `uv.run()`.
local adapter = require "makeparallel.adapter"
local uv = require "luv"
local coroutine <const>, math <const>, table <const> = coroutine, math, table

-- Handles are stopped, never closed: luv 1.44 crashes at the program's end if one was closed and the loop not run after that. So a timer
-- that has fired, or is not needed any more, is used again.
local loop = {}
local running = {} -- luacheck: ignore 241 -- [alarm]: its timer must not be collected
local idle = {} -- timers
-- [descriptor] = handle, used again when the number is: one that is collected later would take the number's new owner out of the loop.
local polls = {}

function loop.watch(fd, ready)
  polls[fd] = polls[fd] or assert(uv.new_poll(fd))
  polls[fd]:start("r", ready)
  return polls[fd]
end

function loop.unwatch(poll)
  poll:stop()
end

-- May be called again: the timer may be another alarm's by then.
local function stop(alarm)
  local timer = alarm.timer
  if not timer then return end
  alarm.timer, running[alarm] = nil, nil
  timer:stop()
  idle[#idle + 1] = timer
end

function loop.later(seconds, fn)
  local alarm = { timer = table.remove(idle) or assert(uv.new_timer()) }
  running[alarm] = true
  alarm.timer:start(math.ceil(seconds * 1000), 0, function()
    stop(alarm)
    fn()
  end)
  return alarm
end

-- As luv reports what a callback of the loop raises: it prints it, if it is a text, and ends the program.
function loop.raise(err)
  loop.later(0, function()
    error(tostring(err), 0)
  end)
end

function loop.suspend()
  local co = coroutine.running()
  local waiting = false
  local function wake()
    if not waiting then return end
    waiting = false
    if coroutine.status(co) ~= "suspended" then return end -- it was closed
    local ok, err = coroutine.resume(co)
    if not ok then loop.raise(err) end
  end
  return function(seconds)
    local alarm = seconds and loop.later(seconds, wake)
    waiting = true
    repeat
      coroutine.yield()
    until not waiting
    if alarm then stop(alarm) end
  end, wake
end

return adapter.new(loop)
