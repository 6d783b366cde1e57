-- luv: a work queue on libuv's thread pool (UV_THREADPOOL_SIZE=2). Arguments are numbers, strings, booleans; tables go through cjson.
local work = require "work"
local clock = require "clock"

local began <const> = clock()
local has_luv, uv = pcall(require, "luv")
local has_cjson, cjson = pcall(require, "cjson")

local subject = {}
if not has_luv then return subject end

-- Queues one call and waits for it.
local function caller(fn)
  local result
  local queue = uv.new_work(fn, function(value)
    result = value
  end)
  return function(value)
    queue:queue(value)
    uv.run()
    return result
  end
end

function subject.start()
  caller(function() end)()
  return (clock() - began) * 1e6
end

function subject.memory()
  local queue = uv.new_work(function() end, function() end)
  queue:queue()
  queue:queue()
  uv.run()
  return work.resident_kb()
end

function subject.tiny(scale)
  local n <const> = 20000 * scale // 1 | 0
  local results = {}
  local queue = uv.new_work(function(x)
    return x * 2
  end, function(x)
    results[#results + 1] = x
  end)
  local function round()
    results = {}
    local start = clock()
    for i = 1, n do
      queue:queue(i)
    end
    uv.run()
    assert(#results == n)
    return (clock() - start) / n * 1e6
  end
  round()
  return work.median { round(), round(), round() }
end

local function trips(scale)
  return work.percentiles(work.times(
    clock,
    5000 * scale // 1 | 0,
    caller(function(x)
      return x
    end)
  ))
end

subject.trip = trips
subject.trip_pinned = trips

local function through_json(value, n, fn)
  if not has_cjson then return nil end
  local call = caller(fn)
  return work.median(work.times(clock, n, function()
    cjson.decode(call(cjson.encode(value)))
  end))
end

function subject.numbers(scale)
  return through_json(work.numbers(), 300 * scale // 1 | 0, function(text)
    local json = require "cjson"
    local list = json.decode(text)
    for i = 1, #list do
      list[i] = list[i] * 2
    end
    return json.encode(list)
  end)
end

function subject.records(scale)
  return through_json(work.records(), 300 * scale // 1 | 0, function(text)
    local json = require "cjson"
    return json.encode(json.decode(text))
  end)
end

function subject.string(scale)
  local call, value = caller(function(x)
    return x
  end), ("x"):rep(1 << 20)
  return work.median(work.times(clock, 200 * scale // 1 | 0, function()
    call(value)
  end))
end

function subject.fib(scale)
  local n <const> = scale < 1 and 20 or 30
  local start = clock()
  for _ = 1, 8 do
    work.fib(n)
  end
  local serial = clock() - start
  local queue = uv.new_work(function(k)
    local function fib(m)
      if m < 2 then return m end
      return fib(m - 1) + fib(m - 2)
    end
    return fib(k)
  end, function() end)
  start = clock()
  for _ = 1, 8 do
    queue:queue(n)
  end
  uv.run()
  return serial / (clock() - start)
end

return subject
