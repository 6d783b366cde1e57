_ENV = require("support").globals(_ENV)
local compat <const> = require "makeparallel.compat"
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("makeparallel.compat", function()
  it("has everything of makeparallel", function()
    for name in pairs(mp) do assert.is_not_nil(compat[name], name) end
    for _, name in ipairs { "parallel_map", "set_max_concurrent_tasks", "configure_memory_limit", "get_active_task_count",
      "get_current_task_id", "reset_shutdown", "CallCounter", "timer", "ParallelContext" } do
      assert.is_function(compat[name], name)
    end
  end)

  it("takes a decorator's options first", function()
    local fn <const> = function(x) return x end
    assert.equal(5, compat.retry(3)(fn)(5))
    assert.equal(5, compat.retry { max_retries = 2 }(fn)(5))
    assert.equal(5, compat.retry()(fn)(5))
    assert.equal(5, compat.retry(fn, 3)(5))
    assert.equal(5, compat.retry_backoff { max_attempts = 3, backoff = "linear" }(fn)(5))
    assert.equal(5, compat.retry_cached { max_attempts = 3, cache_failures = true }(fn)(5))
    assert.equal(5, compat.parallel { timeout = 5 }(fn):call(5))
    assert.equal(5, compat.parallel(fn, { timeout = 5 }):call(5))
    assert.equal(5, compat.parallel_fast(fn):call(5))
    assert.equal(5, compat.parallel_priority()(fn)(9, 5):get())
    assert.equal(0, compat.parallel_with_deps()(function(deps) return deps.n end):call())
    assert.equal(5, compat.memoize { max = 3 }(fn)(5))
    assert.equal(5, compat.memoize_fast { max = 3 }(fn)(5))
    assert.equal(5, compat.memoize(compat.retry(compat.parallel(fn)))(5):get())
  end)

  it("refuses what the decorators refuse", function()
    assert.equal("max_attempts must be an integer from 1 to 1000000, got 0",
      (support.refusal(function() compat.retry_backoff { max_attempts = 0 }(print) end)))
    assert.equal("bad argument #1 to 'retry' (function expected, got nil)", (support.refusal(compat.retry(3))))
  end)

  it("gathers with on_error by position", function()
    local handles <const> = { mp.spawn(math.abs, -1), mp.spawn(error, "x") }
    assert.same({ 1, n = 1 }, (compat.gather(handles, "skip")))
    assert.same({ 1, nil, n = 2 }, (compat.gather(handles, "none", 5)))
    assert.same({ 1, n = 1 }, (compat.gather(handles, { on_error = "skip" })))
    assert.is_false((pcall(compat.gather, handles)))
  end)

  it("has the handle's methods as the package spells them", function()
    local handle <const> = mp.parallel(function()
      mp.report_progress(0.5)
      mp.sleep(0.01)
    end, { name = "named", timeout = 50, metadata = { key = 1 } })()
    handle:wait()
    assert.same({ "named", handle:id() }, { handle:get_name(), handle:get_task_id() })
    assert.same({ 0.5, 50.0 }, { handle:get_progress(), handle:get_timeout() })
    assert.same({ key = 1 }, handle:get_all_metadata())
    assert.equal((handle:elapsed()), handle:elapsed_time())
    assert.equal(1, select("#", handle:elapsed_time()))
    local sleeper <const> = support.sleeper()
    assert.is_true(sleeper:cancel_with_timeout(support.HANG_SECONDS))
    assert.is_true(sleeper:is_cancelled())
    assert.matches("grace must be a finite number", (support.refusal(sleeper.cancel_with_timeout, sleeper, -1)))
  end)

  it("reports progress with the id last", function()
    local a <const> = mp.spawn(function()
      compat.report_progress(0.25)
      compat.report_progress(0.5, compat.get_current_task_id())
      return compat.get_current_task_id()
    end)
    assert.equal(a:id(), a:get())
    assert.equal(0.5, a:progress())
    local b <const> = support.sleeper()
    compat.report_progress(0.75, b)
    assert.equal(0.75, b:get_progress())
    b:cancel(support.HANG_SECONDS)
  end)

  it("accepts what starts and stops priorities", function()
    compat.start_priority_worker()
    compat.stop_priority_worker()
    assert.equal(1, compat.parallel_priority(math.abs)(9, -1):get())
  end)

  it("gives metrics the package's field names, too", function()
    compat.profiled(math.abs, "compat spec")(1)
    local metrics <const> = compat.get_metrics "compat spec"
    assert.same({ 1, 1, 0 }, { metrics.total_tasks, metrics.completed_tasks, metrics.failed_tasks })
    assert.equal(metrics.total_ms, metrics.total_execution_time_ms)
    assert.equal(metrics.average_ms, compat.get_all_metrics()["compat spec"].average_execution_time_ms)
    assert.is_nil(compat.get_metrics "nobody")
  end)

  it("takes for a function whatever can be run in a worker", function()
    assert.equal("X", compat.parallel("string.upper")("x"):get())
    assert.equal(2, compat.parallel_priority(mp.source "return ... + 1")(0, 1):get())
  end)

  it("configures and shuts down by position", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel.compat"
      mp.configure_thread_pool(3, 1 << 20)
      print(mp.get_thread_pool_info().workers)
      mp.configure_thread_pool { workers = 2 }
      print(mp.get_thread_pool_info().workers)
      mp.parallel(math.abs)(1):get()
      local ok, report = mp.shutdown(5, true)
      print(ok, report.done)
      mp.reset_shutdown()
      print(mp.shutdown { timeout = 5 }.done)
      print(pcall(mp.configure_thread_pool, 0))
    ]]
    assert.equal("", child.stderr)
    assert.matches("^3\n2\ntrue\t1\n0\nfalse\tworkers must be an integer from 1 to 1024, got 0\n$", child.stdout)
  end)

  it("tells by its shutdown whether all has ended", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel.compat"
      local h = mp.spawn(os.execute, "sleep 5")
      while h:status() ~= "running" do end
      local ok, report = mp.shutdown(0.05, true)
      print(ok, report.stuck)
    ]]
    assert.equal("false\t1\n", child.stdout)
  end)

  it("takes a context's timeout by position", function()
    local ctx <close> = compat.ParallelContext(60)
    assert.is_true(ctx:submit(mp.sleep, 0):timeout() <= 60)
    assert.matches("timeout must be a finite number of seconds", support.refusal(compat.ParallelContext, -1), 1, true)
  end)
end)
