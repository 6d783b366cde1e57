-- Promise 9: waiting inside a task never deadlocks, also with one worker and deep recursion.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local function fib(n)
  if n < 2 then return n end
  local a <const> = mp.spawn(fib, n - 1)
  local b <const> = fib(n - 2)
  return a:get() + b
end

local function both(n)
  if n < 2 then return n end
  local a, b = mp.spawn(both, n - 1), mp.spawn(both, n - 2)
  return a:get() + b:get()
end

describe("tasks that submit and wait inside tasks", function()
  for workers = 1, 3 do
    it(("compute fib in parallel with %d workers"):format(workers), function()
      local pool <close> = mp.pool { workers = workers }
      assert.equal(233, pool:spawn(fib, 13):get())
      assert.equal(144, pool:spawn(both, 12):get())
      assert.equal(workers, pool:info().workers)
    end)
  end

  it("may be nested hundreds deep on one worker", function()
    local pool <close> = mp.pool { workers = 1 }
    local function deeper(n) return n == 0 and 0 or 1 + mp.spawn(deeper, n - 1):get() end
    assert.equal(300, pool:spawn(deeper, 300):get())
  end)

  it("wait in every way, for more than there are workers", function()
    local function leaves(depth)
      if depth == 0 then return 1 end
      local handles <const> = {}
      for i = 1, 2 do handles[i] = mp.spawn(leaves, depth - 1) end
      local sum = 0
      if depth % 4 == 0 then
        for _, n in ipairs(mp.gather(handles)) do sum = sum + n end
      elseif depth % 4 == 1 then
        for h in mp.as_completed(handles) do sum = sum + h:get() end
      elseif depth % 4 == 2 then
        for _, n in ipairs(mp.map(leaves, { depth - 1, depth - 1 }, { chunk = 1 })) do sum = sum + n end
      else
        mp.wait_all(handles)
        for _, h in ipairs(handles) do sum = sum + h:get() end
      end
      return sum
    end
    for workers = 1, 2 do
      local pool <close> = mp.pool { workers = workers }
      local handles <const> = {}
      for i = 1, support.scaled(4) do handles[i] = pool:spawn(leaves, 6) end
      for _, h in ipairs(handles) do assert.equal(64, h:get(support.HANG_SECONDS)) end
    end
  end)
end)
