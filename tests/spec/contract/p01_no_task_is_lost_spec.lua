-- Promise 1: no task is lost. Each accepted task ends in exactly one of done, failed, cancelled, timeout.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local RECENT <const> = 32

local function work(deed, x)
  if deed == 1 then error(x, 0) end
  if deed == 2 then mp.sleep(0.0002) end
  if deed == 3 then return mp.spawn(math.abs, -x):get() end
  return x
end

-- Submits n tasks of every kind, cancels some; returns their handles.
local function submit_all(pool, n)
  local handles <const> = {}
  local task <const> = pool:parallel(work)
  for i = 1, n do
    local options <const> = { priority = math.random(8) == 1 and math.random(-2, 2) or nil }
    if math.random(8) == 1 then options.timeout = math.random() * 0.002 end
    if i > RECENT and math.random(4) == 1 then
      options.after = {}
      for k = 1, math.random(3) do options.after[k] = handles[i - math.random(RECENT)] end
    end
    handles[i] = task:with(options)(math.random(12), i)
    if i > RECENT and math.random(8) == 1 then handles[i - math.random(RECENT)]:cancel() end
  end
  return handles
end

local function count_ends(handles)
  local ends <const> = { done = 0, failed = 0, cancelled = 0, timeout = 0 }
  for i, h in ipairs(handles) do
    local status <const> = h:status()
    ends[status] = ends[status] + 1
    if status == "done" then assert.equal(i, h:get()) else support.failure(h) end
  end
  return ends
end

describe("no task is lost", function()
  it(("when they fail, are cancelled, time out and depend on one another (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    local pool <close> = mp.pool { workers = 3 }
    local handles <const> = submit_all(pool, support.scaled(10000))
    assert.is_true(mp.wait_all(handles, support.HANG_SECONDS))
    local ends <const>, inner = count_ends(handles), pool:info().submitted - #handles
    support.wait_until(function() return pool:info().finished == pool:info().submitted end)
    local info <const> = pool:info()
    assert.equal(#handles, ends.done + ends.failed + ends.cancelled + ends.timeout)
    assert.equal(info.finished, info.done + info.failed + info.cancelled + info.timed_out)
    assert.equal(ends.timeout, info.timed_out)
    assert.is_true(ends.done + inner >= info.done and ends.done <= info.done)
  end)

  it(("when the pool is shut down under them at a random moment (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    for _ = 1, support.scaled(20) do
      local pool <const> = mp.pool { workers = math.random(3) }
      local handles <const> = submit_all(pool, math.random(300))
      mp.sleep(math.random() * 0.005)
      local deadline <const> = math.random(3) == 1 and 0.001 or support.HANG_SECONDS
      local report <const> = pool:shutdown { timeout = deadline, cancel_pending = math.random(2) == 1 }
      local ends <const>, info = count_ends(handles), pool:info() -- every status is a terminal one
      assert.equal(#handles, ends.done + ends.failed + ends.cancelled + ends.timeout)
      assert.equal(info.submitted, info.finished)
      assert.is_true(report.done + report.cancelled <= info.submitted)
    end
  end)
end)
