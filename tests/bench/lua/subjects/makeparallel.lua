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
  local double = mp.parallel(function(x)
    return x * 2
  end)
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

local function list_to(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

function subject.map(scale)
  local list = list_to(100000 * scale // 1 | 0)
  return work.median(work.times(mp.now, 3, function()
    mp.map(function(x)
      return x * 2 + 1
    end, list)
  end)) / 1000
end

function subject.map_us(scale)
  local list, microsecond = list_to(100000 * scale // 1 | 0), work.microsecond
  local start = mp.now()
  local results = {}
  for i = 1, #list do
    results[i] = microsecond(list[i])
  end
  assert(#results == #list)
  local serial = mp.now() - start
  start = mp.now()
  mp.map(microsecond, list)
  return serial / (mp.now() - start)
end

function subject.pipeline(scale)
  local one, two, three = mp.parallel(same), mp.parallel(same), mp.parallel(same)
  return work.percentiles(work.times(mp.now, 3000 * scale // 1 | 0, function(i)
    three(two(one(i))):get()
  end))
end

return subject
