-- Ours, through the public API.
local work = require "work"
local clock = require "clock"

local began <const> = clock()
local mp = require "makeparallel"
mp.configure { workers = 2 }

local subject = {}

function subject.start()
  mp.spawn(function() end):get()
  return (clock() - began) * 1e6
end

function subject.memory()
  local one, two = mp.spawn(function() end), mp.spawn(function() end)
  one:get()
  two:get()
  return work.resident_kb()
end

function subject.tiny(scale)
  local n <const> = 20000 * scale // 1 | 0
  local double = mp.parallel(work.double)
  local function round()
    local handles, start = {}, mp.now()
    for i = 1, n do
      handles[i] = double(i)
    end
    for i = 1, n do
      handles[i]:get()
    end
    return (mp.now() - start) / n * 1e6
  end
  round()
  return work.median { round(), round(), round() }
end

local function trips(scale)
  local same = mp.parallel(function(x)
    return x
  end)
  local times = work.times(mp.now, 5000 * scale // 1 | 0, function(i)
    same(i):get()
  end)
  return work.percentiles(times)
end

subject.trip = trips
subject.trip_pinned = trips

local function there_and_back(value, n, fn)
  local task = mp.parallel(fn)
  return work.median(work.times(mp.now, n, function()
    task(value):get()
  end))
end

function subject.numbers(scale)
  return there_and_back(work.numbers(), 1000 * scale // 1 | 0, function(list)
    for i = 1, #list do
      list[i] = list[i] * 2
    end
    return list
  end)
end

local function same(value)
  return value
end

function subject.records(scale)
  return there_and_back(work.records(), 500 * scale // 1 | 0, same)
end

function subject.string(scale)
  return there_and_back(("x"):rep(1 << 20), 200 * scale // 1 | 0, same)
end

local function fibs(scale, options)
  local n <const> = scale < 1 and 20 or 30
  local fib = mp.parallel(work.fib, options)
  local start = mp.now()
  for _ = 1, 8 do
    work.fib(n)
  end
  local serial = mp.now() - start
  start = mp.now()
  local handles = {}
  for i = 1, 8 do
    handles[i] = fib(n)
  end
  mp.gather(handles)
  return serial / (mp.now() - start)
end

function subject.fib(scale)
  return fibs(scale)
end

function subject.fib_timeout(scale)
  return fibs(scale, { timeout = 60 })
end

function subject.map(scale)
  local list = work.list_to(100000 * scale // 1 | 0)
  return work.median(work.times(mp.now, 3, function()
    mp.map(function(x)
      return x * 2 + 1
    end, list)
  end)) / 1000
end

function subject.map_us(scale)
  local list = work.list_to(100000 * scale // 1 | 0)
  local serial = work.serial_map(mp.now, work.microsecond, list)
  local start = mp.now()
  mp.map(work.microsecond, list)
  return serial / (mp.now() - start)
end

function subject.imap(scale)
  local n <const> = 100000 * scale // 1 | 0
  return work.with_lines(n, function(path)
    local sum, start = 0, mp.now()
    for line in io.lines(path) do
      sum = sum + work.words(line)
    end
    local serial = mp.now() - start
    start = mp.now()
    for _, words in mp.imap(work.words, io.lines(path)) do
      sum = sum - words
    end
    assert(sum == 0)
    return serial / (mp.now() - start)
  end)
end

local function hits(memoize, scale)
  local n <const> = 200000 * scale // 1 | 0
  local fn = memoize(function(x, point)
    return x + point.x
  end)
  local point <const> = { x = 1, y = 2, z = 3 }
  for i = 1, 100 do
    fn(i, point)
  end
  local sum, start = 0, mp.now()
  for i = 1, n do
    sum = sum + fn(i % 100 + 1, point)
  end
  local each = (mp.now() - start) / n * 1e6
  assert(sum > n)
  return each
end

function subject.memoize(scale)
  return hits(mp.memoize, scale)
end

function subject.memoize_fast(scale)
  return hits(mp.memoize_fast, scale)
end

-- Per task, when n have been submitted before the first result is read; the median of so many rounds that 1,000,000 are run.
local function live(n, scale)
  local double, times = mp.parallel(work.double), {}
  for round = 0, math.max(1, 1000000 * scale // n) do
    local handles, start = {}, mp.now()
    for i = 1, n do
      handles[i] = double(i)
    end
    for i = 1, n do
      assert(handles[i]:get() == 2 * i)
    end
    if round > 0 then times[round] = (mp.now() - start) / n * 1e6 end
  end
  return work.median(times)
end

function subject.live_1k(scale)
  return live(1000, scale)
end

function subject.live_100k(scale)
  return live(100000 * scale // 1 | 0, scale)
end

function subject.live_1m(scale)
  return live(1000000 * scale // 1 | 0, scale)
end

-- What a task that waits holds: the engine's memory, which has the arguments, and the owner's for the handle.
function subject.pending(scale)
  local n <const> = 100000 * scale // 1 | 0
  local double, gate = mp.parallel(work.double), mp.spawn(mp.sleep, 3600)
  local held = double:with { after = { gate } }
  local handles = { held(1) }
  collectgarbage()
  local engine, owner = mp.get_thread_pool_info().bytes, collectgarbage "count" * 1024
  for i = 2, n do
    handles[i] = held(i)
  end
  collectgarbage()
  engine, owner = mp.get_thread_pool_info().bytes - engine, collectgarbage "count" * 1024 - owner
  gate:cancel()
  mp.wait_all(handles)
  return { engine = engine / (n - 1), owner = owner / (n - 1) }
end

function subject.pipeline(scale)
  local one, two, three = mp.parallel(same), mp.parallel(same), mp.parallel(same)
  return work.percentiles(work.times(mp.now, 3000 * scale // 1 | 0, function(i)
    three(two(one(i))):get()
  end))
end

return subject
