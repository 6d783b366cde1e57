-- What the peers' tasks do, by name. Functions without upvalues, in the Lua that versions 5.1 to 5.4 share, so that any library can send
-- them or `require` this module where they run.
local tasks = {}

function tasks.double(x)
  return x * 2
end

function tasks.same(x)
  return x
end

function tasks.doubled(list)
  for i = 1, #list do
    list[i] = list[i] * 2
  end
  return list
end

function tasks.fib(n)
  local function fib(k)
    if k < 2 then return k end
    return fib(k - 1) + fib(k - 2)
  end
  return fib(n)
end

-- Pieces of a map; the first item is the piece's place and stays.
function tasks.plus_one(list)
  for i = 2, #list do
    list[i] = list[i] * 2 + 1
  end
  return list
end

function tasks.microseconds(list)
  local work = require "work"
  for i = 2, #list do
    list[i] = work.microsecond(list[i])
  end
  return list
end

return tasks
