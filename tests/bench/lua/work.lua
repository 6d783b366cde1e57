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

function work.double(x)
  return x * 2
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

function work.list_to(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

--- How long a plain loop takes for what a map does, by `now` (seconds).
function work.serial_map(now, fn, list)
  local results, start = {}, now()
  for i = 1, #list do
    results[i] = fn(list[i])
  end
  assert(#results == #list)
  return now() - start
end

--- Calls fn with the name of a file of n lines, which is gone afterwards.
function work.with_lines(n, fn)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  for i = 1, n do
    file:write("the quick brown fox ", i, " jumps over the lazy dog and writes it down here\n")
  end
  file:close()
  local value = fn(path)
  os.remove(path)
  return value
end

function work.words(line)
  local _, n = line:gsub("%S+", "")
  return n
end

function work.resident_kb()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmRSS:%s*(%d+)"
    if kb then return tonumber(kb) end
  end
end

return work
