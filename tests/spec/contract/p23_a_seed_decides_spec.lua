-- Promise 23: with a seed, per-item random streams give the same results at any worker count.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local function numbers(n)
  local list <const> = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("a seed", function()
  it("gives the same random numbers to map at any number of workers and size of chunk", function()
    local function draw(i) return { math.random(), math.random(1 << 40), i } end
    local expected
    for _, workers in ipairs { 1, 2, 3 } do
      local pool <close> = mp.pool { workers = workers }
      for _, chunk in ipairs { false, 1, 7 } do
        local results <const> = pool:map(draw, numbers(50), { seed = 42, chunk = chunk or nil })
        expected = expected or results
        assert.same(expected, results)
      end
    end
    assert.not_same(expected, mp.map(draw, numbers(50), { seed = 43 }))
    assert.not_equal(expected[1][1], expected[2][1])
    assert.same(expected, mp.map(draw, numbers(50), { seed = 42 }))
  end)

  it("decides, however long items take, whichever worker has them and whatever it drew before", function()
    local function draw(i)
      if i % 3 == 0 then mp.sleep(0.0002) end
      local list <const> = {}
      for k = 1, i % 4 + 1 do list[k] = math.random(1 << 30) end
      return list
    end
    local n <const>, expected = support.scaled(300), nil
    for workers = 1, 4 do
      local pool <close> = mp.pool { workers = workers }
      for _ = 1, 10 do pool:spawn(math.random) end
      local results <const> = pool:map(draw, numbers(n), { seed = support.seed })
      expected = expected or results
      assert.same(expected, results)
    end
  end)
end)
