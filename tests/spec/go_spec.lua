_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local HANG <const> = support.HANG_SECONDS

describe("mp.go", function()
  it("calls the function at once, up to where it first waits", function()
    local log <const> = {}
    local r <const> = mp.go(function(a, b)
      log[#log + 1] = a + b
      log[#log + 1] = mp.spawn(function()
        mp.sleep(0.05)
        return 9
      end):await()
    end, 1, 2)
    assert.same({ 3 }, log)
    assert.equal("running", r:status())
    assert.is_false(r:is_ready())
    mp.run()
    assert.same({ 3, 9 }, log)
    assert.equal("done", r:status())
    assert.is_true(r:is_ready())
    assert.equal("coroutine of mp.go (done)", tostring(r))
  end)

  it("gives its results to get, pget and await, as often as asked, nil included", function()
    local r <const> = mp.go(function() return mp.spawn(math.abs, -1):await(), nil, false, nil end)
    for _ = 1, 2 do
      assert.same({ 1, nil, false, nil, n = 4 }, table.pack(r:get(HANG)))
      assert.same({ true, 1, nil, false, nil, n = 5 }, table.pack(r:pget()))
      assert.same({ 1, nil, false, nil, n = 4 }, table.pack(r:await()))
    end
    assert.same({ n = 0 }, table.pack(mp.go(function() end):get()))
  end)

  it("is waited for in a coroutine that has waited itself", function()
    local function sleeper(value)
      return mp.go(function()
        mp.sleep(0.001)
        return value
      end)
    end
    assert.equal("b", mp.run(function()
      mp.sleep(0.001)
      return sleeper("b"):get(HANG)
    end))
    assert.equal("c", mp.run(function()
      sleeper():await()
      return mp.go(function()
        mp.spawn(mp.sleep, 0.001):await()
        sleeper():await()
        return "c"
      end):get(HANG)
    end))
    assert.is_true(mp.run(function()
      mp.sleep(0.001)
      return sleeper():wait(HANG)
    end))
  end)

  it("takes callable tables and refuses the rest, at the caller", function()
    assert.equal(5, mp.go(setmetatable({}, { __call = function(_, n) return n + 1 end }), 4):get())
    for _, wrong in ipairs { 5, "x", {} } do
      local message, place = support.refusal(function() mp.go(wrong) end)
      assert.equal(("bad argument #1 to 'go' (function expected, got %s)"):format(type(wrong)), message)
      assert.equal(support.here(-2), place)
    end
    assert.equal("bad argument #1 to 'run' (function expected, got number)", (support.refusal(mp.run, 5)))
  end)

  it("raises its error for whoever awaits it, as an object with the place and the traceback", function()
    local r <const> = mp.go(function()
      mp.sleep(0)
      error("boom")
    end)
    for _ = 1, 2 do
      local ok, err = r:pget(HANG)
      assert.is_false(ok)
      assert.equal("error", err.kind)
      assert.matches("go_spec.lua:%d+: boom$", err.message)
      assert.equal(err.message, err.value)
      assert.matches("go_spec.lua", err.traceback, 1, true)
    end
    assert.equal("failed", r:status())
    assert.has_error(function() r:get() end)
    mp.run() -- its error was somebody's: it is not raised again
  end)

  it("keeps an error before the first wait as well, of any type", function()
    local object <const> = {}
    assert.equal(object, select(2, mp.go(function() error(object) end):pget()).value)
    assert.equal("nil", select(2, mp.go(function() error(nil) end):pget()).message)
    assert.equal("(error object is a table value)", select(2, mp.go(function()
      error(setmetatable({}, { __tostring = function() error "again" end }))
    end):pget()).message)
  end)

  it("passes a task's error on as it is", function()
    local ok, err = mp.go(function() return mp.spawn(error, "there"):await() end):pget(HANG)
    assert.is_false(ok)
    assert.equal("there", err.message)
    assert.is_number(err.task_id)
  end)

  it("lets coroutines await one another, in a long chain too", function()
    local previous = mp.go(function()
      mp.sleep(0.001)
      return 0
    end)
    for _ = 1, 2000 do
      local before <const> = previous
      previous = mp.go(function() return before:await() + 1 end)
    end
    assert.equal(2000, previous:get(HANG))
  end)

  it("lets the others go on while one that was resumed for another's end polls or sleeps", function()
    local function nap()
      return mp.go(mp.sleep, 0.01)
    end
    local polled, slept, plain
    mp.run(function()
      nap():await()
      local r, till <const> = nap(), os.clock() + HANG
      while not r:is_ready() and os.clock() < till do
        mp.poll()
      end
      polled = r:is_ready()
    end)
    assert.is_true(polled)
    mp.run(function()
      nap():await()
      local task <const> = mp.go(function() return mp.spawn(function() return 7 end):await() end)
      -- it cannot yield there
      table.sort({ 1, 2 }, function(a, b)
        mp.sleep(0.2)
        slept = slept or task:is_ready()
        return a < b
      end)
    end)
    assert.is_true(slept)
    coroutine.wrap(function()
      nap():await()
      local other <const> = nap()
      mp.sleep(0.2)
      plain = other:is_ready()
    end)()
    mp.run()
    assert.is_true(plain)
  end)

  it("lets a plain coroutine await it, whose error is not lost either", function()
    local r <const> = mp.go(function()
      mp.sleep(0)
      return 4
    end)
    local got
    coroutine.wrap(function() got = r:await() end)()
    mp.run()
    assert.equal(4, got)
    local other <const> = mp.go(mp.sleep, 0)
    coroutine.wrap(function()
      other:await()
      error("plain", 0)
    end)()
    local ok, err = pcall(mp.run)
    assert.same({ false, "plain" }, { ok, err })
  end)

  it("refuses to wait for itself", function()
    for _, what in ipairs { "await", "get", "wait" } do
      local r
      r = mp.go(function()
        mp.sleep(0)
        return r[what](r)
      end)
      local _, err = r:pget(HANG)
      assert.matches(what .. ": a coroutine cannot wait for itself", err.message, 1, true)
    end
  end)

  it("waits up to a timeout", function()
    local r <const> = mp.go(mp.sleep, HANG)
    assert.is_false(r:wait(0.01))
    local ok, err = r:pget(0.01)
    assert.same({ false, "timeout" }, { ok, err.kind })
    assert.matches("timeout must be a finite number", (support.refusal(r.get, r, -1)))
    assert.is_true(r:cancel())
    assert.is_true(r:wait(0))
  end)

  it("says so when it waits for something that cannot happen", function()
    local r <const> = mp.go(coroutine.yield)
    assert.matches("nothing is left that could resume it", select(2, r:pget()).message, 1, true)
    assert.is_false(r:wait(0.01))
    assert.matches("nothing is left that could resume it", select(2, pcall(mp.run, coroutine.yield)).message, 1, true)
    r:cancel()
  end)

  it("is cancelled where it waits, with its variables closed", function()
    local closed = false
    local r <const> = mp.go(function()
      local guard <close> = setmetatable({}, { __close = function() closed = true end }) -- luacheck: ignore
      mp.sleep(HANG)
    end)
    local waiter <const> = mp.go(function() return r:await() end)
    assert.is_true(r:cancel())
    assert.is_true(closed)
    assert.equal("cancelled", r:status())
    assert.is_false(r:cancel())
    assert.equal("cancelled", select(2, waiter:pget()).kind)
    mp.run()
  end)

  it("is cancelled by leaving its scope", function()
    local kept
    do
      local r <close> = mp.go(mp.sleep, HANG)
      kept = r
    end
    assert.equal("cancelled", kept:status())
  end)

  it("cannot cancel itself while it runs; an error of its variables makes it fail", function()
    local r
    r = mp.go(function()
      mp.sleep(0)
      return r:cancel()
    end)
    assert.is_false(r:get(HANG))
    local bad <const> = mp.go(function()
      local guard <close> = setmetatable({}, { __close = function() error("closing", 0) end }) -- luacheck: ignore
      mp.sleep(HANG)
    end)
    assert.is_false(bad:cancel())
    assert.equal("closing", select(2, bad:pget()).message)
  end)

  it("works inside a task", function()
    assert.same({ 3, 7 }, mp.spawn(function()
      return mp.run(function()
        local r <const> = mp.go(function()
          mp.sleep(0.01)
          return 7
        end)
        return { mp.spawn(math.abs, -3):await(), r:await() }
      end)
    end):get(HANG))
  end)
end)

describe("mp.run", function()
  it("gives what its function returns, and runs the others to the end", function()
    local done = false
    mp.go(function()
      mp.sleep(0.02)
      done = true
    end)
    assert.same({ 1, nil, n = 2 }, table.pack(mp.run(function(n) return n, nil end, 1)))
    assert.is_true(done)
  end)

  it("raises the error of its function", function()
    local ok, err = pcall(mp.run, function()
      mp.sleep(0)
      error("first", 0)
    end)
    assert.same({ false, "first" }, { ok, err.message })
    mp.run()
  end)

  it("raises errors that nobody awaited when nothing is left to run, one at a time and in order", function()
    local ran = false
    mp.go(function() error("a", 0) end)
    mp.go(function()
      mp.sleep(0.005)
      error("b", 0)
    end)
    mp.go(function()
      mp.sleep(0.02)
      ran = true
    end)
    assert.equal("a", select(2, pcall(mp.run)).message)
    assert.is_true(ran)
    assert.equal("b", select(2, pcall(mp.run)).message)
    mp.run()
  end)

  it("does not raise what is awaited late", function()
    local r <const> = mp.go(function() error("late", 0) end)
    assert.equal("late", mp.run(function()
      mp.sleep(0.01)
      return select(2, r:pget()).message
    end))
    mp.run()
  end)

  it("keeps coroutines' errors apart from those of callbacks", function()
    local errors_before <const> = mp.get_thread_pool_info().callback_errors
    local order <const> = {}
    local h <const> = mp.spawn(math.abs, -1)
    mp.go(function()
      h:await()
      order[#order + 1] = "coroutine"
      error("mine", 0)
    end)
    h:on_complete(function()
      order[#order + 1] = "callback"
      error "a callback's"
    end)
    h:on_complete(function() order[#order + 1] = "second" end)
    local ok, err = pcall(mp.run)
    assert.same({ false, "mine" }, { ok, err.message })
    table.sort(order)
    assert.same({ "callback", "coroutine", "second" }, order)
    assert.equal(errors_before + 1, mp.get_thread_pool_info().callback_errors)
  end)

  it("lets callbacks start coroutines, which go on", function()
    local got
    mp.spawn(math.abs, -2):on_complete(function(n)
      mp.go(function()
        mp.sleep(0.005)
        got = n + mp.spawn(math.abs, -3):await()
      end)
    end)
    mp.run()
    assert.equal(5, got)
  end)

  it("overlaps what many coroutines wait for", function()
    local started <const> = mp.now()
    mp.run(function()
      local all <const> = {}
      for i = 1, 50 do all[i] = mp.go(mp.sleep, 0.1) end
      for _, r in ipairs(all) do r:await() end
    end)
    assert.is_true(mp.now() - started < 4) -- one after the other takes 5
  end)
end)

describe("mp.sleep in a coroutine of mp.go", function()
  it("lets others go on, in order of time, and first come first served", function()
    local order <const> = {}
    for i, seconds in ipairs { 0.03, 0.01, 0.02, 0, 0 } do
      mp.go(function()
        mp.sleep(seconds)
        order[#order + 1] = i
      end)
    end
    mp.run()
    assert.same({ 4, 5, 2, 3, 1 }, order)
  end)

  it("goes on inside poll, sleep, and waits for another coroutine", function()
    local function sleeper() return mp.go(mp.sleep, 0.005) end
    local a <const> = sleeper()
    mp.sleep(0.05)
    assert.is_true(a:is_ready())
    local b <const> = sleeper()
    local deadline <const> = mp.now() + HANG
    while not b:is_ready() and mp.now() < deadline do mp.poll() end
    assert.is_true(b:is_ready())
    local c <const> = sleeper()
    assert.is_true(mp.go(mp.sleep, 0.01):wait(HANG))
    assert.is_true(c:is_ready())
  end)

  it("does not yield in a coroutine of somebody else", function()
    local co <const> = coroutine.create(function()
      mp.sleep(0.001)
      return "slept"
    end)
    assert.same({ true, "slept" }, { coroutine.resume(co) })
    assert.equal("slept", mp.go(function() return select(2, coroutine.resume(coroutine.create(function()
      mp.sleep(0.001)
      return "slept"
    end))) end):get())
  end)

  it("refuses what is no time, at the caller", function()
    for _, wrong in ipairs { -1, 0 / 0, math.huge, "1" } do
      local message, place = support.refusal(function() mp.sleep(wrong) end)
      assert.matches("^sleep must be a finite number of seconds from 0 to 1e9, got ", message)
      assert.equal(support.here(-2), place)
      message, place = support.refusal(function() mp.poll(wrong) end)
      assert.matches("^budget must be a finite number of seconds from 0 to 1e9, got ", message)
      assert.equal(support.here(-2), place)
    end
    assert.matches("sleep must be a finite number", (support.refusal(mp.sleep)))
  end)
end)

describe("what a task has started with mp.go", function()
  it("ends with the task: a later one hears of no error and waits for no sleeper of it", function()
    local pool <close> = mp.pool { workers = 1 }
    pool:spawn(function()
      mp.go(function() error("the first task's", 0) end)
      mp.go(mp.sleep, 3600)
    end):get()
    assert.same({ true, 0 }, { pool:spawn(function() return mp.run() end):pget(HANG) })
  end)

  it("is left alone by a task that runs while it waits", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.same({ 0, "outer" }, pool:spawn(function()
      local log <const>, me <const> = {}, mp.get_current_task_id()
      mp.go(function()
        mp.sleep(0.01)
        log[#log + 1] = mp.get_current_task_id() == me and "outer" or "inner"
      end)
      mp.spawn(function()
        mp.sleep(0.03)
        mp.run()
      end):get()
      local early <const> = #log
      mp.run()
      return { early, log[1] }
    end):get(HANG))
  end)
end)
