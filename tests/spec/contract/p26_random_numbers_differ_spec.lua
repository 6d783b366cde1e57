-- Promise 26: each state and each task without a seed draws from a stream of its own; a seed of one task reaches no other.
_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local N <const> = support.scaled(100)

local function draw() return math.random(0) end

local function seeded(seed)
  math.randomseed(seed)
  return math.random(0)
end

local function assert_all_differ(n, next_number)
  local seen <const> = {}
  for i = 1, n do
    local number <const> = next_number(i)
    assert.is_nil(seen[number])
    seen[number] = true
  end
end

describe("promise 26: random numbers", function()
  for _, isolate in ipairs { "none", "env", "state" } do
    it(("differ from task to task and worker to worker with isolate = %q"):format(isolate), function()
      local pool <close> = mp.pool { workers = 3, isolate = isolate }
      local handles <const> = {}
      for i = 1, N do handles[i] = pool:spawn(draw) end
      assert_all_differ(N, function(i) return handles[i]:get() end)
    end)
  end

  it("differ in pools that are made one after another", function()
    assert_all_differ(20, function()
      local pool <close> = mp.pool { workers = 1 }
      return pool:spawn(draw):get()
    end)
  end)

  it("differ after tasks were cancelled", function()
    local pool <close> = mp.pool { workers = 1 }
    assert_all_differ(20, function()
      local h <const> = pool:spawn(function()
        mp.report_progress(0.5)
        while true do end
      end)
      support.wait_until(function() return h:progress() > 0 end)
      h:cancel()
      return pool:spawn(draw):get()
    end)
  end)

  it("of a seed stay with the task that set it", function()
    local pool <close> = mp.pool { workers = 1 }
    local of_seed
    assert_all_differ(20, function()
      local number <const> = pool:spawn(seeded, 42):get()
      of_seed = of_seed or number
      assert.equal(of_seed, number)
      pool:map(draw, { 1, 2, 3 }, { seed = 42 })
      pool:each(1, 3, draw, { seed = 42 })
      return pool:spawn(draw):get()
    end)
  end)

  it("of a seed go on after a task that ran meanwhile, and are not that one's", function()
    local pool <close> = mp.pool { workers = 1 }
    local function numbers(run)
      math.randomseed(7)
      local list <const> = { math.random(0) }
      local inner = run and run() or 0
      list[2] = math.random(0)
      return list, inner
    end
    local expected <const> = pool:spawn(function(f) return (f()) end, numbers):get()
    assert_all_differ(20, function(i)
      local list, inner = table.unpack(pool:spawn(function(f, inner, seed)
        return { f(function() return mp.spawn(inner, seed):get() end) }
      end, numbers, i % 2 == 0 and seeded or draw, i):get())
      assert.same(expected, list)
      return inner
    end)
  end)

  it("come with a seed where setup took the library away", function()
    local pool <close> = mp.pool { workers = 1, setup = function() math = nil end } -- luacheck: ignore
    assert.same({ 1, 2, n = 2 }, (pool:map(function(i) return i end, { 1, 2 })))
    assert.same({ 1, 2, n = 2 }, (pool:map(function(i) return i end, { 1, 2 }, { seed = 1 })))
  end)
end)
