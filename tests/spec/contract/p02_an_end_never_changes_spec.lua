-- Promise 2: a terminal state never changes, and all observers see it equal.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local function end_somehow(i)
  if i % 5 == 0 then error { i } end
  if i % 7 == 0 then mp.sleep(0.001) end
  return { i }, nil, i
end

-- What can be seen of an end, from anywhere.
local function look(h)
  h:wait()
  local status <const> = h:status()
  local seen = table.pack(h:pget())
  if not seen[1] then seen = { seen[2].kind, seen[2].message, seen[2].task_id, n = 3 } end
  return { status, h:is_cancelled(), h:is_ready(), seen }
end

local function look_at_all(handles)
  local seen <const> = {}
  for i, h in ipairs(handles) do seen[i] = look(h) end
  return seen
end

describe("the end of a task", function()
  it(("is the same for everybody who waits, in tasks, coroutines and here, early and late (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    local pool <close> = mp.pool { workers = 3 }
    local task <const> = pool:parallel(end_somehow)
    local handles <const> = {}
    for i = 1, support.scaled(300) do
      handles[i] = task:with { timeout = i % 11 == 0 and 0.0005 or nil } (i)
      if math.random(6) == 1 then handles[i]:cancel() end
    end
    local observers <const> = {}
    for i = 1, 16 do observers[i] = pool:spawn(function(list, see) return see(list) end, handles, look_at_all) end
    local here <const> = look_at_all(handles)
    for i, h in ipairs(handles) do
      local awaited
      coroutine.wrap(function() awaited = table.pack(pcall(h.await, h)) end)()
      mp.run()
      assert.equal(here[i][1] == "done", awaited[1])
      h:cancel()
    end
    for _, observer in ipairs(observers) do assert.same(here, observer:get()) end
    assert.same(here, look_at_all(handles)) -- nothing changes it
    pool:shutdown()
    assert.same(here, look_at_all(handles))
  end)
end)
