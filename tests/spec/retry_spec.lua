_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal

-- A function that fails so many times, then returns what it got; and what it was called with.
local function failing(times, err)
  local calls <const> = { n = 0 }
  return function(...)
    calls.n = calls.n + 1
    if calls.n <= times then error(err or "not yet", 0) end
    return ...
  end, calls
end

-- The same where upvalues do not come back: counted in a global of the worker.
local function failing_there(key, times)
  return function(...)
    local n <const> = (rawget(_G, key) or 0) + 1
    rawset(_G, key, n)
    if n <= times then error("not yet " .. n, 0) end
    return n, ...
  end
end

local function delays_of(options, attempts)
  local times <const> = {}
  options.max_attempts = attempts
  pcall(mp.retry_backoff(function()
    times[#times + 1] = mp.now()
    error "always"
  end, options))
  local delays <const> = {}
  for i = 2, #times do delays[#delays + 1] = times[i] - times[i - 1] end
  return delays
end

local function assert_about(expected, delays)
  assert.equal(#expected, #delays)
  for i, seconds in ipairs(expected) do
    assert.is_true(delays[i] >= seconds * 0.999, ("delay %d: %g, not %g"):format(i, delays[i], seconds))
    assert.is_true(delays[i] < seconds + 0.5, ("delay %d: %g, not %g"):format(i, delays[i], seconds)) -- a slow machine
  end
end

describe("mp.retry", function()
  it("does not try again on a pool that is shut down", function()
    local pool <const> = mp.pool { workers = 1 }
    pool:shutdown()
    local calls = 0
    local ok, err = pcall(mp.retry(function()
      calls = calls + 1
      return pool:spawn(math.abs, 1):get()
    end, 5))
    assert.is_false(ok)
    assert.equal("shutdown", err.kind)
    assert.equal(1, calls)
  end)

  it("calls again with the same arguments until it succeeds", function()
    local fn, calls = failing(3)
    assert.same({ 1, nil, nil, n = 3 }, table.pack(mp.retry(fn)(1, nil, nil)))
    assert.equal(4, calls.n)
  end)

  it("raises the last error, whole", function()
    local err <const> = setmetatable({}, { __tostring = function() return "mine" end })
    local fn, calls = failing(9, err)
    local ok, got = pcall(mp.retry(fn, 2))
    assert.is_false(ok)
    assert.equal(err, got)
    assert.equal(3, calls.n)
    for _, value in ipairs { false, 5, "text" } do
      local _, raised = pcall(mp.retry(function() error(value, 0) end, 1))
      assert.equal(value, raised)
    end
    local _, none = pcall(mp.retry(function() error(nil) end, 1))
    assert.is_nil(none)
  end)

  it("with 0 is a plain call", function()
    local fn, calls = failing(1)
    assert.is_false((pcall(mp.retry(fn, 0))))
    assert.equal(1, calls.n)
  end)

  it("takes the options of retry_backoff as well", function()
    local fn, calls = failing(9)
    assert.is_false((pcall(mp.retry(fn, { max_attempts = 2, initial_delay = 0 }))))
    assert.equal(2, calls.n)
  end)

  it("yields across its protected calls", function()
    local fn <const> = mp.retry(function(x) return coroutine.yield(x) end)
    local co <const> = coroutine.wrap(function(x) return fn(x) end)
    assert.equal(1, co(1))
    assert.equal(2, co(2))
  end)

  it("around a task gives a task whose attempts are made in the worker", function()
    local task <const> = mp.retry(mp.parallel(failing_there("retry_around", 2), { name = "tried" }), 2)
    local handle <const> = task("x", nil)
    assert.equal("tried", handle:name())
    assert.same({ 3, "x", nil, n = 3 }, table.pack(handle:get()))
  end)

  it("refuses wrong arguments before any work, at the caller", function()
    for _, call in ipairs {
      { "bad argument #1 to 'retry' (function expected, got nil)", function() mp.retry() end },
      { "max_retries must be an integer from 0 to 999999, got -1", function() mp.retry(print, -1) end },
      { "max_retries must be an integer from 0 to 999999, got x", function() mp.retry(print, "x") end },
      { "max_attempts must be an integer from 1 to 1000000, got 0", function() mp.retry(print, { max_attempts = 0 }) end },
      { "bad argument #1 to 'retry_backoff' (function expected, got number)", function() mp.retry_backoff(1) end },
      { "options must be a table, got number", function() mp.retry_backoff(print, 1) end },
      { "unknown option 'max_attempt' (did you mean 'max_attempts'?)", function() mp.retry_backoff(print, { max_attempt = 1 }) end },
      { "max_attempts must be an integer from 1 to 1000000, got 1.5", function() mp.retry_backoff(print, { max_attempts = 1.5 }) end },
      { "backoff must be 'exponential', 'fixed', 'linear', got bogus", function() mp.retry_backoff(print, { backoff = "bogus" }) end },
      { "initial_delay must be a finite number of seconds from 0 to 1e9, got -1",
        function() mp.retry_backoff(print, { initial_delay = -1 }) end },
      { "max_delay must be a finite number of seconds from 0 to 1e9, got x", function() mp.retry_backoff(print, { max_delay = "x" }) end },
      { "jitter must be a number from 0 to 1, got 2", function() mp.retry_backoff(print, { jitter = 2 }) end },
      { "retry_if must be a function, got boolean", function() mp.retry_backoff(print, { retry_if = true }) end },
      { "bad argument #1 to 'retry_cached' (function expected, got nil)", function() mp.retry_cached() end },
      { "cache_failures must be true or false, got 1", function() mp.retry_cached(print, { cache_failures = 1 }) end },
      { "max_attempts must be an integer from 1 to 1000000, got 0", function() mp.retry_cached(print, { max_attempts = 0 }) end },
      { "max must be an integer from 1 to 1125899906842624, got 0", function() mp.retry_cached(print, { max = 0 }) end },
    } do
      local message, place = refusal(call[2])
      assert.equal(call[1], message)
      assert.matches("retry_spec%.lua:%d+$", place or "(nowhere)", nil, nil, call[1])
    end
  end)
end)

describe("mp.retry_backoff", function()
  it("waits as long each time with 'fixed'", function()
    assert_about({ 0.02, 0.02, 0.02 }, delays_of({ backoff = "fixed", initial_delay = 0.02 }, 4))
  end)

  it("waits longer by as much with 'linear'", function()
    assert_about({ 0.02, 0.04, 0.06 }, delays_of({ backoff = "linear", initial_delay = 0.02 }, 4))
  end)

  it("waits twice as long each time by default", function()
    assert_about({ 0.02, 0.04, 0.08 }, delays_of({ initial_delay = 0.02 }, 4))
  end)

  it("never waits longer than max_delay", function()
    local delays <const> = delays_of({ initial_delay = 10, max_delay = 0.01 }, 4)
    assert_about({ 0.01, 0.01, 0.01 }, delays)
    assert.is_true(delays[1] < 5)
  end)

  it("cuts a random part off with jitter, and leaves math.random alone", function()
    math.randomseed(1)
    local expected <const> = math.random(1 << 40)
    math.randomseed(1)
    local delays <const> = delays_of({ backoff = "fixed", initial_delay = 0.02, jitter = 1 }, 10)
    assert.equal(expected, math.random(1 << 40))
    local least, most = math.huge, 0
    for _, delay in ipairs(delays) do least, most = math.min(least, delay), math.max(most, delay) end
    assert.is_true(least < 0.0199, "never shorter")
    assert.is_true(most > least)
  end)

  it("asks retry_if, with the error and the attempt", function()
    local seen, note = support.recorder()
    local fn, calls = failing(9, { code = 503 })
    local ok, err = pcall(mp.retry_backoff(fn, {
      initial_delay = 0,
      max_attempts = 9,
      retry_if = function(e, attempt)
        note(e.code, attempt)
        return attempt < 3
      end,
    }))
    assert.same({ false, { code = 503 } }, { ok, err })
    assert.equal(3, calls.n)
    assert.same({ 503, 3, n = 2 }, seen[3])
  end)

  it("runs callbacks of this state while it waits", function()
    local done = false
    mp.spawn(math.abs, 1):on_complete(function() done = true end)
    pcall(mp.retry_backoff(error, { max_attempts = 2, initial_delay = 0.1 }), "x")
    assert.is_true(done)
  end)

  it("yields in a coroutine of mp.go", function()
    local fn, calls = failing(2)
    local ticks, done = 0, false
    mp.run(function()
      mp.go(function()
        while not done do
          ticks = ticks + 1
          mp.sleep(0.002)
        end
      end)
      mp.retry_backoff(fn, { initial_delay = 0.02, backoff = "fixed" })()
      done = true
    end)
    assert.equal(3, calls.n)
    assert.is_true(ticks >= 3)
  end)

  it("leaves the worker to others while it waits", function()
    local pool <close> = mp.pool { workers = 1 }
    local slow <const> = pool:parallel(mp.retry_backoff(failing_there("retry_waits", 1), { initial_delay = 1, backoff = "fixed" }))()
    support.wait_until(function() return slow:status() == "running" end)
    assert.equal(1, pool:spawn(math.abs, -1):get(support.HANG_SECONDS))
    assert.is_false(slow:is_ready())
    assert.equal(2, slow:get(support.HANG_SECONDS))
  end)

  it("ends when the task is cancelled while it waits, and does not try again", function()
    local handle <const> = mp.parallel(mp.retry_backoff(error, { initial_delay = support.HANG_SECONDS, max_attempts = 3 }))("x")
    support.wait_until(function() return handle:status() == "running" end)
    mp.sleep(0.02)
    local started <const> = mp.now()
    assert.is_true(handle:cancel(support.HANG_SECONDS))
    assert.is_true(mp.now() - started < 10)
    assert.equal("cancelled", handle:status())
  end)

  it("does not try what was cancelled again", function()
    local n = 0
    local ok, err = pcall(mp.retry(function()
      n = n + 1
      local h <const> = support.sleeper()
      h:cancel(support.HANG_SECONDS)
      h:get()
    end))
    assert.same({ false, "cancelled", 1 }, { ok, err.kind, n })
  end)

  it("tells the log at level debug, and nothing else", function()
    local source <const> = [[
      local mp = require "makeparallel"
      pcall(mp.retry(function() error({}, 0) end, 2))
      pcall(mp.retry(function() error("first line\nsecond", 0) end, 1))
      mp.parallel(function() error("there", 0) end, { retry = 1 })():pget()
    ]]
    local child <const> = support.run_child(source)
    assert.same({ "", "" }, { child.stdout, child.stderr })
    local loud <const> = support.run_child(source, { environment = "MAKEPARALLEL_LOG=retry=debug" })
    assert.equal("", loud.stdout)
    assert.matches("makeparallel: debug: retry: attempt 1 of 3 failed: table: 0x%x+; the next in 0 s\n", loud.stderr)
    assert.matches("attempt 2 of 3 failed", loud.stderr, 1, true)
    assert.matches("attempt 1 of 2 failed: first line; the next", loud.stderr, 1, true)
    assert.matches("attempt 1 of 2 failed: there; the next", loud.stderr, 1, true)
  end)

  it("keeps the traceback of the last attempt", function()
    local err <const> = support.failure(mp.parallel(mp.retry(function()
      local function inner() error "deep" end
      inner()
    end, 1))())
    assert.matches("deep", err.message, 1, true)
    assert.matches("in upvalue 'inner'", err.traceback:gsub("local 'inner'", "upvalue 'inner'"), 1, true)
  end)
end)

describe("the option retry of a task", function()
  it("is a number of retries, or a table", function()
    assert.same({ 3, "x" }, { mp.parallel(failing_there("option_number", 2), { retry = 2 }):call("x") })
    assert.equal(3, (mp.parallel(failing_there("option_table", 2), { retry = { max_attempts = 3, initial_delay = 0 } }):call()))
    local handle <const> = mp.parallel(failing_there("option_fails", 2), { retry = 1 })()
    assert.equal("not yet 2", support.failure(handle).message)
  end)

  it("can be given to a call, and then takes the place of the task's own", function()
    local pool <close> = mp.pool { workers = 1 }
    local task <const> = pool:parallel(failing_there("option_with", 1000), { retry = 5 })
    support.failure(task:with { retry = 1 }())
    assert.equal("not yet 4", support.failure(task:with { retry = 1 }()).message) -- two and two attempts, not twelve
    assert.equal("not yet 10", support.failure(task()).message)
  end)

  it("works with functions by name and sources", function()
    assert.equal(7, mp.parallel("math.abs", { retry = 1 }):call(-7))
    assert.equal(7, mp.parallel(mp.source [[ return -... ]], { retry = 1 }):call(-7))
    local pool <close> = mp.pool { workers = 1 }
    assert.equal(7, pool:parallel("math.abs", { retry = 1 }):call(-7))
  end)

  it("is refused when it is wrong, at the caller", function()
    for given, text in pairs {
      [-1] = "max_retries must be an integer from 0 to 999999, got -1",
      x = "retry must be a number of retries or a table, got x",
      [true] = "retry must be a number of retries or a table, got true",
      [{ max_attempts = 0 }] = "max_attempts must be an integer from 1 to 1000000, got 0",
      [{ bakoff = 0 }] = "unknown option 'bakoff' (did you mean 'backoff'?)",
    } do
      local message, place = refusal(function() mp.parallel(math.abs, { retry = given }) end)
      assert.equal(text, message)
      assert.matches("retry_spec%.lua:%d+$", place or "(nowhere)")
    end
  end)
end)

describe("mp.retry_cached", function()
  it("remembers what it got in the end", function()
    local fn, calls = failing(2)
    local cached <const> = mp.retry_cached(fn, { max_attempts = 3 })
    assert.same({ "a", nil, n = 2 }, table.pack(cached("a", nil)))
    assert.same({ "a", nil, n = 2 }, table.pack(cached("a", nil)))
    assert.equal(3, calls.n)
    assert.equal(1, cached:cache_info().hits)
  end)

  it("forgets failures unless told otherwise", function()
    local fn, calls = failing(2)
    local cached <const> = mp.retry_cached(fn, { max_attempts = 1 })
    assert.is_false((pcall(cached)))
    assert.is_false((pcall(cached)))
    assert.is_true((pcall(cached)))
    assert.equal(3, calls.n)
    local err <const> = {}
    fn, calls = failing(9, err)
    local sulking <const> = mp.retry_cached(fn, { max_attempts = 2, cache_failures = true })
    for _ = 1, 3 do
      local ok, got = pcall(sulking)
      assert.is_false(ok)
      assert.equal(err, got)
    end
    assert.equal(2, calls.n)
  end)

  it("has memoize's limits", function()
    local cached <const> = mp.retry_cached(math.abs, { max = 1, max_bytes = 1000, ttl = 9 })
    local info <const> = cached:cache_info()
    assert.same({ 1, 1000, 9 }, { info.max, info.max_bytes, info.ttl })
  end)
end)
