_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local process <const> = require "process"
local support <const> = require "support"

-- ThreadSanitizer delivers no signal to a thread that computes: there tasks are stopped by a hook, and may have none of their own.
local may_hook <const> = not (os.getenv "TEST_SAN" or ""):find "thread"

describe("a hook that a task has set", function()
  if not may_hook then return end
  local pool
  before_each(function() pool = mp.pool { workers = 1, log = "off" } end)
  after_each(function() pool:shutdown { timeout = support.HANG_SECONDS } end)

  it("ends with it", function()
    for _, body in ipairs {
      function() debug.sethook(function() end, "crl", 1) end,
      function()
        debug.sethook(function() end, "l")
        error "failed"
      end,
    } do
      pool:spawn(body):pget()
      assert.is_nil(pool:spawn(function() return debug.gethook() end):get())
    end
  end)

  it("sees nothing of what runs the task", function()
    local e <const> = support.failure(pool:spawn(function()
      local returns = 0
      debug.sethook(function()
        returns = returns + 1
        if returns > 1 then error "the hook's own" end
      end, "r")
      error "the task's error"
    end))
    assert.matches("the task's error", e.message, 1, true)
    assert.equal(1, pool:spawn(function()
      debug.sethook(function() error "the hook's own" end, "c")
      return 1
    end):get())
  end)

  it("sees the events of plain Lua", function()
    local function events()
      local seen <const> = {}
      debug.sethook(function(event) seen[#seen + 1] = event end, "cr")
      debug.sethook()
      return seen
    end
    assert.same(events(), pool:spawn(events):get())
  end)
end)

describe("a hook that setup has set", function()
  if not may_hook then return end
  local pool
  before_each(function()
    pool = mp.pool { workers = 1, log = "off", setup = function()
      local lines = 0
      local function count() lines = lines + 1 end
      debug.sethook(count, "l")
      _G.has_hook = function()
        local before <const> = lines
        local hook <const>, mask <const> = debug.gethook()
        return hook == count and mask == "l" and lines > before
      end
    end }
  end)
  after_each(function() pool:shutdown { timeout = support.HANG_SECONDS } end)
  local function has_hook() return _G.has_hook() end

  it("is each task's, also of those that run while one waits", function()
    assert.is_true(pool:spawn(has_hook):get())
    for _ = 1, 2 do
      assert.is_true(pool:spawn(function() return mp.spawn(function() return mp.spawn(has_hook):get() end):get() end):get())
    end
  end)

  it("comes back after a task has changed it", function()
    pool:spawn(debug.sethook):get()
    assert.is_true(pool:spawn(has_hook):get())
    pool:spawn(function() debug.sethook(function() end, "c") error "failed" end):pget()
    assert.is_true(pool:spawn(has_hook):get())
    pool:spawn(function() mp.spawn(debug.sethook):get() assert(_G.has_hook()) end):get()
    assert.is_true(pool:spawn(has_hook):get())
  end)

  it("comes back after a cancel", function()
    local h <const> = pool:spawn(function() while true do end end)
    support.wait_until(function() return h:status() == "running" end)
    h:cancel()
    assert.is_true(pool:spawn(has_hook):get())
  end)
end)

describe("a message handler in a worker", function()
  it("stands on the stack where it stands in plain Lua", function()
    local function levels()
      return select(2, xpcall(function() error "x" end, function()
        local list <const> = {}
        for level = 1, 3 do
          local info <const> = debug.getinfo(level, "Sn")
          list[level] = info.what .. ":" .. tostring(info.name)
        end
        return list
      end))
    end
    local here <const>, there <const> = levels(), mp.spawn(levels):get()
    assert.equal(here[2], there[2])
    assert.equal(here[3], there[3])
  end)
end)

describe("a signal that comes while a coroutine waits", function()
  local function kill(after) os.execute(("(sleep %g; kill -USR1 $PPID) &"):format(after)) end

  it("has its handler called, each time", function()
    local called = 0
    process.on_usr1(function() called = called + 1 end)
    for _, run in ipairs { function(f) return f() end, function(f) return coroutine.wrap(f)() end } do
      called = 0
      local h <const> = mp.spawn(mp.sleep, 60)
      kill(0.01)
      kill(0.2)
      run(function()
        support.wait_until(function()
          h:wait(0.05)
          return called == 2
        end)
      end)
      h:cancel()
    end
  end)

  it("has its handler's error raised by the wait", function()
    process.on_usr1(function() error("stop", 0) end)
    kill(0.05)
    local h <const> = mp.spawn(mp.sleep, 60)
    assert.same({ false, "stop" }, { coroutine.wrap(function() return pcall(h.wait, h) end)() })
    h:cancel()
  end)

  it("leaves a profiler alone that a callback has started on the main coroutine", function()
    local main <const> = coroutine.running()
    local function profiler() end
    local h <const> = mp.spawn(mp.sleep, 0.2)
    mp.spawn(type, 1):on_complete(function() debug.sethook(main, profiler, "l") end)
    coroutine.wrap(function() h:wait() end)()
    local hook <const> = debug.gethook()
    debug.sethook()
    assert.equal(profiler, hook)
  end)
end)
