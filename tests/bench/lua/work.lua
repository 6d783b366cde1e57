-- What the subjects share: the clock, percentiles, the work itself.
local work = {}

function work.percentiles(times)
  table.sort(times)
  return { p50 = times[(#times + 1) // 2], p99 = times[math.max(1, #times * 99 // 100)] }
end

function work.median(times)
  table.sort(times)
  return times[(#times + 1) // 2]
end

--- Calls fn n times; each call's time in microseconds by `now` (seconds).
function work.times(now, n, fn)
  local times = {}
  for i = 1, n do
    local began = now()
    fn(i)
    times[i] = (now() - began) * 1e6
  end
  return times
end

function work.numbers()
  local list = {}
  for i = 1, 1000 do
    list[i] = i + 0.5
  end
  return list
end

function work.records()
  local list = {}
  for i = 1, 200 do
    list[i] = { id = i, name = "name" .. i, value = i * 0.5, ok = i % 2 == 0 }
  end
  return list
end

local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end

work.fib = fib -- recursive through a local, as in the source that luv's subject sends

--- About a microsecond of arithmetic on a machine of 2023.
function work.microsecond(x)
  for _ = 1, 140 do
    x = x * 1.0000001 + 1
  end
  return x
end

function work.resident_kb()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmRSS:%s*(%d+)"
    if kb then return tonumber(kb) end
  end
end

return work
