-- Promise 5: a running task stops within milliseconds of its cancel, whatever it does in Lua, and nothing that it does swallows the cancel.
local support = require "support"
_ENV = support.globals(_ENV)

local mp = require "makeparallel"

-- Programs that must stop, in the modes that can do it. A blocking call ends by a signal only.
local PROGRAMS <const> = {
  { "a while loop", "while true do end" },
  { "a for loop", "for i = 1, math.huge do end" },
  { "a goto loop", "::a:: goto a" },
  { "a comparator of table.sort that loops", "table.sort({3, 2, 1}, function(a, b) while true do end end)" },
  { "table.sort again and again",
    "local t = {} for i = 1, 2^14 do t[i] = -i % 1000 end while true do table.sort(t, function(a, b) return a < b end) end" },
  { "a callback of gsub that loops", "('x'):gsub('x', function() while true do end end)" },
  { "a metamethod that loops", "local t = setmetatable({}, {__index = function() while true do end end}) return t.x" },
  { "a loop in a coroutine", "coroutine.wrap(function() while true do end end)()" },
  { "a loop in 50 coroutines inside each other", "local function n(d) while d == 0 do end coroutine.wrap(n)(d - 1) end n(50)" },
  { "pcall that swallows", "local function f() while true do end end while true do pcall(f) end" },
  { "pcall of a function that fails", "while true do pcall(error, 'x') end" },
  { "an xpcall handler that loops", "xpcall(function() while true do end end, function() while true do end end)" },
  { "an xpcall handler that loops after an error", "while true do xpcall(error, function() while true do end end) end" },
  { "coroutines that swallow", "while true do coroutine.resume(coroutine.create(function() while true do end end)) end" },
  { "a wrapped coroutine that swallows", "while true do pcall(coroutine.wrap(function() while true do end end)) end" },
  { "__close that loops",
    "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end" },
  { "__close that swallows",
    "local x <close> = setmetatable({}, {__close = function() while true do pcall(error) end end}) while true do end" },
  { "coroutine.close that loops",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end})"
    .. " coroutine.yield() end) coroutine.resume(co) coroutine.close(co)" },
  { "load with a reader that loops", "load(function() while true do end end)" },
  { "load that swallows", "while true do load(function() while true do end end) end" },
  { "building strings", "local s = '' while true do s = s .. 'x' if #s > 1000 then s = '' end end" },
  { "making garbage", "while true do local t = {} for i = 1, 100 do t[i] = {} end end" },
  { "deep recursion", "local function f() return pcall(f) and 1 end while true do f() end" },
  { "requiring a module that loops", "package.preload.x = function() while true do end end require 'x'" },
  { "an error whose __tostring loops", "error(setmetatable({}, {__tostring = function() while true do end end}))" },
  { "mp.sleep", "require 'makeparallel'.sleep(1000)" },
  { "taking the hook away", "while true do debug.sethook() end", only = "signal" },
  { "a hook of its own", "debug.sethook(function() end, '', 1) while true do end", only = "signal" },
  { "io.read on a pipe", "local p <close> = io.popen('sleep 1') p:read()", only = "signal" },
}

-- Under ThreadSanitizer signals wait for a computing thread to block, and "signal" means "hook".
local function applies(program, mode)
  return program.only == nil or program.only == mode and not support.sanitized
end

local function is_idle(pool)
  return pool:info().running == 0
end

for _, mode in ipairs { "signal", "hook" } do
  describe("cancel_mode = " .. mode, function()
    it("stops a setup that loops", function()
      local pool <close> = mp.pool { workers = 1, cancel_mode = mode, setup = function() while true do end end }
      for _ = 1, 2 do -- the next task tries again
        local h <const> = pool:spawn(math.abs, 1)
        support.wait_until(function() return pool:info().running == 1 end)
        assert.is_true(h:cancel())
        support.wait_until(function() return is_idle(pool) end)
        assert.equal(0, pool:info().stuck)
      end
    end)

    for _, program in ipairs(PROGRAMS) do
      if applies(program, mode) then
        it("stops " .. program[1], function()
          local pool <close> = mp.pool { workers = 1, cancel_mode = mode }
          local h <const> = pool:spawn(assert(load(program[2], "=program")))
          support.wait_until(function() return h:status() == "running" end)
          mp.sleep(0.002)
          assert.is_true(h:cancel())
          assert.equal("cancelled", h:status())
          support.wait_until(function() return is_idle(pool) end)
          assert.equal(0, pool:info().stuck)
          assert.equal(5, pool:spawn(function() return 5 end):get(support.HANG_SECONDS)) -- the worker is whole
        end)
      end
    end
  end)
end

describe("cancelling a running task", function()
  it("lets __close do its work", function()
    local file <close> = support.temporary_file()
    local pool <close> = mp.pool { workers = 1 }
    local h <const> = pool:spawn(function(path)
      local _ <close> = setmetatable({}, {
        __close = function(_, e)
          local f <close> = assert(io.open(path, "w"))
          f:write(e.kind)
        end,
      })
      while true do end
    end, file.path)
    support.wait_until(function() return h:status() == "running" end)
    mp.sleep(0.005)
    h:cancel(support.HANG_SECONDS)
    support.wait_until(function() return is_idle(pool) end)
    assert.equal("cancelled", file:read())
  end)

  it("leaves the tasks that wait for it, and those below it on the same worker, alone", function()
    local pool <close> = mp.pool { workers = 1 }
    local h <const> = pool:spawn(function()
      local inner <const> = mp.spawn(function() while true do end end)
      local ok <const>, e <const> = inner:pget(0.02)
      inner:cancel()
      return ok, e.kind, inner:status()
    end)
    local ok, kind, status = h:get(support.HANG_SECONDS)
    assert.same({ false, "timeout", "cancelled" }, { ok, kind, status })
  end)

  it("gives the next task a fresh state, so that nothing of it stays", function()
    local pool <close> = mp.pool { workers = 1 }
    local h <const> = pool:spawn(function()
      _G.left_behind = true
      while true do end
    end)
    support.wait_until(function() return h:status() == "running" end)
    mp.sleep(0.005)
    h:cancel()
    support.wait_until(function() return is_idle(pool) end)
    assert.is_nil(pool:spawn(function() return _G.left_behind end):get())
  end)

  it("ends a wait for another task", function()
    local pool <close> = mp.pool { workers = 2, cancel_mode = "cooperative" }
    local h <const> = pool:spawn(function()
      local inner <const> = mp.spawn(function() while not mp.cancelled() do end end)
      while inner:status() ~= "running" do mp.sleep(0.001) end -- on the other worker
      return inner:get()
    end)
    support.wait_until(function() return h:status() == "running" and pool:info().running == 2 end)
    assert.is_true(h:cancel(support.HANG_SECONDS))
    support.wait_until(function() return pool:info().running == 1 end)
    pool:shutdown { timeout = 0 }
  end)

  it("leaves no hook behind, and installs none before", function()
    local pool <close> = mp.pool { workers = 1, cancel_mode = "signal" }
    local function hooked() return debug.gethook() ~= nil end
    if not support.sanitized then assert.is_false(pool:spawn(hooked):get()) end
    for _ = 1, 5 do
      local h <const> = pool:spawn(function() while true do end end)
      support.wait_until(function() return h:status() == "running" end)
      h:cancel()
    end
    if not support.sanitized then assert.is_false(pool:spawn(hooked):get()) end
  end)

  it("in mode hook refuses debug.sethook", function()
    local pool <close> = mp.pool { workers = 1, cancel_mode = "hook" }
    assert.matches("debug.sethook is refused", pool:spawn(function() return select(2, pcall(debug.sethook)) end):get(), 1, true)
  end)
end)

describe("pcall, xpcall, load and coroutines in a worker", function()
  it("are otherwise as they are", function()
    local function compare(mp_run)
      local function body()
        local out = {}
        local function add(...) out[#out + 1] = table.pack(...) end
        add(pcall(error))
        add(pcall(error, nil))
        add(pcall(function(...) return ... end, 1, nil, 3, nil))
        add(pcall(error, { 1 }))
        add(xpcall(function(a, b) return a, b end, print, 1, nil))
        add(xpcall(error, function(e) return "handled " .. tostring(e), 2 end, "x"))
        add(xpcall(error, tostring, 5))
        add(select("#", pcall(function() end)))
        add(pcall(pcall))
        add(pcall(xpcall, print))
        local co = coroutine.wrap(function(a)
          local ok, b = pcall(function() return coroutine.yield(a + 1) end)
          coroutine.yield(ok, b)
          local _, c = xpcall(function() return coroutine.yield("in xpcall") end, print)
          error("at the end " .. tostring(c), 0)
        end)
        add(co(1))
        add(co("back"))
        add(co())
        add(pcall(co, "c"))
        add(pcall(co))
        local dead = coroutine.create(function() error { "table" } end)
        add(coroutine.resume(dead))
        add(coroutine.resume(dead))
        add(coroutine.close(dead))
        add(pcall(coroutine.resume, 5))
        add(coroutine.isyieldable())
        add(pcall(coroutine.wrap(function()
          local _ <close> = setmetatable({}, { __close = function() error("in close", 0) end })
          error "a"
        end)))
        add(load("return 1 +"))
        add(load(function() return nil end) ~= nil)
        add(pcall(load(("x"):rep(3) .. " = 5; return xxx")))
        local n = 0
        add(load(function() n = n + 1 return ({ "return ", "7" })[n] end)())
        return out
      end
      return mp_run(body)
    end
    local here <const> = compare(function(f) return f() end)
    local there <const> = compare(function(f) return mp.spawn(f):get() end)
    assert.equal(#here, #there)
    for i = 1, #here do assert.same(here[i], there[i]) end
  end)
end)

describe("what a cancelled task has open", function()
  local function closes_slowly(path)
    return setmetatable({}, {
      __close = function()
        local file <close> = io.open(path, "a")
        for _ = 1, 5000 do file:write "row\n" end
        file:write "complete"
      end,
    })
  end

  for where, body in pairs {
    ["in the task"] = function(mark, path)
      local guard <close> = mark(path) -- luacheck: ignore
      mp.report_progress(0.5)
      while true do end
    end,
    ["in a coroutine"] = function(mark, path)
      coroutine.wrap(function()
        local guard <close> = mark(path) -- luacheck: ignore
        mp.report_progress(0.5)
        while true do end
      end)()
    end,
    ["in a coroutine of mp.go that waits"] = function(mark, path)
      mp.run(function()
        local guard <close> = mark(path) -- luacheck: ignore
        mp.report_progress(0.5)
        mp.sleep(3600)
      end)
    end,
  } do
    it("is closed, with some milliseconds for it, " .. where, function()
      local file <close> = support.temporary_file()
      local h <const> = mp.spawn(body, closes_slowly, file.path)
      support.wait_until(function() return h:progress() > 0 end)
      h:cancel()
      h:wait()
      support.wait_until(function() return file:read():sub(-8) == "complete" end)
    end)
  end

  it("is closed when the task returns, too, in coroutines of mp.go", function()
    local file <close> = support.temporary_file()
    mp.spawn(function(mark, path)
      mp.go(function()
        local guard <close> = mark(path) -- luacheck: ignore
        mp.sleep(3600)
      end)
    end, closes_slowly, file.path):get()
    assert.equal("complete", file:read():sub(-8))
  end)
end)
