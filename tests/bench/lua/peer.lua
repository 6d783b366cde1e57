-- The cases, for a library that can be described by
--   began            clock() before it was loaded
--   submit(name, x)  gives tasks[name](x) to one of two workers
--   receive()        waits for the next result, in any order
--   window           most tasks that may be under way at a time; nil: any number
--   call(name, x)    both at once, if the library has a form for that
--   stop()           ends the workers, if the library does not by itself
-- A library that makes a thread for each task has a window of 2, and then fewer rounds, as each takes long.
-- In the Lua that 5.3 and 5.4 share.
local work = require "work"
local tasks = require "tasks"
local clock = require "clock"

local PIECE = 2500 -- items of a map that a task gets

return function(library)
  local submit, receive, window = library.submit, library.receive, library.window
  local call = library.call or function(name, x)
    submit(name, x)
    return receive()
  end
  local subject = { stop = library.stop }

  local function rounds(n, scale)
    return math.max(2, n * scale * (window == 2 and 0.2 or 1) // 1)
  end

  -- Submits argument(1) to argument(n) and gives each result to `take`.
  local function pump(name, n, argument, take)
    local submitted = 0
    for received = 1, n do
      while submitted < n and (not window or submitted - received + 1 < window) do
        submitted = submitted + 1
        submit(name, argument(submitted))
      end
      take(receive())
    end
  end

  function subject.start()
    call("same", 1)
    return (clock() - library.began) * 1e6
  end

  function subject.memory()
    pump("same", 2, function(i)
      return i
    end, function() end)
    return work.resident_kb()
  end

  function subject.tiny(scale)
    local n = rounds(20000, scale)
    local function round()
      local sum, start = 0, clock()
      pump("double", n, function(i)
        return i
      end, function(result)
        sum = sum + result
      end)
      assert(sum == n * (n + 1))
      return (clock() - start) / n * 1e6
    end
    round()
    return work.median { round(), round(), round() }
  end

  function subject.trip(scale)
    return work.percentiles(work.times(clock, rounds(5000, scale), function(i)
      assert(call("same", i) == i)
    end))
  end

  subject.trip_pinned = subject.trip

  local function there_and_back(name, value, n, check)
    return work.median(work.times(clock, n, function()
      check(call(name, value))
    end))
  end

  function subject.numbers(scale)
    return there_and_back("doubled", work.numbers(), rounds(1000, scale), function(list)
      assert(#list == 1000 and list[1000] == 2001)
    end)
  end

  function subject.records(scale)
    return there_and_back("same", work.records(), rounds(500, scale), function(list)
      assert(#list == 200 and list[200].name == "name200")
    end)
  end

  function subject.string(scale)
    return there_and_back("same", ("x"):rep(1048576), rounds(200, scale), function(text)
      assert(#text == 1048576)
    end)
  end

  function subject.fib(scale)
    local n = scale < 1 and 20 or 30
    local start = clock()
    for _ = 1, 8 do
      tasks.fib(n)
    end
    local serial = clock() - start
    start = clock()
    pump("fib", 8, function()
      return n
    end, function() end)
    return serial / (clock() - start)
  end

  local function map(name, list)
    local results, pieces = {}, math.ceil(#list / PIECE)
    pump(name, pieces, function(i)
      return table.move(list, (i - 1) * PIECE + 1, math.min(i * PIECE, #list), 2, { i })
    end, function(piece)
      table.move(piece, 2, #piece, (piece[1] - 1) * PIECE + 1, results)
    end)
    assert(#results == #list)
  end

  function subject.map(scale)
    local list = work.list_to(100000 * scale // 1)
    return work.median(work.times(clock, 3, function()
      map("plus_one", list)
    end)) / 1000
  end

  function subject.map_us(scale)
    local list = work.list_to(100000 * scale // 1)
    local serial = work.serial_map(clock, work.microsecond, list)
    local start = clock()
    map("microseconds", list)
    return serial / (clock() - start)
  end

  return subject
end
