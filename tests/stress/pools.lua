-- Pools that come and go, closed in every way with tasks in every state, some by garbage collection: no thread is left, every
-- callback is called at most once, every handle has an end.
local mp = require "makeparallel"
local stress = require "stress"

local POOLS <const> = stress.scaled(60)

local function work(x)
  if x % 7 == 0 then error "on purpose" end
  if x % 5 == 0 then mp.sleep(0.002) end
  return x
end

local function use_pool(round)
  local pool <const> = mp.pool { workers = math.random(1, 3) }
  local handles <const>, calls <const> = {}, {}
  for i = 1, math.random(0, 60) do
    local handle <const> = pool:parallel(work, { timeout = math.random(4) == 1 and 0.001 or nil })(i)
    local function count() calls[i] = (calls[i] or 0) + 1 end
    handle:on_complete(count):on_error(count)
    if math.random(5) == 1 then handle:cancel() end
    handles[i] = handle
  end
  local how <const> = round % 4
  if how == 0 then
    pool:shutdown()
  elseif how == 1 then
    pool:shutdown { timeout = 0.001, cancel_pending = true }
  elseif how == 2 then
    local closed <close> = pool -- luacheck: ignore
  else
    for _, handle in ipairs(handles) do handle:wait() end
    collectgarbage() -- takes the pool of an earlier round that got here
  end
  for i, handle in ipairs(handles) do
    handle:wait()
    local status <const> = handle:status()
    stress.check(status == "done" or status == "failed" or status == "cancelled" or status == "timeout", "task %d is %s", i, status)
  end
  mp.poll()
  for i, n in pairs(calls) do stress.check(n == 1, "the callback of task %d was called %d times", i, n) end
end

mp.spawn(work, 1):get() -- the default pool's threads are there from the start
local threads <const> = stress.threads()
for round = 1, POOLS do use_pool(round) end
stress.wait_until(function()
  collectgarbage()
  return stress.threads() <= threads
end, "no thread left")
stress.done("%d pools", POOLS)
