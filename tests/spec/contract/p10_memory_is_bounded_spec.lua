-- Promise 10: what a pool takes is bounded, by count, by bytes and by memory; and what a task may allocate, which it cannot catch.
local support = require "support"
_ENV = support.globals(_ENV)

local mp = require "makeparallel"

local function occupy(pool)
  local h <const> = pool:spawn(mp.sleep, support.HANG_SECONDS)
  support.wait_until(function() return h:status() == "running" end)
  return h
end

describe("a full pool", function()
  it("lets a submission wait as long as told, and then says so", function()
    local pool <close> = mp.pool { workers = 1, max_concurrent_tasks = 1, full_timeout = 0.02 }
    local first <const> = occupy(pool)
    local started <const> = mp.now()
    local h, why = pool:spawn(print)
    assert.is_nil(h)
    assert.equal("queue full", why)
    assert.is_true(mp.now() - started >= 0.02)
    assert.equal(1, pool:info().peak)
    assert.is_true(pool:info().refused >= 1)
    first:cancel()
    support.wait_until(function() return pool:info().running == 0 end)
    assert.equal(3, pool:spawn(math.abs, -3):get())
  end)

  it("lets it wait until there is room, with callbacks meanwhile", function()
    local pool <close> = mp.pool { workers = 1, max_concurrent_tasks = 2 }
    local called = 0
    local task <const> = pool:parallel(mp.sleep, { on_complete = function() called = called + 1 end })
    for _ = 1, 20 do task(0.0005) end
    assert.is_true(called >= 15)
    mp.run()
    assert.equal(20, called)
    assert.is_true(pool:info().peak <= 2)
  end)

  it("can be run by a callback while a submission waits, itself with a callback", function()
    local pool <close> = mp.pool { workers = 1, max_concurrent_tasks = 1 }
    local called = 0
    local task <const> = pool:parallel(mp.sleep, {
      on_complete = function()
        called = called + 1
        mp.run()
      end,
    })
    for _ = 1, 10 do task(0.0005) end
    mp.run()
    assert.equal(10, called)
  end)

  it("with when_full = 'error' raises at once", function()
    local pool <close> = mp.pool { workers = 1, max_queue = 1, when_full = "error" }
    local first <const> = occupy(pool)
    pool:spawn(print)
    assert.equal("queue full", (support.refusal(pool.spawn, pool, print)))
    assert.matches("queue full", select(2, pcall(pool.map, pool, print, { 1, 2 })), 1, true)
    first:cancel()
  end)

  it("with when_full = 'caller' has the caller run it, in a state of its own", function()
    local pool <close> = mp.pool { workers = 1, max_queue = 1, when_full = "caller" }
    local first <const> = occupy(pool)
    local queued <const> = pool:spawn(math.abs, -1)
    _G.only_here = true
    local h <const> = pool:spawn(function(x) return x * 2, _G.only_here end, 21)
    _G.only_here = nil
    assert.equal("done", h:status())
    assert.same({ 42, nil }, { h:get() })
    local failed <const> = pool:spawn(error, "in the caller")
    assert.equal("in the caller", support.failure(failed).message)
    assert.equal("queued", queued:status())
    first:cancel()
    assert.equal(1, queued:get())
  end)

  it("takes any number when its limits are lifted, and none for want of memory", function()
    mp.shutdown()
    mp.reset_shutdown()
    mp.configure { workers = 1, full_timeout = 0.01 }
    local first <const> = mp.spawn(mp.sleep, support.HANG_SECONDS)
    mp.set_max_concurrent_tasks(2)
    assert.is_not_nil(mp.spawn(math.abs, 1))
    assert.is_not_nil(mp.spawn(math.abs, 1))
    assert.same({ nil, "queue full" }, { mp.spawn(math.abs, 1) })
    mp.set_max_concurrent_tasks(nil)
    assert.is_not_nil(mp.spawn(math.abs, 1))
    mp.configure_memory_limit(1)
    assert.same({ nil, "memory limit reached" }, { mp.spawn(math.abs, 1) })
    mp.configure_memory_limit(nil)
    assert.is_not_nil(mp.spawn(math.abs, 1))
    first:cancel()
    mp.shutdown()
    mp.reset_shutdown()
    mp.configure { workers = 2, full_timeout = 1e9 }
  end)

  it("counts the bytes of what waits", function()
    local pool <close> = mp.pool { workers = 1, max_queue_bytes = 100000, full_timeout = 0.01 }
    local first <const> = occupy(pool)
    assert.is_not_nil(pool:spawn(string.len, ("x"):rep(60000)))
    assert.is_true(pool:info().queue_bytes >= 60000)
    assert.same({ nil, "queue full" }, { pool:spawn(string.len, ("x"):rep(60000)) })
    assert.same({ nil, "queue full" }, { pool:spawn(string.len, ("x"):rep(200000)) }) -- it never fits, and is not waited for
    first:cancel()
  end)

  it("does not keep a task waiting for ever that waits for what it submits itself", function()
    local pool <close> = mp.pool { workers = 1, max_concurrent_tasks = 1, full_timeout = 0.02 }
    assert.same({ nil, "queue full" }, { pool:spawn(function() return mp.spawn(print) end):get(support.HANG_SECONDS) })
    local helping <close> = mp.pool { workers = 1, max_concurrent_tasks = 1, when_full = "caller" }
    assert.equal(7, helping:spawn(function() return mp.spawn(math.abs, -7):get() end):get(support.HANG_SECONDS))
  end)

  it("lets a wait for room end by Ctrl-C, by shutdown and by cancel", function()
    local pool <close> = mp.pool { workers = 2, max_concurrent_tasks = 2 }
    local first <const> = occupy(pool)
    local h <const> = pool:spawn(function() return mp.spawn(print) end)
    support.wait_until(function() return h:status() == "running" end)
    mp.sleep(0.005)
    assert.is_true(h:cancel(support.HANG_SECONDS))
    first:cancel()
    if support.sanitized then return end -- their interpreter has no handler for SIGINT
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      mp.configure { workers = 1, max_concurrent_tasks = 1 }
      mp.spawn(mp.sleep, 60)
      os.execute "(sleep 0.2; kill -INT $PPID) &" -- in the background: os.execute ignores SIGINT while it waits
      mp.spawn(print)
    ]]
    assert.matches("interrupted", child.stderr, 1, true)
    assert.is_true(child.seconds < 20)
  end)

  it("refuses limits that make no sense", function()
    for _, option in ipairs { "max_concurrent_tasks", "max_queue" } do
      for _, wrong in ipairs { 0, -1, 1.5, 0 / 0, math.huge, "x", true } do
        assert.matches(option .. " must be an integer from 1 to", (support.refusal(mp.pool, { [option] = wrong })), 1, true)
      end
    end
    assert.matches("max_queue_bytes must be an integer from 1024 to", (support.refusal(mp.pool, { max_queue_bytes = 1 })), 1, true)
    for _, wrong in ipairs { 0, 101, 0.5, "x" } do
      local text <const> = support.refusal(mp.pool, { memory_limit_percent = wrong })
      assert.matches("memory_limit_percent must be an integer from 1 to 100", text, 1, true)
      assert.matches("memory_limit_percent must be", (support.refusal(mp.configure_memory_limit, wrong)), 1, true)
    end
    assert.equal("when_full must be 'block', 'error' or 'caller', got drop", (support.refusal(mp.pool, { when_full = "drop" })))
    assert.matches("full_timeout must be a finite number", (support.refusal(mp.pool, { full_timeout = -1 })), 1, true)
    assert.matches("max_concurrent_tasks must be", (support.refusal(mp.set_max_concurrent_tasks, 0)), 1, true)
    assert.matches("one of its own tasks", support.failure(mp.spawn(mp.set_max_concurrent_tasks, 1)).message, 1, true)
  end)
end)

-- Programs that need more than they may, and try to go on.
local GREEDY <const> = {
  { "a string of a gigabyte", "return #string.rep('x', 1 << 30)" },
  { "one that pcall catches", "while true do pcall(string.rep, 'x', 1 << 30) end" },
  { "one that a coroutine catches", "while true do coroutine.resume(coroutine.create(function() return ('x'):rep(1 << 30) end)) end" },
  { "one that load catches", "while true do load(function() return ('x'):rep(1 << 30) end) end" },
  { "one that xpcall handles", "while true do xpcall(string.rep, function() end, 'x', 1 << 30) end" },
  { "a table that grows", "local t = {} for i = 1, math.huge do t[i] = i end" },
  { "tables that stay", "local t = {} for i = 1, math.huge do t[i] = {i} end" },
  { "a string that grows", "local s = 'x' while true do s = s .. s end" },
  { "table.concat", "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(100000) end return #table.concat(t)" },
}

local function resident_kib()
  for line in io.lines "/proc/self/status" do
    local n <const> = line:match "^VmHWM:%s*(%d+)"
    if n then return tonumber(n) end
  end
end

describe("a memory limit", function()
  for _, program in ipairs(GREEDY) do
    it("ends " .. program[1], function()
      local pool <close> = mp.pool { workers = 1 }
      local before <const> = resident_kib()
      local h <const> = pool:parallel(assert(load(program[2], "=greedy")), { memory_limit = 16 << 20 })()
      local e <const> = support.failure(h)
      assert.equal("memory", e.kind)
      assert.matches("the task needs more than its memory limit", e.message, 1, true)
      if not support.sanitized then assert.is_true(resident_kib() - before < 48 << 10) end
      assert.equal(1, pool:spawn(math.abs, -1):get()) -- a fresh state
    end)
  end

  it("of a gigabyte that is refused costs no memory", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      local function resident_kib() return tonumber(io.open "/proc/self/status":read("a"):match "VmHWM:%s*(%d+)") end
      local pool = mp.pool { workers = 1, worker_memory_limit = 16 << 20 }
      pool:spawn(math.abs, 1):get()
      local before = resident_kib()
      local _, e = pool:spawn(string.rep, "x", 1 << 30):pget()
      print(e.kind, resident_kib() - before)
    ]]
    local kind <const>, rise <const> = child.stdout:match "^(%a+)%s+(%d+)"
    assert.equal("memory", kind)
    if not support.sanitized then assert.is_true(tonumber(rise) < 1024) end
  end)

  it("is of a task, counted from its start, and of what it waits for", function()
    local pool <close> = mp.pool { workers = 1 }
    local big <const> = pool:parallel(function(n) return #("x"):rep(n) end, { memory_limit = 1 << 20 })
    for _ = 1, 10 do assert.equal(500000, big(500000):get()) end
    pool:spawn(function() _G.held = ("x"):rep(3 << 20) end):get() -- its worker holds more than the task may need
    assert.equal(500000, big(500000):get())
    assert.equal("memory", support.failure(big(2 << 20)).kind)
    local outer <const> = pool:parallel(function()
      return mp.spawn(function() return #("x"):rep(4 << 20) end):pget()
    end, { memory_limit = 1 << 20 })
    local ok <const>, e <const> = outer():get()
    assert.is_false(ok)
    assert.equal("memory", e.kind)
  end)

  it("of a worker holds for whatever runs there", function()
    local pool <close> = mp.pool { workers = 1, worker_memory_limit = 4 << 20 }
    assert.equal(1000, pool:spawn(function() return #("x"):rep(1000) end):get())
    assert.equal("memory", support.failure(pool:spawn(function()
      local t = {}
      for i = 1, math.huge do t[i] = { i } end
      return #t
    end)).kind)
    assert.equal(1000, pool:spawn(function() return #("x"):rep(1000) end):get())
  end)

  it("applies to map's functions", function()
    local pool <close> = mp.pool { workers = 1, worker_memory_limit = 4 << 20 }
    local ok <const>, e <const> = pcall(pool.map, pool, function(n) return #("x"):rep(n) end, { 10, 64 << 20, 10 })
    assert.is_false(ok)
    assert.equal("memory", e.kind)
  end)

  it("refuses what makes no sense", function()
    for _, wrong in ipairs { 0, -1, 1000, 1.5, "x" } do
      assert.matches("memory_limit must be an integer from 65536", (support.refusal(mp.parallel, print, { memory_limit = wrong })), 1, true)
      local text <const> = support.refusal(mp.pool, { worker_memory_limit = wrong })
      assert.matches("worker_memory_limit must be an integer from 1048576", text, 1, true)
    end
  end)
end)

describe("an idle worker", function()
  it("gives garbage back within a second", function()
    local pool <close> = mp.pool { workers = 1 }
    local function held() return collectgarbage "count" end
    local before <const> = pool:spawn(held):get()
    pool:spawn(function()
      local t <const> = {}
      for i = 1, 200000 do t[i] = { i } end
      _G.keep = t
      _G.keep = nil
    end):get()
    -- a look is a task, after which it takes another 300 ms of idleness: so it looks seldom
    local kept
    for _ = 1, 60 do
      mp.sleep(0.9)
      kept = pool:spawn(held):get()
      if kept < before + 1000 then break end
    end
    assert.is_true(kept < before + 1000)
  end)
end)
