-- Promise 8: a task starts only when all it depends on are done, in chains, fans and random graphs of any size.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local function add(...)
  local sum = 0
  for _, n in ipairs { ... } do sum = sum + n end
  return sum
end

describe("dependencies in great number", function()
  local n <const> = support.scaled(10000)

  it("may be a chain", function()
    local last = mp.spawn(add, 0)
    for _ = 1, n do last = mp.spawn(add, last, 1) end
    assert.equal(n, last:get())
  end)

  it("may be a chain held up at its start", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = support.sleeper(pool)
    local first <const> = pool:spawn(add, 0)
    local last = first
    for _ = 1, n do last = pool:spawn(add, last, 1) end
    assert.equal("waiting", last:status())
    blocker:cancel()
    assert.equal(n, last:get())
  end)

  it("may be a chain that fails at its start", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = support.sleeper(pool)
    local first <const> = pool:spawn(add, 0)
    local last = first
    for _ = 1, n do last = pool:spawn(add, last, 1) end
    first:cancel()
    assert.equal("cancelled", support.failure(last).cause.kind)
    blocker:cancel()
  end)

  it("may be a fan-out and a fan-in", function()
    local root <const> = mp.spawn(add, 1)
    local parts <const> = {}
    for i = 1, n do parts[i] = mp.spawn(add, root, i) end
    assert.equal(n, mp.parallel_with_deps(function(deps) return deps.n end, { after = parts }):call())
    local sum <const> = mp.parallel_with_deps(function(deps)
      local total = 0
      for i = 1, deps.n do total = total + deps[i] end
      return total
    end, { after = parts })
    assert.equal(n + n * (n + 1) // 2, sum:call())
  end)

  it(("may be random graphs, in which exactly the descendants of what failed do not run (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    local pool <close> = mp.pool { workers = 3 }
    local function node(i, fails)
      if fails then error(i, 0) end
      return i
    end
    local handles <const>, fails <const>, parents <const> = {}, {}, {}
    local task <const> = pool:parallel(node)
    for i = 1, n do
      parents[i], fails[i] = {}, math.random(1000) == 1
      local after <const> = {}
      for k = 1, math.random(0, math.min(i - 1, 4)) do
        parents[i][k] = math.random(math.max(1, i - 50), i - 1)
        after[k] = handles[parents[i][k]]
      end
      handles[i] = task:with { after = after } (i, fails[i])
    end
    local ran <const> = {}
    for i = 1, n do
      ran[i] = true
      for _, parent in ipairs(parents[i]) do ran[i] = ran[i] and ran[parent] and not fails[parent] end
      local ok, result = handles[i]:pget(support.HANG_SECONDS)
      assert.equal(ran[i] and not fails[i], ok)
      if ok then
        assert.equal(i, result)
      else
        assert.equal(ran[i] and "error" or "dependency", result.kind)
        local first <const> = result.cause or result
        assert.is_true(fails[first.value])
      end
    end
  end)
end)
