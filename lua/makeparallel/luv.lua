-- makeparallel in a luv loop: `local mpluv = require "makeparallel.luv"`, `mpluv.attach()`, `uv.run()`.
local adapter = require "makeparallel.adapter"
local uv = require "luv"

-- Handles are stopped, never closed: luv 1.44 crashes at the program's end if one was closed and the loop not run after that.
local loop = {}
-- Timers, kept from being collected.
local running = {} -- luacheck: ignore 241
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

local function stop(timer)
  timer:stop()
  running[timer] = nil
end

function loop.later(seconds, fn)
  local timer = assert(uv.new_timer())
  running[timer] = true
  timer:start(math.ceil(seconds * 1000), 0, function()
    stop(timer)
    fn()
  end)
  return timer
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
    local ok, err = coroutine.resume(co)
    if not ok then loop.raise(err) end
  end
  return function(seconds)
    local timer = seconds and loop.later(seconds, wake)
    waiting = true
    repeat
      coroutine.yield()
    until not waiting
    if timer then stop(timer) end
  end, wake
end

return adapter.new(loop)
