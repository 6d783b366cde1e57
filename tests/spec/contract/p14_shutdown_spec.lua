-- Promise 14: a shutdown returns by its deadline, says what became of all, leaves every handle with an end and no thread it does not name.
_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local KINDS <const> = {
  function() return 1 end,
  function() error "on purpose" end,
  function() while true do end end,
  function() while true do pcall(error) end end,
  function() mp.sleep(60) end,
  function() return mp.spawn(function() mp.sleep(0.001) end):get() end,
}

local function submit_some(pool)
  local handles <const> = {}
  for i = 1, math.random(40) do
    local kind <const> = KINDS[math.random(#KINDS)]
    local after <const> = i > 1 and math.random(4) == 1 and handles[math.random(i - 1)] or nil
    handles[i] = pool:parallel(kind, { timeout = math.random(3) == 1 and math.random() / 50 or nil, after = after })()
  end
  return handles
end

describe("a shutdown", function()
  it(("at any moment ends everything (seed %d)"):format(support.seed), function()
    math.randomseed(support.seed)
    mp.spawn(math.abs, 1):get() -- the default pool's threads are there from the start
    collectgarbage()
    local threads <const> = support.threads()
    for _ = 1, support.scaled(60) do
      local pool <const> = mp.pool { workers = math.random(3) }
      local handles <const> = submit_some(pool)
      if math.random(2) == 1 then mp.sleep(math.random() / 100) end
      local before <const> = pool:info()
      local started <const> = mp.now()
      local report <const> = pool:shutdown { timeout = math.random(3) == 1 and 0 or 0.02, cancel_pending = math.random(2) == 1 }
      assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
      assert.is_true(report.stuck <= before.workers + before.workers_extra) -- 20 ms may be too short for one on a busy machine
      for _, h in ipairs(handles) do assert.is_true(h:is_ready()) end
      local info <const> = pool:info()
      assert.equal(info.submitted, info.finished)
      assert.equal(report.done + report.cancelled, info.finished)
      assert.is_true(info.submitted >= before.submitted)
      assert.matches("pool is shut down", (support.refusal(pool.spawn, pool, print)), 1, true)
    end
    collectgarbage()
    support.wait_until(function()
      collectgarbage()
      return support.threads() <= threads
    end)
  end)

  it("names the workers that are stuck, which go when their task returns", function()
    local threads <const> = support.threads()
    for _ = 1, support.scaled(3) do
      local pool <const> = mp.pool { workers = 2 }
      local h <const> = pool:spawn(os.execute, "sleep 0.3")
      local i <const> = pool:spawn(function() while true do end end)
      support.wait_until(function() return h:status() == "running" and i:status() == "running" end)
      i:cancel()
      support.wait_until(function() return pool:info().running == 1 end)
      assert.equal(1, pool:shutdown({ timeout = 0.01 }).stuck)
      assert.equal("cancelled", h:status())
      assert.equal("cancelled", i:status())
    end
    support.wait_until(function()
      collectgarbage()
      return support.threads() <= threads
    end)
  end)
end)
