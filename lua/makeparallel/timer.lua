-- mp.timer: how long calls of a function take.
local core = require "makeparallel.core"
local wrap = require "makeparallel.wrap"

local timer = {}

local timer_methods = {}
local timer_mt = { __index = timer_methods, __name = "makeparallel.Timer" }
timer.timer_mt = timer_mt

local function lap(self, started)
  local seconds = core.now() - started
  self.last = seconds
  self.total = self.total + seconds
  self.count = self.count + 1
  if self.report then self.report(seconds, self) end
end

local lap_mt = {
  __close = function(measured)
    lap(measured.timer, measured.started)
  end,
}

-- A call that raises has taken its time, too.
function timer_mt:__call(...)
  return wrap.call(setmetatable({ timer = self, started = core.now() }, lap_mt), self.fn, ...)
end

function timer_methods:reset()
  self.last, self.total, self.count = nil, 0, 0
end

--- A callable like `fn` with the fields `last`, `total` (seconds) and `count`; report(seconds, timer), if given, is called after each call.
function timer.timer(fn, report)
  wrap.check(fn, "timer")
  if report ~= nil and type(report) ~= "function" then
    error(("bad argument #2 to 'timer' (function expected, got %s)"):format(type(report)), 2)
  end
  return setmetatable({ fn = fn, report = report, total = 0, count = 0 }, timer_mt)
end

return timer
