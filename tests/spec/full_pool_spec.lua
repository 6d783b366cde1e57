_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

-- A pool that has no room for a moment: two tasks that wait until they are cancelled.
local function full_pool()
  local pool <const> = mp.pool { workers = 1, max_concurrent_tasks = 2, full_timeout = 0.01 }
  local busy <const> = { pool:spawn(mp.sleep, support.HANG_SECONDS), pool:spawn(mp.sleep, support.HANG_SECONDS) }
  local function free()
    for i = 2, 1, -1 do busy[i]:cancel() end
    mp.wait_all(busy)
  end
  return pool, free
end

describe("a full pool", function()
  it("is told by graph:run, which then has run nothing", function()
    local pool <close>, free = full_pool()
    local g <const> = mp.graph():add("a", math.abs, { args = { -1 } }):add("b", math.abs, { needs = { "a" } })
    for _, on_error in ipairs { "raise", "none" } do
      local ok, err = pcall(g.run, g, { pool = pool, on_error = on_error })
      assert.is_false(ok)
      assert.same({ "full", "queue full" }, { err.kind, err.message })
    end
    free()
    assert.same({ a = 1, b = 1 }, (g:run { pool = pool }))
  end)

  it("is told by context:submit", function()
    local pool <close>, free = full_pool()
    local ok, err = pcall(function()
      local ctx <close> = mp.context { pool = pool }
      ctx:submit(math.abs, -1)
    end)
    assert.is_false(ok)
    assert.equal("full", err.kind)
    free()
  end)

  it("is not what a memoized task remembers", function()
    local pool <close>, free = full_pool()
    local memo <const> = mp.memoize(mp.parallel(math.abs, { pool = pool }))
    assert.same({ nil, "queue full", n = 2 }, table.pack(memo(-3)))
    free()
    assert.equal(3, memo(-3):get())
  end)
end)
