-- Promise 11: nothing leaks. Bytes and threads after many rounds are what they were before.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local SLACK <const> = 6 << 20 -- bytes: blocks that a pool keeps for later tasks, heaps that have grown

local function work(deed, x)
  if deed == 1 then error(("x"):rep(1000)) end
  if deed == 2 then return ("y"):rep(1000) end
  if deed == 3 then return mp.spawn(math.abs, -x):get() end
  if deed == 4 then mp.report_progress(0.5, "half") end
  return { x, { x } }
end

local function nothing() end

-- Tasks of every kind whose handles are dropped, most before their end.
local function run_round(pool, n)
  local task <const> = pool:parallel(work)
  local last
  for i = 1, n do
    local deed <const> = math.random(12)
    local options <const> = { name = deed == 5 and "named" or nil, metadata = deed == 6 and { i } or nil }
    if deed == 7 then options.timeout = 0.001 end
    if deed == 8 then options.after = last end
    if deed == 9 then options.on_complete, options.on_error, options.on_progress = nothing, nothing, nothing end
    last = task:with(options)(deed, i)
    if deed == 10 then last:cancel() end
    if deed == 11 then last:on_complete(nothing) end
    if i % 256 == 0 then mp.poll() end
  end
  support.wait_until(function() return mp.poll() == 0 and pool:info().finished == pool:info().submitted end)
  last = nil -- luacheck: ignore
  collectgarbage()
  collectgarbage()
  mp.poll()
end

-- Stand-ins for workers that wait stay as spares.
local function threads_but_spares(pool)
  return support.threads() - pool:info().workers_extra
end

describe("nothing leaks", function()
  it(("in rounds of tasks whose handles are dropped (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    local pool <close> = mp.pool { workers = 2 }
    local n <const> = support.scaled(2000)
    run_round(pool, n)
    local bytes <const>, heap <const>, threads <const> = pool:info().bytes, collectgarbage "count", threads_but_spares(pool)
    for _ = 1, 8 do run_round(pool, n) end
    support.wait_until(function()
      collectgarbage()
      return pool:info().bytes <= bytes + SLACK and collectgarbage "count" <= heap + SLACK / 1024
    end)
    if not support.sanitized then assert.is_true(threads_but_spares(pool) <= threads) end -- one of an earlier spec may have gone
  end)

  it("when pools come and go", function()
    local function live()
      local pool <close> = mp.pool { workers = 2 }
      for i = 1, 5 do pool:spawn(i % 2 == 0 and math.abs or error, i):on_complete(nothing) end
      return pool:spawn(math.abs, -1):get()
    end
    for _ = 1, 10 do live() end
    collectgarbage()
    collectgarbage()
    local heap <const>, threads <const> = collectgarbage "count", support.threads()
    for _ = 1, support.scaled(150) do live() end
    support.wait_until(function()
      collectgarbage()
      mp.poll()
      return collectgarbage "count" <= heap + 256 and support.threads() <= threads
    end)
  end)
end)
