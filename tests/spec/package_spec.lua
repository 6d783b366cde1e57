-- What users of the Python package makeParallel test, carried over: under the names of the module and of makeparallel.compat.
_ENV = require("support").globals(_ENV)
local compat <const> = require "makeparallel.compat"
local mp <const> = require "makeparallel"
local support <const> = require "support"

local HANG <const> = support.HANG_SECONDS

local function map(list, fn)
  local out <const> = {}
  for i, value in ipairs(list) do out[i] = fn(value) end
  return out
end

local function range(first, last)
  local out <const> = {}
  for i = first, last do out[#out + 1] = i end
  return out
end

local function get(handle) return handle:get(HANG) end

describe("timer", function()
  it("returns what the function returns", function()
    local slow <const> = mp.timer(function()
      mp.sleep(0.01)
      return 42
    end)
    assert.equal(42, slow())
    assert.is_true(slow.last >= 0.01)
  end)

  it("passes arguments on", function()
    assert.equal(8, mp.timer(function(a, b) return a + b end)(5, 3))
  end)

  it("works on a method", function()
    local Calculator <const> = {}
    Calculator.__index = Calculator
    Calculator.add = mp.timer(function(self, a, b) return self.bias + a + b end)
    assert.equal(31, setmetatable({ bias = 1 }, Calculator):add(10, 20))
  end)

  it("prints nothing", function()
    local child <const> = support.run_child [[require("makeparallel").timer(function() end)()]]
    assert.same({ 0, "", "" }, { child.code, child.stdout, child.stderr })
  end)
end)

describe("CallCounter", function()
  it("counts", function()
    local counted <const> = mp.CallCounter(function() return "called" end)
    for _ = 1, 3 do assert.equal("called", counted()) end
    assert.equal(3, counted.call_count)
  end)

  it("begins anew after reset", function()
    local counted <const> = mp.CallCounter(function() return 1 end)
    counted()
    counted()
    counted:reset()
    assert.equal(0, counted.call_count)
    counted()
    assert.equal(1, counted.call_count)
  end)

  it("passes arguments on", function()
    local add <const> = mp.CallCounter(function(a, b) return a + b end)
    assert.same({ 3, 7, 2 }, { add(1, 2), add(3, 4), add.call_count })
  end)

  it("works on a method", function()
    local Counter <const> = {}
    Counter.__index = Counter
    Counter.method = mp.CallCounter(function(_, x) return x * 2 end)
    local object <const> = setmetatable({}, Counter)
    assert.same({ 10, 12 }, { object:method(5), object:method(6) })
    assert.equal(2, object.method.call_count)
  end)
end)

describe("retry", function()
  it("succeeds after failures", function()
    for _, retry in ipairs { function(fn) return mp.retry(fn, 3) end, compat.retry(3), compat.retry { max_retries = 3 } } do
      local attempts = 0
      local flaky <const> = retry(function()
        attempts = attempts + 1
        if attempts < 3 then error "not yet" end
        return "success"
      end)
      assert.equal("success", flaky())
      assert.equal(3, attempts)
    end
  end)

  it("fails after the last attempt, with the function's own error", function()
    local reason <const>, attempts = { "always fails" }, 0
    local ok, err = pcall(mp.retry(function()
      attempts = attempts + 1
      error(reason)
    end, 2))
    assert.is_false(ok)
    assert.equal(reason, err)
    assert.equal(3, attempts)
  end)

  it("calls once what succeeds at once", function()
    local counted <const> = mp.CallCounter(function() return 42 end)
    assert.equal(42, mp.retry(counted, 3)())
    assert.equal(1, counted.call_count)
  end)
end)

describe("retry_backoff", function()
  for backoff, least in pairs { exponential = 0.01 + 0.02 + 0.04, linear = 0.01 + 0.02 + 0.03, fixed = 3 * 0.01 } do
    it("waits between attempts: " .. backoff, function()
      local attempts = 0
      local started <const> = mp.now()
      local fn <const> = compat.retry_backoff { max_attempts = 4, backoff = backoff, initial_delay = 0.01, max_delay = 60 } (function()
        attempts = attempts + 1
        if attempts < 4 then error "not yet" end
        return attempts
      end)
      assert.equal(4, fn())
      assert.is_true(mp.now() - started >= least)
    end)
  end

  it("waits no longer than max_delay", function()
    local started <const> = mp.now()
    assert.is_false((pcall(mp.retry_backoff(error, { max_attempts = 4, initial_delay = 1000, max_delay = 0.001 }))))
    assert.is_true(mp.now() - started < HANG)
  end)

  it("makes its attempts where the task runs", function()
    local task <const> = mp.parallel(mp.retry_backoff(function(key)
      local n <const> = (rawget(_G, key) or 0) + 1
      rawset(_G, key, n)
      if n < 3 then error "not yet" end
      return n
    end, { max_attempts = 5, initial_delay = 0.001 }))
    assert.equal(3, get(task "package_spec_backoff"))
  end)
end)

describe("retry_cached", function()
  it("keeps results", function()
    local attempts = 0
    local load <const> = compat.retry_cached { max_attempts = 3 } (function(key)
      attempts = attempts + 1
      if attempts == 1 then error "not yet" end
      return key .. "!"
    end)
    assert.same({ "a!", "a!", 2 }, { load "a", load "a", attempts })
  end)

  it("keeps failures only if told", function()
    for kept, calls in pairs { [true] = 2, [false] = 4 } do
      local attempts = 0
      local load <const> = mp.retry_cached(function()
        attempts = attempts + 1
        error "no"
      end, { max_attempts = 2, cache_failures = kept })
      assert.is_false((pcall(load, 1)))
      assert.is_false((pcall(load, 1)))
      assert.equal(calls, attempts)
    end
  end)
end)

describe("memoize", function()
  it("calls once for equal arguments", function()
    local calls = 0
    local square <const> = mp.memoize(function(x)
      calls = calls + 1
      return x ^ 2
    end)
    assert.same({ 25.0, 25.0, 1 }, { square(5), square(5), calls })
    assert.same({ 36.0, 2 }, { square(6), calls })
    assert.same({ 1, 2 }, { square:cache_info().hits, square:cache_info().misses })
  end)

  it("tells arguments apart that print alike, and those left out", function()
    local kind <const> = mp.memoize(function(...) return select("#", ...) .. math.type((...)) end)
    assert.same({ "1integer", "1float", "2integer" }, { kind(1), kind(1.0), kind(1, nil) })
    local join <const> = mp.memoize(function(a, b) return a .. "|" .. b end)
    assert.same({ "a,b|c", "a|b,c" }, { join("a,b", "c"), join("a", "b,c") })
  end)

  it("serves a recursion", function()
    local fib
    fib = mp.memoize(function(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end)
    assert.equal(9227465, fib(35))
  end)
end)

describe("memoize_fast", function()
  it("calls once for equal arguments", function()
    local calls = 0
    local cube <const> = mp.memoize_fast(function(x)
      calls = calls + 1
      return x ^ 3
    end)
    assert.same({ 27.0, 27.0, 64.0, 2 }, { cube(3), cube(3), cube(4), calls })
  end)

  it("is shared by all workers", function()
    local computed <const> = mp.memoize_fast(mp.profiled(function(x) return x * 2 end, "package_spec shared"))
    local list <const> = {}
    for i = 1, 200 do list[i] = i % 5 end
    mp.map(computed, list, { chunk = 1 })
    assert.equal(5, mp.get_metrics("package_spec shared").total)
    assert.equal(4, computed(2))
    assert.equal(5, mp.get_metrics("package_spec shared").total)
  end)
end)

for name, parallel in pairs { parallel = mp.parallel, parallel_fast = mp.parallel_fast, parallel_pool = mp.parallel_pool,
  ["compat.parallel"] = compat.parallel, ["compat.parallel{}"] = compat.parallel { timeout = HANG } } do
  describe(name, function()
    it("gives a handle at once, and the result by get", function()
      local handle <const> = parallel(function(x) return x * 2 end)(21)
      assert.matches("^handle of task", tostring(handle))
      assert.equal(42, get(handle))
    end)

    it("runs many at a time, results in any order one asks", function()
      local square <const> = parallel(function(x) return x * x end)
      assert.same(map(range(0, 49), function(x) return x * x end), map(map(range(0, 49), square), get))
    end)

    it("takes no arguments, several, and tables", function()
      assert.equal("success", get(parallel(function() return "success" end)()))
      assert.equal(14, get(parallel(function(a, b, options) return (a + b) * options.multiplier end)(3, 4, { multiplier = 2 })))
    end)

    it("returns nil, and large tables", function()
      assert.same({ nil, n = 1 }, table.pack(get(parallel(function() return nil end)())))
      local list <const> = get(parallel(function(n)
        local out <const> = {}
        for i = 1, n do out[i] = i end
        return out
      end)(1000))
      assert.same({ 1000, 1, 1000 }, { #list, list[1], list[1000] })
    end)

    it("raises the function's error from get", function()
      local ok, err = pcall(get, parallel(function() error "test error" end)())
      assert.is_false(ok)
      assert.matches("test error", err.message)
    end)
  end)
end

describe("a handle", function()
  it("is ready when the task has ended, and only then", function()
    local handle <const> = support.sleeper()
    assert.is_false(handle:is_ready())
    handle:cancel()
    assert.is_true(handle:is_ready())
    local done <const> = mp.spawn(type, 1)
    assert.equal("number", get(done))
    assert.is_true(done:is_ready())
  end)

  it("try_get never waits", function()
    local slow <const> = support.sleeper()
    assert.same({ false, n = 1 }, table.pack(slow:try_get()))
    slow:cancel()
    local instant <const> = mp.spawn(function() return nil, 123 end)
    assert.is_true(instant:wait(HANG))
    assert.same({ true, nil, 123, n = 3 }, table.pack(instant:try_get()))
  end)

  it("get gives the same each time", function()
    local handle <const> = mp.spawn(function() return { 1 } end)
    assert.same(get(handle), get(handle))
    local failed <const> = mp.spawn(error, "why")
    assert.same({ "why", "why" }, { support.failure(failed).value, support.failure(failed).value })
  end)

  it("wait returns at its timeout, or as soon as the task has ended, and consumes nothing", function()
    local slow <const> = support.sleeper()
    assert.is_false(slow:wait(0.01))
    slow:cancel()
    local quick <const> = mp.spawn(type, 1)
    local started <const> = mp.now()
    assert.is_true(quick:wait(HANG))
    assert.is_true(mp.now() - started < HANG / 2)
    assert.equal("number", get(quick))
  end)

  it("cancel ends it at once", function()
    local handle <const> = support.sleeper()
    assert.is_true(handle:cancel())
    assert.is_true(handle:is_cancelled())
    assert.is_true(handle:is_ready())
    assert.equal("cancelled", support.failure(handle).kind)
  end)

  it("cancel_with_timeout tells whether it was cancelled", function()
    local running <const>, done <const> = support.sleeper(), mp.spawn(type, 1)
    get(done)
    assert.is_true(running:cancel_with_timeout(HANG))
    assert.is_false(done:cancel_with_timeout(HANG))
    assert.is_false(done:is_cancelled())
  end)

  it("elapsed_time grows and stands still at the end", function()
    local handle <const> = mp.spawn(mp.sleep, 0.02)
    get(handle)
    local elapsed <const> = handle:elapsed_time()
    assert.is_true(elapsed >= 0.02)
    mp.sleep(0.005)
    assert.equal(elapsed, handle:elapsed_time())
  end)

  it("has a name and an id of its own", function()
    local task <const> = mp.parallel(type, { name = "kind" })
    local a <const>, b <const> = task(1), task(2)
    assert.same({ "kind", "kind" }, { a:get_name(), b:name() })
    assert.is_true(a:get_task_id() ~= b:get_task_id())
    assert.equal(a:id(), a:get_task_id())
  end)

  it("keeps metadata", function()
    local handle <const> = mp.spawn(type, 123)
    handle:set_metadata("user_id", "user-abc")
    handle:set_metadata("request_id", "req-123")
    assert.same({ user_id = "user-abc", request_id = "req-123" }, handle:get_all_metadata())
    assert.same({ "user-abc", nil }, { handle:get_metadata "user_id", handle:get_metadata "nothing" })
  end)

  it("ends at its timeout", function()
    local handle <const> = mp.parallel(function() while true do end end):with { timeout = 0.05 } ()
    assert.equal(0.05, handle:get_timeout())
    assert.equal("timeout", support.failure(handle).kind)
    assert.equal("timeout", handle:status())
  end)
end)

describe("an error", function()
  it("has name, id, elapsed time, message, type and traceback", function()
    local handle <const> = mp.parallel(function()
      mp.sleep(0.01)
      error("division by zero", 0)
    end, { name = "divide" })()
    local err <const> = support.failure(handle)
    assert.same({ "divide", handle:id(), "division by zero", "error" }, { err.task, err.task_id, err.message, err.kind })
    assert.is_true(err.elapsed >= 0.01)
    assert.matches("package_spec.lua", err.traceback)
    assert.matches("^division by zero\nworker stack traceback:", tostring(err))
  end)

  it("keeps the value that was raised", function()
    assert.same({ code = 7 }, support.failure(mp.spawn(function() error { code = 7 } end)).value)
  end)
end)

describe("callbacks", function()
  it("on_complete gets the result, once, also when it is registered late", function()
    local calls <const>, record <const> = support.recorder()
    local handle <const> = mp.spawn(function(x) return x * 2, nil end, 21):on_complete(record)
    get(handle)
    handle:on_complete(record)
    support.wait_until(function() return calls.n == 2 end)
    mp.run()
    assert.same({ n = 2, { 42, nil, n = 2 }, { 42, nil, n = 2 } }, calls)
  end)

  it("on_error gets the error, and on_complete is not called", function()
    local errors <const>, record_error <const> = support.recorder()
    local results <const>, record_result <const> = support.recorder()
    mp.spawn(error, "test failure"):on_error(record_error):on_complete(record_result):wait(HANG)
    mp.run()
    assert.same({ 1, 0, "test failure" }, { errors.n, results.n, errors[1][1].value })
  end)

  it("on_progress gets each report, in order, before the end", function()
    local seen <const> = {}
    mp.parallel(function()
      for i = 1, 5 do mp.report_progress(i / 5) end
    end, {
      on_progress = function(fraction) seen[#seen + 1] = fraction end,
      on_complete = function() seen[#seen + 1] = "end" end,
    })()
    mp.run()
    assert.same({ 0.2, 0.4, 0.6, 0.8, 1.0, "end" }, seen)
  end)

  it("that fail harm neither the task nor others", function()
    local before <const> = mp.get_thread_pool_info().callback_errors
    local calls <const>, record <const> = support.recorder()
    local handle <const> = mp.spawn(type, 1):on_complete(function() error "a bad callback" end):on_complete(record)
    assert.equal("number", get(handle))
    mp.run()
    assert.same({ 1, 1 }, { calls.n, mp.get_thread_pool_info().callback_errors - before })
  end)

  it("on_error comes at a timeout", function()
    local calls <const>, record <const> = support.recorder()
    mp.parallel(mp.sleep, { timeout = 0.01, on_error = record })(HANG):wait(HANG)
    mp.run()
    assert.same({ 1, "timeout" }, { calls.n, calls[1][1].kind })
  end)
end)

describe("report_progress", function()
  it("is seen from outside", function()
    local handle <const> = mp.spawn(function()
      mp.report_progress(0.25)
      mp.sleep(60)
    end)
    support.wait_until(function() return handle:get_progress() == 0.25 end)
    handle:cancel()
  end)

  it("takes the task's id, last in compat and first here", function()
    local handle <const> = mp.spawn(function()
      compat.report_progress(0.5, compat.get_current_task_id())
      local half <const> = mp.current():progress()
      mp.report_progress(mp.get_current_task_id(), 0.75)
      return half
    end)
    assert.same({ 0.5, 0.75 }, { get(handle), handle:progress() })
  end)

  it("refuses NaN, infinities and what is outside of 0 to 1", function()
    local accepted <const> = mp.spawn(function()
      local n = 0
      for _, bad in ipairs { 0 / 0, 1 / 0, -1 / 0, -0.1, 1.1 } do
        if pcall(mp.report_progress, bad) then n = n + 1 end
      end
      return n, pcall(mp.report_progress, 0), pcall(mp.report_progress, 1)
    end)
    assert.same({ 0, true, true, n = 3 }, table.pack(get(accepted)))
  end)
end)

describe("get_current_task_id", function()
  it("is the task's inside, and nil outside", function()
    local handle <const> = mp.spawn(mp.get_current_task_id)
    assert.equal(handle:get_task_id(), get(handle))
    assert.same({ nil, n = 1 }, table.pack(mp.get_current_task_id()))
  end)
end)

describe("parallel_map", function()
  it("keeps the order", function()
    local results <const> = mp.parallel_map(function(x) return x * 2 end, range(0, 99))
    assert.equal(100, results.n)
    results.n = nil
    assert.same(map(range(0, 99), function(x) return x * 2 end), results)
  end)

  it("of nothing is nothing, and nil is a result", function()
    assert.same({ n = 0 }, (mp.parallel_map(math.abs, {})))
    assert.same({ nil, 2, nil, n = 3 }, (compat.parallel_map(function(x) return x == 2 and x or nil end, { 1, 2, 3 })))
  end)

  it("raises an item's error", function()
    assert.is_false((pcall(mp.parallel_map, error, { 1, 2, 3 })))
  end)
end)

describe("gather", function()
  local task <const> = mp.parallel(function(x)
    if x == 2 then error("two", 0) end
    return x * 10
  end)

  it("raises", function()
    for _, gather in ipairs { mp.gather, compat.gather } do
      local ok, err = pcall(gather, map({ 1, 2, 3 }, task))
      assert.same({ false, "two" }, { ok, err.message })
    end
  end)

  it("skips", function()
    assert.same({ 10, 30, n = 2 }, (mp.gather(map({ 1, 2, 3 }, task), { on_error = "skip" })))
    assert.same({ 10, 30, n = 2 }, (compat.gather(map({ 1, 2, 3 }, task), "skip")))
  end)

  it("leaves nil, and tells what failed", function()
    local results, errors = mp.gather(map({ 1, 2, 3 }, task), { on_error = "none" })
    assert.same({ 10, nil, 30, n = 3 }, results)
    assert.same({ 1, 2, "two" }, { #errors, errors[1].index, errors[1].error.message })
    assert.same({ 10, nil, 30, n = 3 }, (compat.gather(map({ 1, 2, 3 }, task), "none")))
  end)

  it("refuses another word", function()
    assert.matches("on_error must be 'raise', 'skip', 'none', got bogus", (support.refusal(compat.gather, {}, "bogus")), 1, true)
  end)
end)

describe("ParallelContext", function()
  it("has waited for all when it is left", function()
    local a, b
    do
      local ctx <close> = compat.ParallelContext { timeout = HANG }
      a, b = ctx:submit(mp.parallel(function(x) return x * 2 end), 5), ctx:submit(math.abs, -10)
    end
    assert.same({ true, true, 10, 10 }, { a:is_ready(), b:is_ready(), a:get(), b:get() })
  end)

  it("raises the first failure again", function()
    local ok, err = pcall(function()
      local ctx <close> = mp.context()
      ctx:submit(error, "lost?")
    end)
    assert.same({ false, "lost?" }, { ok, err.value })
  end)

  it("ends tasks at its timeout", function()
    local ok, err = pcall(function()
      local ctx <close> = mp.ParallelContext { timeout = 0.02 }
      ctx:submit(mp.sleep, HANG)
    end)
    assert.same({ false, "timeout" }, { ok, err.kind })
  end)
end)

describe("profiled", function()
  it("counts calls, completed and failed, and measures them", function()
    mp.reset_metrics()
    local fn <const> = mp.profiled(function(n)
      mp.sleep(0.002)
      return n > 0 and n * 2 or error "no"
    end, "package_spec")
    for i = 1, 3 do assert.equal(i * 2, fn(i)) end
    assert.is_false((pcall(fn, 0)))
    local m <const> = mp.get_metrics "package_spec"
    assert.same({ 4, 3, 1 }, { m.total, m.completed, m.failed })
    assert.is_true(m.total_ms >= 8 and m.average_ms >= 2 and m.min_ms <= m.p50_ms and m.p99_ms <= m.max_ms * 1.1)
    assert.is_not_nil(mp.get_all_metrics().package_spec)
  end)

  it("counts in workers", function()
    local fn <const> = mp.parallel(mp.profiled(function(x) return x end, "package_spec worker"))
    map(map(range(1, 20), fn), get)
    assert.equal(20, mp.get_metrics("package_spec worker").completed)
  end)

  it("has the package's field names in compat, and the global counts", function()
    compat.reset_metrics()
    compat.profiled(type, "package_spec compat")(1)
    assert.is_false((pcall(compat.profiled(error, "package_spec compat 2"))))
    local m <const> = compat.get_metrics "package_spec compat"
    assert.same({ 1, 1, 0 }, { m.total_tasks, m.completed_tasks, m.failed_tasks })
    assert.equal(m.total_ms, m.total_execution_time_ms)
    local all <const> = compat.get_all_metrics()
    assert.same({ 2, 1, 1 }, { all._global_total, all._global_completed, all._global_failed })
    assert.equal(1, all["package_spec compat 2"].failed_tasks)
  end)

  it("begins anew after reset_metrics", function()
    mp.profiled(type, "package_spec reset")(1)
    mp.reset_metrics()
    assert.equal(0, mp.get_metrics("package_spec reset").total)
    assert.is_nil(mp.get_metrics "package_spec nobody")
  end)
end)

describe("priorities", function()
  local function order_of(submit)
    local pool <close> = mp.pool { workers = 1 }
    local order <const> = {}
    local gate <const> = support.sleeper(pool)
    local handles <const> = submit(pool, function(value) order[#order + 1] = value end)
    gate:cancel()
    mp.wait_all(handles, HANG)
    mp.run()
    return order
  end

  it("decide who is first; equal ones keep their order", function()
    assert.same({ 10, 5, 1, 0, -3 }, order_of(function(pool, done)
      local task <const> = pool:parallel(function(x) return x end, { on_complete = done })
      return map({ 1, 5, 10, 0, -3 }, function(p) return task:with { priority = p } (p) end)
    end))
    assert.same({ 1, 2, 3, 4 }, order_of(function(pool, done)
      return map({ 1, 2, 3, 4 }, pool:parallel(function(x) return x end, { priority = 3, on_complete = done }))
    end))
  end)

  it("come first with parallel_priority, whether a worker for them is started or not", function()
    compat.start_priority_worker()
    assert.same({ 10, 5, 1 }, order_of(function(pool, done)
      local task <const> = compat.parallel_priority(function(x) return x end, { pool = pool, on_complete = done })
      return map({ 1, 5, 10 }, function(p) return task(p, p) end)
    end))
    compat.stop_priority_worker()
    assert.equal(5, get(compat.parallel_priority(math.abs)(9, -5)))
  end)
end)

describe("dependencies", function()
  it("give their results first: one, several, a chain, a diamond", function()
    local with_deps <const> = compat.parallel_with_deps
    local source <const> = with_deps(function() return "data" end)
    local a <const> = with_deps(function(deps) return "A(" .. deps[1] .. ")" end)
    local b <const> = with_deps(function(deps) return "B(" .. deps[1] .. ")" end)
    local merge <const> = with_deps(function(deps, sign) return deps[1] .. sign .. deps[2] .. deps.n end)
    local h <const> = source()
    local ha <const>, hb <const> = a:with { after = { h } } (), b:with { after = h } ()
    assert.equal("A(data)+B(data)2", get(merge:with { after = { ha, hb } } "+"))
    local step = with_deps(function() return 10 end)()
    for _ = 1, 3 do step = with_deps(function(deps) return deps[1] * 2 end):with { after = { step } } () end
    assert.equal(80, get(step))
  end)

  it("are handles among the arguments", function()
    local add <const> = mp.parallel(function(x, y) return x + y end)
    assert.equal(10, get(add(add(1, 2), add(3, 4))))
  end)

  it("that fail end what depends on them, with the reason", function()
    local started <const> = mp.now()
    local failing <const> = mp.parallel_with_deps(function() error("source failed", 0) end)
    local child <const> = mp.parallel_with_deps(function() return "never" end)
    local last = failing()
    for _ = 1, 10 do last = child:with { after = { last } } () end
    local err <const> = support.failure(last)
    assert.same({ "dependency", "source failed" }, { err.kind, err.cause.message })
    assert.is_true(mp.now() - started < HANG / 2)
  end)

  it("work with callbacks and progress", function()
    local seen <const> = {}
    local first <const> = mp.parallel(function()
      mp.report_progress(1)
      return 1
    end, { on_progress = function(p) seen[#seen + 1] = p end })()
    mp.spawn(function(x) return x + 1 end, first):on_complete(function(x) seen[#seen + 1] = x end)
    mp.run()
    assert.same({ 1.0, 2 }, seen)
  end)
end)

describe("methods of objects", function()
  it("run in parallel with the object's fields", function()
    local worker <const> = { factor = 3 }
    worker.process = mp.parallel(function(self, x) return x * self.factor end)
    assert.equal(21, get(worker:process(7)))
  end)
end)

describe("combined", function()
  it("memoize over timer", function()
    local timed <const> = mp.timer(function(x) return x ^ 2 end)
    local cached <const> = mp.memoize(timed)
    assert.same({ 25.0, 25.0, 1 }, { cached(5), cached(5), timed.count })
  end)

  it("memoize_fast inside parallel_pool, retry and profiled around", function()
    local fn <const> = mp.parallel_pool(mp.profiled(mp.retry(mp.memoize_fast(function(x) return x * x end), 2), "package_spec all"))
    assert.same({ 49, 49 }, { get(fn(7)), get(fn(7)) })
    assert.equal(2, mp.get_metrics("package_spec all").completed)
  end)
end)

-- What changes the default pool runs in a process of its own.
describe("the pool", function()
  local function prints(lines, source)
    local child <const> = support.run_child(source)
    assert.same({ 0, "", lines }, { child.code, child.stderr, child.stdout })
  end

  it("is configured, and tells about itself", function()
    prints("false\ntrue\t4\t4\n3\n", [[
      local compat, mp = require "makeparallel.compat", require "makeparallel"
      print(compat.get_thread_pool_info().configured)
      compat.configure_thread_pool(4, 2 * 1024 * 1024)
      local info = compat.get_thread_pool_info()
      print(info.configured, info.current_num_threads, info.workers)
      mp.configure_thread_pool(3)
      print(mp.get_thread_pool_info().workers)
    ]])
  end)

  it("refuses wrong numbers, at the caller's line", function()
    prints("false\tchild:2: workers must be an integer from 1 to 1024, got 0\nfalse\n", [[
      local compat = require "makeparallel.compat"
      local f = load("local c = ...\nc.configure_thread_pool(0)", "=child")
      print(pcall(f, compat))
      print(compat.get_thread_pool_info().configured)
    ]])
  end)

  it("never has more tasks than set_max_concurrent_tasks says", function()
    prints("20\ttrue\n", [[
      local mp = require "makeparallel"
      mp.set_max_concurrent_tasks(5)
      local handles = {}
      for i = 1, 20 do handles[i] = mp.spawn(mp.sleep, 0.002) end
      mp.wait_all(handles)
      local info = mp.get_thread_pool_info()
      print(info.done, info.peak <= 5)
    ]])
  end)

  it("takes a memory limit in percent, and refuses others", function()
    prints("number\nfalse\nfalse\nfalse\n", [[
      local mp = require "makeparallel"
      mp.configure_memory_limit(100)
      print(mp.spawn(type, 1):get())
      for _, bad in ipairs { 0, 101, 0/0 } do print((pcall(mp.configure_memory_limit, bad))) end
    ]])
  end)

  it("counts active tasks", function()
    prints("3\n0\n", [[
      local mp = require "makeparallel"
      local handles = {}
      for i = 1, 3 do handles[i] = mp.spawn(mp.sleep, 100) end
      print(mp.get_active_task_count())
      for _, handle in ipairs(handles) do handle:cancel() end
      while mp.get_active_task_count() > 0 do mp.sleep(0.001) end
      print(mp.get_active_task_count())
    ]])
  end)

  it("shuts down in time, refuses tasks, and starts again after reset_shutdown", function()
    prints("true\ttrue\nfalse\tshutdown\tpool is shut down\nnumber\n", [[
      local mp = require "makeparallel.compat"
      local handles = {}
      for i = 1, 3 do handles[i] = mp.parallel(mp.sleep)(100) end
      local started = mp.now()
      local _, report = mp.shutdown(0.05, true)
      print(mp.now() - started < 30, report.cancelled == 3 and handles[3]:is_ready())
      local ok, err = pcall(mp.parallel(type), 1)
      print(ok, err.kind, (err.message:match "pool is.*"))
      mp.reset_shutdown()
      print(mp.parallel(type)(1):get())
    ]])
  end)

  it("finishes what waits, if told to", function()
    prints("20\t0\n", [[
      local mp = require "makeparallel"
      for i = 1, 20 do mp.spawn(mp.sleep, 0.001) end
      local report = mp.shutdown { timeout = 30, cancel_pending = false }
      print(report.done, report.cancelled)
    ]])
  end)
end)
