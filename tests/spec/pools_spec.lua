_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local HANG <const> = support.HANG_SECONDS

local function set_global(name, value) rawset(_G, name, value) end
local function get_global(name) return rawget(_G, name) end

describe("a pool", function()
  it("has the number of workers asked for, and tells about itself", function()
    local pool <close> = mp.pool { workers = 3 }
    assert.equal("pool of 3 workers", tostring(pool))
    pool:spawn(math.abs, 1):get()
    support.failure(pool:spawn(error))
    support.wait_until(function() return pool:info().finished == 2 and pool:info().running == 0 end)
    local info <const> = pool:info()
    assert.same({ 3, 2, 2, 1, 1, 0, 0, 0, false },
      { info.workers, info.submitted, info.finished, info.done, info.failed, info.cancelled, info.timed_out, info.waiting, info.shut_down })
    assert.is_true(info.bytes > 0)
  end)

  it("has at least one worker by default, and no more than there are cores", function()
    local pool <close> = mp.pool()
    local cores <const> = io.popen "nproc"
    assert.is_true(pool:info().workers >= 1 and pool:info().workers <= cores:read "n")
    cores:close()
  end)

  it("has threads that are gone after its shutdown", function()
    mp.spawn(math.abs, 1):get()
    local before <const> = support.threads()
    do
      local pool <close> = mp.pool { workers = 5 }
      pool:spawn(math.abs, 1):get()
      assert.is_true(support.threads() >= before + 5)
    end
    support.wait_until(function() return support.threads() == before end)
  end)

  it("does not meet another: counts, globals and tasks are its own", function()
    local a <close> = mp.pool { workers = 1 }
    local b <close> = mp.pool { workers = 1 }
    a:spawn(set_global, "whose", "a"):get()
    b:spawn(set_global, "whose", "b"):get()
    assert.same({ "a", "b" }, { a:spawn(get_global, "whose"):get(), b:spawn(get_global, "whose"):get() })
    assert.equal(2, a:info().submitted)
    local task <const> = mp.parallel(get_global, { pool = b })
    assert.equal("b", task:call "whose")
    assert.equal(3, b:info().submitted)
    assert.equal("b", task:with { name = "x" } ("whose"):get())
    assert.equal("a", task:with { pool = a } ("whose"):get())
  end)

  it("has the methods of the module", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal(1, pool:parallel(math.abs, { name = "x" })(-1):get())
    assert.equal(1, pool:spawn(math.abs, -1):get())
    assert.same({ 1, 2, n = 2 }, pool:map(math.abs, { -1, -2 }))
  end)

  it("is closed by garbage collection", function()
    mp.spawn(math.abs, 1):get() -- the default pool's threads are there from the start
    local before <const> = support.threads()
    local handles <const> = {}
    for i = 1, 5 do
      local pool <const> = mp.pool { workers = 2 }
      handles[i] = pool:spawn(math.abs, -i)
      handles[i]:get()
    end
    collectgarbage()
    collectgarbage()
    support.wait_until(function() return support.threads() == before end)
    for i, h in ipairs(handles) do
      assert.equal("done", h:status())
      assert.equal(i, h:get())
    end
  end)

  it("that was dropped lives as long as a handle whose result nobody has asked for", function()
    mp.spawn(math.abs, 1):get()
    local before <const> = support.threads()
    local function start(fn, options)
      return mp.pool({ workers = 1, log = "off" }):parallel(fn, options)()
    end
    local h, with_metadata = start(function() mp.sleep(0.1) return "result" end), start(math.abs, { metadata = { n = 1 } })
    local called
    start(function() mp.sleep(0.05) return "callback" end, { on_complete = function(text) called = text end })
    for _ = 1, 3 do collectgarbage() end
    assert.equal("result", h:get())
    assert.equal("failed", (with_metadata:pget() and "done" or with_metadata:status()))
    support.wait_until(function() mp.poll() return called end)
    assert.equal("callback", called)
    support.wait_until(function()
      collectgarbage()
      return support.threads() == before
    end)
    local dropped = start(function() mp.sleep(60) end)
    assert.equal("userdata", type(dropped))
    dropped = nil -- luacheck: ignore
    support.wait_until(function()
      collectgarbage()
      return support.threads() == before
    end)
    assert.equal(1, with_metadata:get_metadata "n")
  end)

  it("cancels what is left when it is collected or closed", function()
    local h, queued
    do
      local pool <close> = mp.pool { workers = 1 }
      h = support.sleeper(pool)
      queued = pool:spawn(math.abs, 1)
    end
    assert.equal("cancelled", queued:status())
    assert.is_true(h:is_ready())
  end)

  it("refuses everything after its shutdown with one text, and its handles stay readable", function()
    local pool <const> = mp.pool { workers = 1 }
    local h <const> = pool:spawn(math.abs, -5)
    local task <const> = pool:parallel(math.abs)
    h:get()
    pool:shutdown()
    for _, call in ipairs {
      function() pool:spawn(math.abs, 1) end,
      function() pool:map(math.abs, { 1 }) end,
      function() pool:parallel(math.abs)() end,
      function() task(1) end,
      function() task:call(1) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.equal("shutdown", err.kind)
      assert.matches("pools_spec.lua:%d+: pool is shut down$", err.message)
    end
    assert.equal(5, h:get())
    assert.equal("pool (shut down)", tostring(pool))
    assert.is_true(pool:info().shut_down)
    assert.same({ done = 1, cancelled = 0, stuck = 0 }, pool:shutdown())
  end)

  it("may be closed twice, and by <close> after a shutdown", function()
    local pool <close> = mp.pool { workers = 1 }
    pool:shutdown()
    pool:shutdown { timeout = 0 }
  end)

  it("made and dropped with tasks in it at random moments loses none", function()
    math.randomseed(support.seed)
    for _ = 1, support.scaled(30) do
      local handles <const> = {}
      do
        local pool <close> = mp.pool { workers = math.random(3) }
        for i = 1, math.random(50) do handles[i] = pool:spawn(math.abs, -i) end
      end
      for i, h in ipairs(handles) do
        assert.is_true(h:is_ready())
        if h:status() == "done" then assert.equal(i, h:get()) else assert.equal("cancelled", h:status()) end
      end
    end
  end)
end)

describe("shutdown", function()
  it("reports what was done, cancelled and stuck", function()
    local pool <close> = mp.pool { workers = 1 }
    pool:spawn(math.abs, 1):get()
    local sleeper <const> = support.sleeper(pool)
    local queued <const> = { pool:spawn(math.abs, 1), pool:spawn(math.abs, 2) }
    local report <const> = pool:shutdown { timeout = 0.05 }
    assert.equal(0, report.stuck)
    assert.equal(3, report.cancelled + report.done - 1)
    assert.is_true(report.cancelled >= 2)
    assert.is_true(sleeper:is_ready())
    for _, h in ipairs(queued) do assert.equal("cancelled", h:status()) end
  end)

  it("with cancel_pending = false lets all finish that was accepted", function()
    local pool <close> = mp.pool { workers = 1 }
    local handles <const> = {}
    for i = 1, 20 do handles[i] = pool:spawn(mp.sleep, 0.001) end
    assert.same({ done = 20, cancelled = 0, stuck = 0 }, pool:shutdown { cancel_pending = false })
    for _, h in ipairs(handles) do assert.equal("done", h:status()) end
  end)

  it("returns at its deadline with a task that does not stop, which is counted", function()
    local pool <const> = mp.pool { workers = 1 }
    local h <const> = pool:spawn(os.execute, "sleep 3")
    support.wait_until(function() return h:status() == "running" end)
    local started <const> = mp.now()
    local report <const> = pool:shutdown { timeout = 0.05 }
    assert.is_true(mp.now() - started < 2.5 or support.sanitized)
    assert.equal(1, report.stuck)
    assert.is_true(h:is_ready())
    assert.is_false(h:status() == "done")
  end)

  it("delivers the callbacks of what it ended", function()
    local calls, record = support.recorder()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = support.sleeper(pool)
    for _ = 1, 5 do pool:spawn(math.abs, 1):on_error(record) end
    blocker:on_error(record)
    pool:shutdown { timeout = 0.1 }
    mp.poll()
    assert.equal(6, calls.n)
  end)

  it("of the default pool lasts until reset_shutdown", function()
    mp.spawn(math.abs, 1):get()
    local h <const> = mp.spawn(math.abs, -2)
    h:get()
    local report <const> = mp.shutdown()
    assert.is_true(report.done >= 2)
    for _, call in ipairs {
      function() mp.spawn(math.abs, 1) end,
      function() mp.parallel(math.abs)(1) end,
      function() mp.map(math.abs, { 1 }) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.matches("pool is shut down", tostring(err), 1, true)
    end
    assert.equal(2, h:get())
    assert.equal(0, mp.get_active_task_count())
    mp.shutdown()
    mp.reset_shutdown()
    assert.equal(3, mp.spawn(math.abs, -3):get())
    mp.reset_shutdown() -- nothing to reset: harmless
    assert.equal(3, mp.spawn(math.abs, -3):get())
    assert.equal(2, h:get())
  end)

  it("before the first task shuts down as well", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      local report = mp.shutdown()
      print(report.done, report.cancelled, report.stuck, (pcall(mp.spawn, print)))
      print(mp.get_active_task_count())
      mp.reset_shutdown()
      print(mp.spawn(math.abs, -1):get())
    ]]
    assert.equal("0\t0\t0\tfalse\n0\n1\n", child.stdout, child.stderr)
  end)
end)

describe("configure", function()
  it("applies to the next default pool, and to one that has nothing left to do", function()
    mp.configure { workers = 3 }
    assert.equal(3, mp.get_thread_pool_info().workers)
    mp.spawn(math.abs, 1):get()
    mp.configure_thread_pool(1)
    assert.equal(1, mp.get_thread_pool_info().workers)
    assert.equal(1, mp.spawn(math.abs, -1):get())
    mp.configure_thread_pool { workers = 2 }
    assert.equal(2, mp.get_thread_pool_info().workers)
  end)

  it("is refused while tasks are unfinished", function()
    local h <const> = support.sleeper()
    assert.matches("the pool has unfinished tasks", (support.refusal(mp.configure, { workers = 2 })), 1, true)
    h:cancel(HANG)
    mp.configure { workers = 2 }
  end)

  it("keeps handles of the pool before readable, and task objects usable", function()
    local h <const> = mp.spawn(math.abs, -4)
    h:get()
    local task <const> = mp.parallel(math.abs, { name = "again" })
    task:call(1)
    mp.configure { workers = 2 }
    assert.equal(4, h:get())
    assert.equal(5, task:call(-5))
  end)

  it("does not lose callbacks of the pool before", function()
    local calls, record = support.recorder()
    local h <const> = mp.spawn(math.abs, -4):on_complete(record)
    support.wait_until(function() return h:is_ready() end)
    local late <const> = mp.spawn(math.abs, -4):on_complete(record)
    while not late:is_ready() do end
    mp.configure { workers = 2 }
    mp.run()
    assert.equal(2, calls.n)
  end)

  it("that is refused changes nothing", function()
    mp.configure { workers = 2 }
    pcall(mp.configure, { workers = 1, isolate = "bogus" })
    assert.equal(2, mp.get_thread_pool_info().workers)
  end)
end)

describe("setup", function()
  it("runs in each worker before its first task, with its upvalues", function()
    local value <const> = { 42 }
    local pool <close> = mp.pool { workers = 2, setup = function() rawset(_G, "from_setup", value[1]) end }
    for _ = 1, 10 do assert.equal(42, pool:spawn(get_global, "from_setup"):get()) end
  end)

  it("may be a module's function", function()
    local pool <close> = mp.pool { workers = 1, setup = require("fixtures.counter").increment }
    assert.equal(2, pool:spawn("fixtures.counter.increment"):get())
  end)

  it("that fails fails each task with its error", function()
    local pool <close> = mp.pool { workers = 1, setup = function() error("no setup today", 0) end }
    for _ = 1, 2 do
      local err <const> = support.failure(pool:spawn(math.abs, 1))
      assert.equal("error", err.kind)
      assert.equal("cannot set up a worker: no setup today", err.message)
    end
    assert.equal(2, pool:info().failed)
  end)

  local function failure_of_setup(setup, options)
    local pool <close> = mp.pool { workers = 1, setup = setup, worker_memory_limit = options and options.worker_memory_limit }
    return support.failure(pool:spawn(math.abs, 1))
  end

  it("that fails tells the whole text, where, and what was raised", function()
    local err = failure_of_setup(function() error("long " .. ("x"):rep(400) .. " end", 0) end)
    assert.equal("cannot set up a worker: long " .. ("x"):rep(400) .. " end", err.message)
    err = failure_of_setup(function()
      local function inner(nothing) return nothing.field end
      return (inner())
    end)
    assert.matches("pools_spec.lua:%d+: in .-inner", err.traceback)
    err = failure_of_setup(function() error { code = 5, message = "no licence" } end)
    assert.equal("cannot set up a worker: no licence", err.message)
    assert.same({ code = 5, message = "no licence" }, err.value)
    err = failure_of_setup(function() error(setmetatable({}, { __tostring = function() return "an object" end })) end)
    assert.equal("cannot set up a worker: an object", err.message)
    err = failure_of_setup(function() mp.spawn(error, "inner"):get() end)
    assert.matches("^cannot set up a worker: inner", err.message)
    assert.equal("inner", err.cause.message)
  end)

  it("that fails for lack of memory has an error of that kind", function()
    local err <const> = failure_of_setup(function()
      local all = {}
      for i = 1, 1e6 do all[i] = { i } end
      return all
    end, { worker_memory_limit = 4 << 20 })
    assert.equal("memory", err.kind)
    assert.matches("^cannot set up a worker: ", err.message)
  end)

  it("that cannot be sent is refused when the pool is made", function()
    local file <const> = io.stdout
    assert.matches("upvalue 'file'", (support.refusal(mp.pool, { setup = function() return file end })), 1, true)
  end)
end)

describe("preload", function()
  it("requires modules in each worker", function()
    local pool <close> = mp.pool { workers = 2, preload = { "fixtures.counter", "string" } }
    assert.is_true(pool:spawn(function() return package.loaded["fixtures.counter"] ~= nil end):get())
    local other <close> = mp.pool { workers = 1 }
    assert.is_false(other:spawn(function() return package.loaded["fixtures.counter"] ~= nil end):get())
  end)

  it("fails each task with the module's error", function()
    local pool <close> = mp.pool { workers = 1, preload = { "fixtures.broken" } }
    assert.matches("^cannot set up a worker: .*this module is broken", support.failure(pool:spawn(math.abs, 1)).message)
  end)
end)

describe("isolate", function()
  it("none: globals stay from task to task", function()
    local pool <close> = mp.pool { workers = 1, isolate = "none" }
    pool:spawn(set_global, "kept", 1):get()
    assert.equal(1, pool:spawn(get_global, "kept"):get())
  end)

  it("env: each task has globals of its own that read through", function()
    local pool <close> = mp.pool { workers = 1, isolate = "env" }
    local function count()
      visits = (visits or 0) + 1 -- luacheck: ignore 111 113
      return visits, tostring(math.pi):sub(1, 4), _G.visits -- luacheck: ignore 113
    end
    for _ = 1, 3 do assert.same({ 1, "3.14", 1 }, { pool:spawn(count):get() }) end
    assert.same({ 1 }, { pool:spawn(mp.source "seen = (seen or 0) + 1 return seen"):get() })
    assert.same({ 1 }, { pool:spawn(mp.source "seen = (seen or 0) + 1 return seen"):get() })
    assert.same({ { 1, 1, n = 2 } }, { (pool:map(mp.source "seen = (seen or 0) + 1 return 1", { 1, 2 })) and { 1, 1, n = 2 } })
  end)

  it("env: functions of one task share their globals", function()
    local pool <close> = mp.pool { workers = 1, isolate = "env" }
    local function set() shared_global = 5 end -- luacheck: ignore 111
    local function get() return shared_global end -- luacheck: ignore 113
    assert.equal(5, pool:spawn(function()
      set()
      return get()
    end):get())
    assert.is_nil(pool:spawn(get):get())
  end)

  it("state: each task has a fresh Lua state", function()
    local pool <close> = mp.pool { workers = 1, isolate = "state" }
    for i = 1, 3 do
      pool:spawn(set_global, "kept", i):get()
      assert.is_nil(pool:spawn(get_global, "kept"):get())
    end
    assert.equal(1, pool:spawn("fixtures.counter.increment"):get())
    assert.equal(1, pool:spawn("fixtures.counter.increment"):get())
  end)

  it("state: setup runs for each, and tasks in tasks work", function()
    local pool <close> = mp.pool { workers = 1, isolate = "state", setup = function() rawset(_G, "n", (rawget(_G, "n") or 0) + 1) end }
    for _ = 1, 3 do assert.equal(1, pool:spawn(get_global, "n"):get()) end
    assert.equal(3, pool:spawn(function() return mp.spawn(math.abs, -3):get() end):get())
  end)
end)

describe("pools that are made in a loop and dropped", function()
  local function threads()
    for line in io.lines "/proc/self/status" do
      local n <const> = line:match "^Threads:%s*(%d+)"
      if n then return tonumber(n) end
    end
  end

  local function most_threads()
    local before <const>, most = threads(), 0
    for i = 1, 100 do
      local pool <const> = mp.pool { workers = 4 }
      if i % 10 == 0 then pool:spawn(type, i):get() end
      most = math.max(most, threads())
    end
    return most - before
  end

  it("are collected before there are many threads", function()
    local most <const> = most_threads()
    assert.is_true(most < 100, most)
  end)

  it("are collected in a program that has much data, too", function()
    local data <const> = {}
    for i = 1, 200000 do data[i] = { i, {} } end
    local most <const> = most_threads()
    assert.is_true(most < 300, most)
    assert.equal(200000, #data)
  end)
end)
