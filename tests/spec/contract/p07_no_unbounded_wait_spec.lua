-- Promise 7: no unbounded wait. Each blocking call has a deadline, or wakes on shutdown and on Ctrl-C.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local SOON <const> = support.HANG_SECONDS / 3 -- seconds; what hangs takes longer

-- Every call that blocks, on a task that goes on: with a timeout, and without one.
local WAITS <const> = {
  get = { function(h) return h:get(0.01) end, function(h) return h:get() end },
  pget = { function(h) return h:pget(0.01) end, function(h) return h:pget() end },
  wait = { function(h) return h:wait(0.01) end, function(h) return h:wait() end },
  gather = { function(h) return mp.gather({ h }, { timeout = 0.01 }) end, function(h) return mp.gather { h } end },
  wait_all = { function(h) return mp.wait_all({ h }, 0.01) end, function(h) return mp.wait_all { h } end },
  wait_any = { function(h) return mp.wait_any({ h }, 0.01) end, function(h) return mp.wait_any { h } end },
  as_completed = {
    function(h) for _ in mp.as_completed({ h }, 0.01) do end end,
    function(h) for _ in mp.as_completed { h } do end end,
  },
  map = {
    function(_, pool) return pool:map(mp.sleep, { 1000 }, { timeout = 0.01 }) end,
    function(_, pool) return pool:map(mp.sleep, { 1000 }) end,
  },
  sleep = { function() return mp.sleep(0.01) end, function() return mp.sleep(1000) end },
  call = {
    function(_, pool) return pool:parallel(mp.sleep, { timeout = 0.01 }):call(1000) end,
    function(_, pool) return pool:parallel(mp.sleep):call(1000) end,
  },
}

local function took(fn, ...)
  local began <const> = mp.now()
  pcall(fn, ...)
  return mp.now() - began
end

describe("a wait", function()
  for name, wait in pairs(WAITS) do
    it(("by %s ends at its deadline"):format(name), function()
      local pool <close> = mp.pool { workers = 1 }
      local blocker <const> = support.sleeper(pool)
      local seconds <const> = took(wait[1], blocker, pool)
      assert.is_true(seconds >= 0.01 and seconds < SOON, seconds)
    end)
  end

  it("inside a task ends when its pool is shut down", function()
    local pool <const> = mp.pool { workers = 2 }
    local sleeper <const> = mp.spawn(mp.sleep, 1000) -- of another pool, which goes on
    local handles <const> = {}
    for _, wait in pairs(WAITS) do
      local blocking <const> = wait[2]
      handles[#handles + 1] = pool:spawn(function(list) return blocking(list[1], require "makeparallel") end, { sleeper })
    end
    support.wait_until(function() return pool:info().running > 0 end)
    mp.sleep(0.02)
    assert.is_true(took(pool.shutdown, pool, { timeout = 0.05 }) < SOON)
    for _, h in ipairs(handles) do assert.is_true(h:is_ready()) end
    sleeper:cancel()
  end)

  if not support.sanitized then -- their interpreter has no handler for SIGINT
    for name, wait in pairs {
      get = "h:get()", wait = "h:wait()", gather = "mp.gather { h }", wait_any = "mp.wait_any { h }",
      as_completed = "for _ in mp.as_completed { h } do end", run = "h:on_complete(print) mp.run()",
      map = "mp.map(mp.sleep, { 1000, 1000 })", sleep = "mp.sleep(1000)",
      shutdown = "mp.shutdown { timeout = 1000, cancel_pending = false }",
    } do
      it(("by %s is ended by Ctrl-C"):format(name), function()
        local child <const> = support.run_child(([[
          local mp = require "makeparallel"
          local h = mp.spawn(mp.sleep, 1000)
          os.execute "(sleep 0.1; kill -INT $PPID) &"
          local ok, err = pcall(function() %s end)
          io.write(tostring(ok), " ", tostring(err))
        ]]):format(wait))
        assert.matches("^false .*interrupted!", child.stdout, 1)
        assert.equal(0, child.code)
        assert.is_true(child.seconds < SOON)
      end)
    end
  end
end)
