-- mp.CallCounter: how often a function is called.
local wrap = require "makeparallel.wrap"

local counter = {}

local counter_methods = {}
local counter_mt = { __index = counter_methods, __name = "makeparallel.CallCounter" }
counter.counter_mt = counter_mt

function counter_mt:__call(...)
  self.call_count = self.call_count + 1
  return self.fn(...)
end

function counter_methods:reset()
  self.call_count = 0
end

--- A callable like `fn` with the field `call_count`.
function counter.CallCounter(fn)
  wrap.check(fn, "CallCounter")
  return setmetatable({ fn = fn, call_count = 0 }, counter_mt)
end

return counter
