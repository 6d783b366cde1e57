_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("tasks that submit and wait inside tasks", function()
  it("hear of what ended while they ran another in place, though that one took the news", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal(7, pool:spawn(function()
      local seven <const> = mp.spawn(math.abs, -7)
      mp.spawn(function(handles) handles[1]:get() end, { seven })
      local first
      for handle in mp.as_completed { seven } do first = handle end
      return first:get()
    end):get(20))
  end)

  it("wait for each other's siblings in any order", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal(10, pool:spawn(function()
      local handles <const> = {}
      for i = 1, 4 do handles[i] = mp.spawn(math.abs, -i) end
      local sum = 0
      for i = 4, 1, -1 do sum = sum + handles[i]:get() end
      return sum
    end):get())
  end)

  it("see errors, cancels and timeouts of their own tasks", function()
    local kinds <const> = mp.spawn(function(hang)
      local sleeping <const> = mp.spawn(mp.sleep, hang)
      sleeping:cancel(hang)
      local failed, late = mp.spawn(error, "x"), mp.parallel(mp.sleep, { timeout = 0.01 })(hang)
      local seen <const> = {}
      for _, h in ipairs { sleeping, failed, late } do
        local _, err = h:pget()
        seen[#seen + 1] = err.kind
      end
      return seen
    end, support.HANG_SECONDS):get()
    assert.same({ "cancelled", "error", "timeout" }, kinds)
  end)

  it("may wait with a timeout, long or short, on the only worker", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.same({ true, false }, { pool:spawn(function(hang)
      local h <const> = mp.spawn(mp.sleep, hang)
      local short <const> = h:wait(0.01)
      h:cancel()
      return mp.spawn(math.abs, 1):wait(hang), short
    end, support.HANG_SECONDS):get() })
  end)

  it("may return the handles of tasks they started, to be waited for elsewhere", function()
    local h <const> = mp.spawn(function() return mp.spawn(math.abs, -9) end):get()
    assert.equal(9, h:get())
    assert.equal(10, mp.spawn(function(t) return t[1]:get() + 1 end, { h }):get())
  end)

  it("may cancel the task that started them", function()
    local err <const> = support.failure(mp.spawn(function(hang)
      mp.spawn(function(t) t[1]:cancel() end, { mp.current() })
      mp.sleep(hang)
    end, support.HANG_SECONDS))
    assert.equal("cancelled", err.kind)
  end)

  it("use pool objects made in a task, which are their own pool's", function()
    assert.equal(1, mp.spawn(function() return mp.get_thread_pool_info().workers > 0 and 1 end):get())
    for what, fn in pairs {
      configured = function() mp.configure { workers = 2 } end,
      ["shut down"] = function() mp.shutdown() end,
    } do
      assert.matches(("a pool cannot be %s by one of its own tasks"):format(what), support.failure(mp.spawn(fn)).message, 1, true)
    end
  end)

  it("may make a pool of their own", function()
    assert.equal(3, mp.spawn(function()
      local pool <close> = mp.pool { workers = 2 }
      return pool:spawn(math.max, 1, 3):get()
    end):get())
  end)

  it("keep the task that waits and the task that runs meanwhile apart", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.is_true(pool:spawn(function()
      local me <const> = mp.get_current_task_id()
      local other <const> = mp.spawn(function() return mp.get_current_task_id() end):get()
      return me ~= other and mp.get_current_task_id() == me and mp.current():id() == me
    end):get())
  end)

  it("keep an error in the one that runs meanwhile from the one that waits", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal("went on", pool:spawn(function()
      local bad <const> = mp.spawn(function()
        local t <close> = setmetatable({}, { __close = function() end })
        error(tostring(t))
      end)
      bad:wait()
      return "went on"
    end):get())
  end)

  it("wait in coroutines of theirs", function()
    assert.equal(6, mp.spawn(function()
      local sum
      coroutine.wrap(function(n) sum = mp.spawn(math.abs, -n):get() + mp.spawn(math.abs, -n):await() end)(3)
      mp.run()
      return sum
    end):get())
  end)

  it("share no state with isolate = 'state'", function()
    local pool <close> = mp.pool { workers = 1, isolate = "state" }
    assert.same({ "nil nil", 42, "function" }, pool:spawn(function()
      rawset(_G, "secret", 42)
      local function look() return tostring(rawget(_G, "secret")) end
      local seen <const> = mp.spawn(function(inner)
        local mine <const> = inner()
        rawset(_G, "secret", 1)
        string.rep = nil -- luacheck: ignore
        return mine .. " " .. mp.spawn(inner):get()
      end, look):get()
      return { seen, rawget(_G, "secret"), type(string.rep) }
    end):get())
    local function fib(n)
      if n < 2 then return n end
      local a, b = mp.spawn(fib, n - 1), mp.spawn(fib, n - 2)
      return a:get() + b:get()
    end
    assert.equal(21, pool:spawn(fib, 8):get())
  end)

  it("stay within the memory limit of the one that waits for them, each with a state of its own", function()
    local pool <close> = mp.pool { workers = 1, isolate = "state" }
    local kind <const> = pool:parallel(function()
      local _, err = mp.spawn(function() return #("x"):rep(50 << 20) end):pget()
      return err.kind
    end, { memory_limit = 10 << 20 })():get()
    assert.equal("memory", kind)
  end)
end)
