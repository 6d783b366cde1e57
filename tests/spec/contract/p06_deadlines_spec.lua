-- Promise 6: a handle ends at its deadline whatever its task does; a worker whose task does not return is set aside, counted, replaced.
local support = require "support"
_ENV = support.globals(_ENV)

local mp = require "makeparallel"

-- Programs in C that nothing can interrupt. They end by themselves after a while, so that the specs do.
local BLOCK <const> = [[os.execute "sleep 1"]]
local STUCK <const> = {
  { "a pattern that backtracks", [[("a"):rep(27):find(("a?"):rep(27) .. ("a"):rep(27) .. "b")]] },
  { "table.move of a billion nils", [[table.move({}, 1, 1 << (... or 27), 2)]] },
  { "another program", BLOCK },
}

describe("a deadline", function()
  for _, program in ipairs(STUCK) do
    it("ends the handle though the task sits in " .. program[1], function()
      local pool <const> = mp.pool { workers = 1 }
      local h <const> = pool:parallel(assert(load(program[2])), { timeout = 0.02 })()
      local started <const> = mp.now()
      assert.equal("timeout", support.failure(h).kind)
      assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
      assert.equal("timeout", h:status())
    end)
  end

  it("also passes while the task waits for what it depends on, or for a worker", function()
    local pool <close> = mp.pool { workers = 1 }
    local slow <const> = support.sleeper(pool)
    local dependent <const> = pool:parallel(print, { timeout = 0.01, after = slow })()
    local queued <const> = pool:parallel(print, { timeout = 0.01 })()
    assert.equal("timeout", support.failure(dependent).kind)
    assert.equal("timeout", support.failure(queued).kind)
    assert.equal("running", slow:status())
    slow:cancel()
  end)

  it("stops a body in Lua, which leaves the worker whole", function()
    local pool <close> = mp.pool { workers = 1 }
    local h <const> = pool:parallel(function() while true do end end, { timeout = 0.01 })()
    assert.equal("timeout", support.failure(h).kind)
    support.wait_until(function() return pool:info().running == 0 end)
    assert.equal(0, pool:info().stuck)
    assert.equal(0, pool:info().workers_extra)
  end)
end)

describe("a worker whose task does not return", function()
  -- A task that is over while its body sits in C, as long as there is `file`. A deadline might pass before the body begins.
  local function start_stuck(pool, file)
    local h <const> = pool:spawn(function(path)
      os.execute(("while [ -e %s ]; do sleep 0.05; done"):format(path))
      return "late"
    end, file.path)
    support.wait_until(function() return h:status() == "running" end)
    mp.sleep(0.01) -- it has reached C
    assert.is_true(h:cancel())
    return h
  end

  it("is replaced, and counted until it does; what the task returns is dropped", function()
    local pool <const> = mp.pool { workers = 1 }
    local h
    do
      local file <close> = support.temporary_file()
      h = start_stuck(pool, file)
      assert.equal("done", pool:spawn(function() return "done" end):get(support.HANG_SECONDS))
      assert.equal(1, pool:info().stuck)
    end
    support.wait_until(function() return pool:info().stuck == 0 end)
    assert.equal("cancelled", support.failure(h).kind)
    pool:shutdown()
  end)

  it("is told of in the log", function()
    local lines <const> = {}
    local pool <const> = mp.pool { workers = 1, log = function(level, _, line) lines[#lines + 1] = level .. ": " .. line end }
    local function told(text)
      mp.poll()
      return table.concat(lines, "\n"):find(text) ~= nil
    end
    do
      local file <close> = support.temporary_file()
      start_stuck(pool, file)
      support.wait_until(function() return told "warn: worker %d+ is set aside: its task #%d+ is over but does not return" end)
    end
    support.wait_until(function() return told "is back" end)
    pool:shutdown()
  end)

  it("is not one that waits, or sleeps, or is asked but not over", function()
    local pool <close> = mp.pool { workers = 2, cancel_mode = "cooperative" }
    local waiting <const> = pool:parallel(function() mp.spawn(mp.sleep, 0.3):get() end, { timeout = 0.01 })()
    waiting:wait()
    mp.sleep(0.2)
    assert.equal(0, pool:info().stuck)
  end)
end)
