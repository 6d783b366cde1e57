_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

-- Runs the source in a process of its own, where `mp` is the module; it must print these lines.
local function prints(source, expected)
  local child <const> = support.run_child("local mp = require 'makeparallel'\n" .. source, { environment = "MAKEPARALLEL_LOG=off" })
  assert.equal(expected, child.stdout, child.stderr)
  assert.equal(0, child.code)
end

describe("a task that resumes a coroutine which runs already", function()
  it("is stopped", function()
    prints([[
      mp.configure { workers = 1 }
      for i = 1, 10 do
        local h = mp.parallel(function()
          local me = coroutine.running()
          while true do coroutine.resume(me) end
        end, { timeout = 0.02 })()
        h:wait()
      end
      print(mp.spawn(function() return "alive" end):get())
    ]], "alive\n")
  end)

  it("in a coroutine's __close is stopped", function()
    prints([[
      mp.configure { workers = 1 }
      local h = mp.parallel(function()
        local co
        co = coroutine.create(function()
          local guard <close> = setmetatable({}, { __close = function() while true do coroutine.resume(co) end end })
          while true do end
        end)
        coroutine.resume(co)
      end, { timeout = 0.05 })()
      h:wait()
      print(mp.spawn(function() return "alive" end):get())
    ]], "alive\n")
  end)

  it("hears what Lua says of closing it", function()
    local function close_running()
      return select(2, pcall(function() coroutine.close(coroutine.running()) end))
    end
    assert.equal(close_running(), mp.spawn(close_running):get())
  end)
end)

describe("a finaliser that waits for a task while its state is closed", function()
  it("leaves no memory counted, with setup that fails", function()
    prints([[
      local flag = os.tmpname()
      mp.configure { workers = 1, worker_memory_limit = 64 << 20, setup = function()
        local mp = require "makeparallel"
        local file = io.open(flag)
        if not file then return end
        file:close()
        os.remove(flag)
        BIG = {}
        for i = 1, 100000 do BIG[i] = i end
        KEPT = setmetatable({}, { __gc = function() pcall(function() mp.spawn(function() end):get() end) end })
        error "setup fails"
      end }
      print((mp.spawn(function() end):pget()))
      print(mp.spawn(function() return #string.rep("x", 4000000) end):get())
    ]], "false\n4000000\n")
  end)

  it("does no harm to the task that waits below, with isolate = 'state'", function()
    prints([[
      mp.configure { workers = 1, isolate = "state" }
      print(mp.spawn(function()
        local mp = require "makeparallel"
        for i = 1, 5 do
          mp.spawn(function()
            local mp = require "makeparallel"
            KEPT = setmetatable({}, { __gc = function()
              pcall(function() mp.spawn(function() return #string.rep("x", 1000000) end):get() end)
              pcall(mp.go, function() mp.sleep(0) end)
            end })
            BIG = {}
            for i = 1, 10000 do BIG[i] = { i } end
          end):get()
        end
        local caught = pcall(error, "x")
        return mp.run(function() mp.sleep(0.001) return mp.spawn(function() return "fine" end):await() end), caught
      end):get())
    ]], "fine\tfalse\n")
  end)
end)

describe("a callback between two tasks that never ends", function()
  for name, setup in pairs {
    ["in a coroutine of an earlier task"] = "",
    ["where setup has set a hook"] = "setup = function() debug.sethook(function() end, '', 1000000) end",
  } do
    it("gives its worker back, " .. name, function()
      prints(([[
        mp.configure { workers = 1, %s }
        mp.spawn(function()
          CO = coroutine.create(function() while true do end end)
          require("makeparallel").parallel(function() end, { on_complete = function()
            coroutine.resume(CO)
            while true do end
          end })()
        end):get()
        print(mp.spawn(function() return "alive" end):get(30))
      ]]):format(setup), "alive\n")
    end)
  end
end)

describe("a task that is cancelled while it gathers", function()
  it("is cancelled, however it ends", function()
    local pool <close> = mp.pool { workers = 1, log = "off" }
    for _, on_error in ipairs { "raise", "none", "skip" } do
      for _ = 1, 5 do
        local h <const> = pool:spawn(function(how)
          local outer <const> = mp.current()
          mp.gather({ mp.spawn(function()
            mp.report_progress(outer, 1)
            while true do end
          end) }, { on_error = how })
        end, on_error)
        support.wait_until(function() return h:progress() == 1 end)
        assert.is_true(h:cancel(support.HANG_SECONDS))
        assert.equal("cancelled", h:status())
      end
    end
  end)

  it("stops in the __close of a coroutine that awaits", function()
    local pool <close> = mp.pool { workers = 1, log = "off" }
    local h <const> = pool:parallel(function()
      local co <const> = coroutine.wrap(function()
        local guard <close> = setmetatable({}, { __close = function() while true do end end }) -- luacheck: ignore
        mp.spawn(math.abs, 1):await()
        error "fails"
      end)
      co()
      while true do mp.sleep(0.001) end
    end, { timeout = 0.2 })()
    h:wait()
    support.wait_until(function() return pool:info().stuck == 0 and pool:info().running == 0 end)
  end)
end)

describe("an error whose __mp_pack raises", function()
  it("costs its own item alone", function()
    local C <const> = mp.class("spec.evil_pack", {
      __mp_pack = function() error "pack fails" end,
      __tostring = function() return "its text" end,
    })
    local results <const>, failed <const> = mp.map(function(i)
      if i == 3 then error(setmetatable({}, C)) end
      return i
    end, { 1, 2, 3, 4 }, { on_error = "none", chunk = 4 })
    assert.same({ 1, 2, nil, 4, n = 4 }, results)
    assert.equal(1, #failed)
    assert.matches("its text", failed[1].message, 1, true)
    assert.matches("its text", support.failure(mp.spawn(function() error(setmetatable({}, C)) end)).message, 1, true)
  end)
end)

describe("a program that takes its globals away", function()
  for _, name in ipairs { "coroutine", "debug", "io", "math", "os", "package", "require", "string", "table" } do
    it("keeps makeparallel whole without " .. name, function()
      prints(([[
        local print, select = print, select
        mp.configure { workers = 2 }
        _G[%q] = nil
        mp.map(function(x) return x end, { 1, 2, 3 }, { seed = 1 })
        for _ in mp.imap(function(_, y) return y end, next, { 1, 2 }, nil, {}) do end
        mp.each(1, 10, function() end, { on_error = "skip" })
        mp.reduce(function(x) return x end, function(a, b) return a + b end, { 1, 2 })
        mp.gather { mp.spawn(function() return 1, 2 end) }
        for _ in mp.as_completed { mp.spawn(function() end) } do end
        mp.graph():add("a", function() return 1 end):run()
        do local ctx <close> = mp.context { timeout = 50 } ctx:map(function(x) return x end, { 1 }) end
        mp.run(function() mp.sleep(0.001) return mp.go(function() return mp.spawn(function() end):await() end):await() end)
        mp.retry_backoff(function() return 1 end, { initial_delay = 0.001, jitter = 0.5 })()
        mp.parallel(function() return 1 end, { retry = 2 })():get()
        mp.memoize(function(x) return x end, { max_bytes = 1000 })(3)
        mp.memoize_fast(function(x) return x end)(3)
        mp.profiled(function() end, "p")()
        mp.export_metrics "json"
        mp.timer(function() end)()
        print "whole"
      ]]):format(name), "whole\n")
    end)
  end

  it("in its workers has map and each without require there", function()
    local pool <close> = mp.pool { workers = 1, setup = function() require = nil end } -- luacheck: ignore
    assert.equal(3, pool:each(1, 3, function() end))
    assert.equal(6, mp.reduce(function(x) return x end, function(a, b) return a + b end, { 1, 2, 3 }, { pool = pool }))
  end)
end)

describe("what workers search by", function()
  it("follows a path that was empty when the pool began, and a loader that was taken away", function()
    prints([[
      local folder = os.tmpname()
      os.remove(folder)
      assert(os.execute("mkdir " .. folder))
      local file = io.open(folder .. "/spec_late.lua", "w")
      file:write "return { v = 'file' }"
      file:close()
      local path = package.path
      mp.configure { workers = 1 }
      package.path = ""
      mp.spawn(function() end):get()
      package.path = folder .. "/?.lua;" .. path
      local find = mp.parallel(function() return require "spec_late".v end)
      package.preload.spec_late = function() return { v = "loader" } end
      print(find():get())
      package.preload.spec_late = nil
      print(find():get())
      os.execute("rm -r " .. folder)
    ]], "loader\nfile\n")
  end)

  it("a folder that has our name is not ours", function()
    local folder <const> = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir -p " .. folder .. "/makeparallel"))
    local path <const> = folder .. "/makeparallel/program.lua"
    local file <const> = io.open(path, "w")
    file:write "local mp = require 'makeparallel'\nmp.spawn(function() error('fails', 0) end):wait()\ncollectgarbage()"
    file:close()
    local child <const> = support.run_child(("dofile %q"):format(path))
    os.execute("rm -r " .. folder)
    assert.matches("started at .*program.lua:2", child.stderr)
  end)
end)
