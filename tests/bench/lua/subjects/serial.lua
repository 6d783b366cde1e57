-- Plain Lua: what the work costs without any parallel library.
local work = require "work"
local clock = require "clock"

local subject = {}

function subject.tiny(scale)
  local n <const> = 20000 * scale // 1 | 0
  local sum, start = 0, clock()
  for i = 1, n do
    local _, result = pcall(function(x)
      return x * 2
    end, i)
    sum = sum + result
  end
  assert(sum == n * (n + 1))
  return (clock() - start) / n * 1e6
end

function subject.map(scale)
  local n <const> = 100000 * scale // 1 | 0
  return work.median(work.times(clock, 3, function()
    local results = {}
    for i = 1, n do
      results[i] = i * 2 + 1
    end
    assert(#results == n)
  end)) / 1000
end

function subject.memory()
  return work.resident_kb()
end

return subject
