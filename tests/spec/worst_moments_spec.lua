_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

-- Runs the source in a process of its own, where `mp` is the module; it must print these lines.
local function prints(source, expected, environment)
  environment = "MAKEPARALLEL_LOG=off " .. (environment or "")
  local child <const> = support.run_child("local mp = require 'makeparallel'\n" .. source, { environment = environment })
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
  -- Lua finalises nothing that is made while a state is closed: what was sent from there is lost.
  local leaks <const> = "ASAN_OPTIONS=detect_leaks=0"

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
    ]], "false\n4000000\n", leaks)
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
    ]], "fine\tfalse\n", leaks)
  end)
end)

describe("a callback between two tasks that never ends", function()
  local may_hook <const> = not (os.getenv "TEST_SAN" or ""):find "thread" -- there tasks are stopped by a hook
  for name, setup in pairs {
    ["in a coroutine of an earlier task"] = "",
    ["where setup has set a hook"] = not may_hook and "" or "setup = function() debug.sethook(function() end, '', 1000000) end",
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
    local folder <close> = support.temporary_folder { ["spec_late.lua"] = "return { v = 'file' }" }
    prints(([[
      local path = package.path
      mp.configure { workers = 1 }
      package.path = ""
      mp.spawn(function() end):get()
      package.path = "%s/?.lua;" .. path
      local find = mp.parallel(function() return require "spec_late".v end)
      package.preload.spec_late = function() return { v = "loader" } end
      print(find():get())
      package.preload.spec_late = nil
      print(find():get())
    ]]):format(folder.path), "loader\nfile\n")
  end)

  it("a folder that has our name is not ours", function()
    local folder <close> = support.temporary_folder {
      ["makeparallel/program.lua"] = "local mp = require 'makeparallel'\nmp.spawn(function() error('fails', 0) end):wait()",
    }
    local child <const> = support.run_child(("dofile %q"):format(folder.path .. "/makeparallel/program.lua"))
    assert.matches("started at .*program.lua:2", child.stderr)
  end)
end)

describe("a worker whose child is gone", function()
  it("goes on, and may start another", function()
    prints([[
      mp.configure { workers = 1 }
      print(mp.spawn(function()
        local pipe = io.popen("true", "w")
        local ok, why = pipe:write(("x"):rep(1000000)) -- more than a pipe holds
        pipe:close()
        return ok, why
      end):get())
      print(mp.spawn(os.execute, "true"):get())
    ]], "nil\tBroken pipe\ntrue\texit\t0\n")
  end)

  it("ends its task when nobody reads what it prints", function()
    local child <const> = support.run_child([[
      local mp = require "makeparallel"
      local ok, err = mp.spawn(function() while true do print "line" end end):pget()
      io.stderr:write(tostring(ok), " ", err.message)
    ]], { shell = "{ %s; } 3>%s 2>%s | head -1 >/dev/null" })
    assert.matches("^false .*cannot print: Broken pipe", child.stderr)
  end)

  it("keeps no other worker's pipe open", function()
    local pool <close> = mp.pool { workers = 2 }
    local h <const> = pool:spawn(function()
      local pipe = io.popen("cat >/dev/null", "w")
      mp.report_progress(1)
      mp.sleep(0.2)
      return pipe:close()
    end)
    support.wait_until(function() return h:progress() == 1 end)
    local path <const> = os.tmpname()
    local other <const> = pool:spawn(os.execute, ("while [ -e %s ]; do sleep 0.05; done"):format(path))
    assert.is_true(h:get(support.HANG_SECONDS))
    os.remove(path)
    other:get()
  end)

  it("that reads a file which gives nothing holds up no io.popen of the program's", function()
    local path <const> = os.tmpname()
    os.remove(path)
    assert(os.execute("mkfifo " .. path))
    local h <const> = mp.spawn(function() return io.open(path):read "l" end)
    local writer <const> = io.open(path, "w")
    mp.sleep(0.05)
    local pipe <close> = io.popen "echo main"
    assert.equal("main", pipe:read "l")
    writer:write "line\n"
    writer:close()
    assert.equal("line", h:get())
    os.remove(path)
  end)
end)

describe("an error that nobody awaited, of mp.go", function()
  for name, source in pairs {
    ["without a pool"] = "mp.go(function() error('lost', 0) end)",
    ["in a program that never runs them"] = "mp.go(function() error('lost', 0) end) mp.spawn(math.abs, 1):get()",
    ["in a task"] = "mp.spawn(function() mp.go(function() error('lost', 0) end) end):get()",
  } do
    it("is a line on stderr, " .. name, function()
      local child <const> = support.run_child("local mp = require 'makeparallel' " .. source)
      assert.equal("makeparallel: error: go: a coroutine failed, and nobody awaited it: lost\n", child.stderr)
    end)
  end

  it("is silent where somebody did, or with log = false", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      pcall(function() mp.go(function() error("seen", 0) end):await() end)
      mp.go(function() error("raised", 0) end)
      pcall(mp.run)
      mp.configure { log = false }
      mp.go(function() error("unseen", 0) end)
    ]]
    assert.equal("", child.stderr)
  end)
end)

describe("a log function that raises", function()
  it("loses nothing: the line goes to stderr", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      local seen
      mp.configure { log = function(_, _, line)
        seen = seen or line:find "unseen"
        error("log fails", 0)
      end }
      mp.spawn(function() error("unseen", 0) end):wait()
      while not seen do
        collectgarbage()
        mp.sleep(0.01)
      end
    ]]
    assert.matches("nobody looked: unseen", child.stderr, 1, true)
    assert.matches("makeparallel: error: log: log fails", child.stderr, 1, true)
  end)
end)

describe("warn in a worker", function()
  it("goes to stderr once it is on, errors of finalisers too", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      mp.configure { workers = 1 }
      mp.spawn(function()
        warn("off")
        warn("@on")
        warn("in ", "pieces")
        setmetatable({}, { __gc = function() error("gc fails", 0) end })
        collectgarbage()
        warn("@off")
        warn("off again")
      end):get()
    ]]
    assert.equal("Lua warning: in pieces\nLua warning: error in __gc\n", (child.stderr:gsub("%(.-%)", ""):gsub(" +\n", "\n")))
  end)
end)

describe("the timeout of imap", function()
  it("holds for a slow source, a slow loop and an endless source", function()
    local function slow()
      return function(_, i)
        mp.sleep(0.05)
        return (i or 0) + 1
      end
    end
    local function fast()
      return function(_, i) return (i or 0) + 1 end
    end
    for _, case in ipairs { { slow, 0 }, { fast, 0.05 }, { fast, 0 } } do
      local ok <const>, err <const> = pcall(function()
        for _ in mp.imap(math.abs, case[1](), nil, 0, { timeout = 0.2, window = 8 }) do mp.sleep(case[2]) end
      end)
      assert.is_false(ok)
      assert.equal("timeout", err.kind)
    end
  end)
end)

describe("functions that are each sent once", function()
  it("do not stay in the worker", function()
    local pool <close> = mp.pool { workers = 1 }
    local function held() return collectgarbage "count" end
    local before <const> = pool:spawn(held):get()
    for i = 1, 2000 do pool:spawn(load(("local a = %q return %d"):format(("z"):rep(1000), i))):get() end
    assert.is_true(pool:spawn(held):get() - before < 2000)
  end)
end)

describe("a shutdown that Ctrl-C has ended", function()
  if support.sanitized then return end -- their interpreter has no handler for SIGINT
  it("leaves a pool that reset_shutdown replaces", function()
    prints([[
      mp.spawn(mp.sleep, 1000)
      os.execute "(sleep 0.1; kill -INT $PPID) &"
      print((pcall(mp.shutdown, { timeout = 1000, cancel_pending = false })))
      mp.reset_shutdown()
      print(mp.spawn(math.abs, -1):get())
    ]], "false\n1\n")
  end)
end)

describe("a failure that nobody looked at, with a log function", function()
  local cases <const> = {
    ["of a task whose handle lives to the end"] = [[
      mp.configure { log = function() end }
      h = mp.spawn(function() error("boom", 0) end)
      h:wait()
    ]],
    ["of a task whose pool is gone"] = [[
      local pool = mp.pool { workers = 1, log = function() end }
      local h = pool:spawn(function() error("boom", 0) end)
      h:wait()
      pool:shutdown()
      pool = nil
      collectgarbage()
      collectgarbage()
      h = nil
      collectgarbage()
      collectgarbage()
    ]],
    ["of a pool of a task"] = [[
      mp.spawn(function()
        local mp = require "makeparallel"
        local pool = mp.pool { workers = 1, log = function() end }
        kept = pool:spawn(function() error("boom", 0) end)
        kept:wait()
        pool = nil
        collectgarbage()
        collectgarbage()
        kept = nil
        collectgarbage()
        collectgarbage()
      end):get()
    ]],
  }
  for name, source in pairs(cases) do
    it("goes to stderr behind the function's end, " .. name, function()
      local child <const> = support.run_child("local mp = require 'makeparallel'\n" .. source)
      assert.equal(0, child.code, child.stderr)
      assert.matches("failed, and nobody looked: boom\n$", child.stderr)
    end)
  end
end)

describe("a pool that a finaliser closes", function()
  -- The collector at nearly every allocation; the k-th object that it finds closes the default pool and starts another.
  local EVIL <const> = [[
    local function evil(k)
      local function arm()
        setmetatable({}, { __gc = function()
          if k == nil then return end
          k = k - 1
          if k >= 0 then return arm() end
          k = nil
          mp.shutdown { timeout = 1 }
          mp.reset_shutdown()
          collectgarbage()
        end })
      end
      arm()
      collectgarbage("incremental", 1, 1000, 40)
      collectgarbage("setpause", 0)
    end
    local function calm() collectgarbage("incremental", 200, 100, 13) end
    local function try(calls, fn, ...)
      for k = 0, calls do
        pcall(mp.reset_shutdown)
        mp.spawn(math.abs, -1):get()
        collectgarbage()
        evil(k)
        local ok, err = pcall(fn, ...)
        calm()
        if not ok and not tostring(err):match "pool" then print(k, err) end
      end
      print "whole"
    end
  ]]
  local cases <const> = {
    ["while it is asked how it is"] = "try(8, mp.get_thread_pool_info) try(4, mp.map, math.abs, { 1, 2 })",
    ["while a limit is set"] = "try(10, mp.set_max_concurrent_tasks, 5)",
    ["while the tasks to wait for are read"] = [[
      try(20, function()
        local h = mp.spawn(math.abs, -1)
        return mp.parallel(math.abs, { after = { h, h, h, h } })(-1)
      end)
    ]],
    ["while a callback is added"] = [[
      for _, name in ipairs { "on_complete", "on_error", "on_progress" } do
        try(12, function()
          local h = mp.spawn(function()
            local mp = require "makeparallel"
            mp.report_progress(0.5)
            mp.sleep(0.01)
          end)
          return h[name](h, function() end)
        end)
      end
    ]],
    ["while a message is begun inside of another"] = [[
      local pool = mp.pool { workers = 1 }
      local class = { __name = "class", __mp_unpack = function(v) return v end }
      for k = 0, 6 do
        class.__mp_pack = function()
          class.__mp_pack = function() return 1 end
          evil(k)
          pcall(mp.spawn, math.abs, -1)
          calm()
          return 1
        end
        package.loaded.class = { mt = class }
        pcall(pool.spawn, pool, math.abs, setmetatable({}, class))
        pcall(mp.reset_shutdown)
      end
      print "whole"
    ]],
  }
  for name, source in pairs(cases) do
    it("does no harm " .. name, function()
      local child <const> = support.run_child("local mp = require 'makeparallel'\n" .. EVIL .. source, {
        environment = "MAKEPARALLEL_LOG=off ASAN_OPTIONS=detect_leaks=0",
      })
      assert.equal(0, child.code, child.stderr)
      assert.matches("^whole\n", (child.stdout:gsub("whole\n", "", select(2, child.stdout:gsub("whole\n", "")) - 1)))
    end)
  end
end)

describe("a function that is sent again while an upvalue of it is packed", function()
  it("arrives whole", function()
    prints([[
      local pool = mp.pool { workers = 1 }
      local class = { __name = "class", __mp_unpack = function(v) return v end }
      local f
      class.__mp_pack = function()
        if class.busy then return 1 end
        class.busy = true
        pcall(pool.spawn, pool, f)
        for _ = 1, 3 do collectgarbage() end
        local junk = {}
        for i = 1, 2000 do junk[i] = ("x"):rep(i % 40) end
        class.busy = false
        return 1
      end
      package.preload.class = nil
      package.loaded.class = { mt = class }
      local function make(o, _ENV)
        return function() local a = o; return foo end
      end
      for _ = 1, 20 do
        f = make(setmetatable({}, class), setmetatable({ foo = 1 }, { __index = _G }))
        pcall(mp.spawn, f)
      end
      print "whole"
    ]], "whole\n", "ASAN_OPTIONS=detect_leaks=0")
  end)
end)

describe("a coroutine of mp.go", function()
  it("for which no C stack is left has failed", function()
    prints([[
      local ok, err = pcall(mp.run, function()
        local function deep(n)
          if n == 0 then return 0 end
          return mp.go(deep, n - 1):await() + 1
        end
        return deep(300)
      end)
      print(ok, (err.message:match "C stack overflow"))
    ]], "false\tC stack overflow\n")
  end)

  it("that somebody else has closed is cancelled", function()
    local co
    local r <const> = mp.go(function()
      co = coroutine.running()
      mp.sleep(1000)
    end)
    coroutine.close(co)
    assert.is_true(r:is_ready())
    assert.equal("cancelled", r:status())
    local ok <const>, err <const> = r:pget(10)
    assert.same({ false, "cancelled" }, { ok, err.kind })
  end)

  it("that fails as its task ends is a line on stderr", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      mp.spawn(function()
        local mp = require "makeparallel"
        mp.go(function()
          local guard <close> = setmetatable({}, { __close = function() error("in the end", 0) end })
          mp.sleep(100)
        end)
      end):get()
    ]]
    assert.matches("makeparallel: error: go: a coroutine failed as it was closed with its task: in the end\n", child.stderr, 1, true)
  end)

  it("leaves no timer when it is cancelled", function()
    collectgarbage()
    local before <const> = collectgarbage "count"
    for _ = 1, 20000 do mp.go(mp.sleep, 1000):cancel() end
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 500)
  end)
end)

describe("a submission that waits for room", function()
  for _, call in ipairs { "mp.spawn(string.len, long)", "mp.map(string.len, { long })" } do
    it("fails whole when a callback closes its pool: " .. call, function()
      prints([[
        mp.configure { workers = 1, max_queue = 1 }
        local other, long = mp.pool { workers = 1 }, ("x"):rep(1 << 20)
        local function close()
          mp.shutdown { timeout = 0.1 }
          mp.reset_shutdown()
          for _ = 1, 3 do collectgarbage() end
        end
        do
          local busy = mp.spawn(mp.sleep, 1)
          while busy:status() ~= "running" do mp.sleep(0.001) end
          mp.spawn(math.abs, 1)
          other:parallel(mp.sleep, { on_complete = close })(0.05)
        end
        local ok, err = pcall(function() return ]] .. call .. [[ end)
        print(ok, tostring(err):match "pool is shut down")
      ]], "false\tpool is shut down\n", "MALLOC_PERTURB_=165")
    end)
  end
end)

describe("a hook that lets go of the handles that a wait waits for", function()
  it("does the wait no harm", function()
    prints([[
      local core = require "makeparallel.core"
      local list = { mp.spawn(mp.sleep, 0.3), mp.spawn(mp.sleep, 0.3) }
      local begun = core.now()
      debug.sethook(function()
        if core.now() - begun < 0.05 then return end
        debug.sethook()
        list[1], list[2] = nil, nil
        for _ = 1, 3 do collectgarbage() end
      end, "", 1)
      core.wait_any(list, 2, core.now() + 2)
      print "whole"
    ]], "whole\n", "MALLOC_PERTURB_=165")
  end)
end)

describe("a coroutine of mp.go that coroutine.close closes", function()
  it("leaves nothing to wait for, and who awaits it goes on", function()
    local co, seen
    local r <const> = mp.go(function()
      co = coroutine.running()
      mp.sleep(1000)
    end)
    mp.go(function() seen = select(2, pcall(r.await, r)).kind end)
    coroutine.close(co)
    mp.run()
    assert.equal("cancelled", seen)
  end)
end)

describe("memoize, where a coroutine that computes does not come to its end", function()
  it("lets whoever waits for the same compute", function()
    local f <const> = mp.memoize(function(x)
      mp.sleep(0.05)
      return x * 2
    end)
    local a <const> = mp.go(f, 1)
    local b <const> = mp.go(f, 1)
    a:cancel()
    assert.equal(2, b:get(support.HANG_SECONDS))
  end)
end)

describe("an iterator of ours that is called inside of itself", function()
  it("gives each item once and comes to its end", function()
    local seen, next_handle = 0, nil
    local slow <const> = mp.spawn(mp.sleep, 0.1)
    local quick <const> = mp.parallel(mp.sleep, { on_complete = function() if next_handle() then seen = seen + 1 end end })(0.02)
    next_handle = mp.as_completed { slow, quick }
    while next_handle() do seen = seen + 1 end
    assert.equal(2, seen)
    local items, next_item, loop, again = {}, nil, nil, nil
    mp.parallel(mp.sleep, { on_complete = function() again = select(2, pcall(next_item, loop)) end })(0.05)
    next_item, loop = mp.imap(function(x)
      require("makeparallel").sleep(0.1)
      return x
    end, { 1, 2, 3 }, { chunk = 1 })
    for _, item in next_item, loop do items[#items + 1] = item end
    assert.same({ 1, 2, 3 }, items)
    assert.matches("its iterator was called inside of itself", tostring(again), 1, true)
  end)

  it("says so where its source calls it", function()
    local next_item, loop, again, n = nil, nil, nil, 0
    next_item, loop = mp.imap(math.abs, function()
      n = n + 1
      if n == 2 then again = select(2, pcall(next_item, loop)) end
      return n < 4 and -n or nil
    end, { chunk = 1 })
    local items <const> = {}
    for _, item in next_item, loop do items[#items + 1] = item end
    assert.same({ 1, 2, 3 }, items)
    assert.matches("its iterator was called inside of itself", tostring(again), 1, true)
  end)

  it("says so where it waits for room", function()
    local pool <close> = mp.pool { workers = 1, max_concurrent_tasks = 1 }
    local next_item, loop, again
    pool:parallel(mp.sleep, { on_complete = function() again = select(2, pcall(next_item, loop)) end })(0.02)
    next_item, loop = mp.imap(math.abs, { -1, -2, -3 }, { chunk = 1, pool = pool })
    local items <const> = {}
    for _, item in next_item, loop do items[#items + 1] = item end
    assert.same({ 1, 2, 3 }, items)
    assert.matches("its iterator was called inside of itself", tostring(again), 1, true)
  end)
end)
