-- Promise 4: cancel() is true exactly when the outcome is `cancelled` by it, whatever it meets.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

describe("cancel", function()
  it(("tells the truth in a race with the start and the end of the task (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    local pool <close> = mp.pool { workers = 2 }
    local task <const> = pool:parallel(function(n) return n end)
    local n <const>, outcomes = support.scaled(5000), { done = 0, cancelled = 0 }
    for i = 1, n do
      local h <const> = task(i)
      for _ = 1, math.random(0, 400) do end -- now it is queued, then it runs, then it is over
      local said <const> = h:cancel()
      h:wait()
      local status <const> = h:status()
      outcomes[status] = outcomes[status] + 1
      assert.equal(status == "cancelled", said)
      if status == "done" then assert.equal(i, h:get()) end
      assert.equal(status == "cancelled", h:cancel()) -- and goes on telling it
      assert.equal(status == "cancelled", h:is_cancelled())
    end
    assert.equal(n, outcomes.done + outcomes.cancelled)
  end)

  it("is true for one that is queued or waits, which then never runs", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = support.sleeper(pool)
    local file <close> = support.temporary_file()
    local function write(path)
      local f <close> = assert(io.open(path, "a"))
      f:write "ran"
    end
    local handles <const> = {}
    for i = 1, support.scaled(1000) do
      handles[i] = pool:parallel(write, { priority = i % 3 - 1, after = i % 2 == 0 and handles[i - 1] or nil })(file.path)
    end
    for i = #handles, 1, -1 do
      assert.is_true(handles[i]:cancel())
      assert.equal("cancelled", handles[i]:status())
    end
    blocker:cancel()
    assert.equal(1, pool:spawn(math.abs, -1):get())
    assert.equal("", file:read())
  end)

  it("of two at once agree", function()
    local pool <close> = mp.pool { workers = 2 }
    for _ = 1, support.scaled(300) do
      local victim <const> = pool:spawn(math.abs, -1)
      local other <const> = mp.spawn(function(list) return list[1]:cancel() end, { victim })
      local said <const> = victim:cancel()
      local also <const> = other:get()
      victim:wait()
      if said or also then assert.equal("cancelled", victim:status()) end
      assert.equal(victim:status() == "cancelled", victim:cancel())
    end
  end)
end)
