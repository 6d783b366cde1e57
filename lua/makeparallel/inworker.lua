-- Functions made from other functions, to run in a worker: they travel as closures, so this module is not loaded there.
local core = require "makeparallel.core"
local math <const>, table <const> = math, table

local inworker = {}

-- Types of error values that always can be sent back.
local TRAVELS <const> = { string = true, number = true, boolean = true }

--- From function(value, ...) a function of one packed table of those.
function inworker.spread(fn)
  return function(packed)
    local call = type(fn) == "string" and core.named(fn) or fn
    return call(table.unpack(packed, 1, packed.n))
  end
end

--- From function(i) one of {from, count}, which calls it for from, from + step, ... and returns {index, message, value} of
-- those that failed if `go_on` is set, else raises their error.
function inworker.range(fn, step, seed, go_on)
  return function(range)
    local call = type(fn) == "string" and core.named(fn) or fn
    local i, failures = range[1], {}
    for _ = 1, range[2] do
      if seed then math.randomseed(seed, i) end
      if not go_on then
        call(i)
      else
        local ok, err = pcall(call, i)
        if not ok then
          local is_text, text = pcall(tostring, err)
          if not is_text then text = "(error object without a text)" end
          failures[#failures + 1] = { index = i, message = text, value = TRAVELS[type(err)] and err or nil }
        end
      end
      i = i + step
    end
    return failures
  end
end

--- From function(from, to, step) one of {from, count}.
function inworker.whole_range(fn, step)
  return function(range)
    local call = type(fn) == "string" and core.named(fn) or fn
    call(range[1], range[1] + (range[2] - 1) * step, step)
  end
end

--- From map(item) and combine(a, b) one of {offset, items...}, which combines what map gives from left to right.
function inworker.fold(map, combine, seed)
  return function(block)
    local map_item = type(map) == "string" and core.named(map) or map
    local combine_two = type(combine) == "string" and core.named(combine) or combine
    local acc
    for i = 1, block.n do
      if seed then math.randomseed(seed, block.offset + i) end
      local value = map_item(block[i])
      if i == 1 then
        acc = value
      else
        acc = combine_two(acc, value)
      end
    end
    return acc
  end
end

return inworker
