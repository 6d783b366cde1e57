-- makeparallel in a luv loop: `local mpluv = require "makeparallel.luv"`, `mpluv.attach()`, `uv.run()`.
local adapter = require "makeparallel.adapter"
local uv = require "luv"

local loop = {}

function loop.watch(fd, ready)
  local poll = assert(uv.new_poll(fd))
  poll:start("r", ready)
  return poll
end

function loop.unwatch(poll)
  poll:stop()
  poll:close()
end

function loop.later(seconds, fn)
  local timer = assert(uv.new_timer())
  timer:start(math.ceil(seconds * 1000), 0, function()
    timer:close()
    fn()
  end)
  return timer
end

-- As luv reports what a callback of the loop raises: it says so and ends the program, unless it is told otherwise.
function loop.raise(err)
  loop.later(0, function()
    error(err, 0)
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
    if timer and not timer:is_closing() then timer:close() end
  end, wake
end

return adapter.new(loop)
