_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

-- A pool that has no room: two tasks that wait until they are cancelled. full_timeout: nil to wait for room without end.
local function full_pool(full_timeout)
  local pool <const> = mp.pool { workers = 1, max_concurrent_tasks = 2, full_timeout = full_timeout }
  local busy <const> = { pool:spawn(mp.sleep, support.HANG_SECONDS), pool:spawn(mp.sleep, support.HANG_SECONDS) }
  local function free()
    for i = 2, 1, -1 do busy[i]:cancel() end
    mp.wait_all(busy)
  end
  return pool, free
end

describe("a full pool", function()
  it("is told by graph:run, which then has run nothing", function()
    local pool <close>, free = full_pool(0.01)
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
    local pool <close>, free = full_pool(0.01)
    local ok, err = pcall(function()
      local ctx <close> = mp.context { pool = pool }
      ctx:submit(math.abs, -1)
    end)
    assert.is_false(ok)
    assert.equal("full", err.kind)
    free()
  end)

  it("is not what a memoized task remembers", function()
    local pool <close>, free = full_pool(0.01)
    local memo <const> = mp.memoize(mp.parallel(math.abs, { pool = pool }))
    assert.same({ nil, "queue full", n = 2 }, table.pack(memo(-3)))
    free()
    assert.equal(3, memo(-3):get())
  end)
end)

describe("a pool that stays full until the timeout is over", function()
  local NUMBERS <const> = { 1, 2, 3 }
  local calls <const> = {
    map = function(how) mp.map(math.abs, NUMBERS, how) end,
    each = function(how) mp.each(1, 3, math.abs, how) end,
    reduce = function(how) mp.reduce(math.abs, math.max, NUMBERS, how) end,
    imap = function(how)
      for _ in mp.imap(math.abs, NUMBERS, how) do error("a result") end
    end,
    graph = function(how) mp.graph():add("a", math.abs, { args = { -1 } }):run(how) end,
    context = function(how)
      local ctx <close> = mp.context(how)
      ctx:submit(math.abs, -1)
    end,
    ["context:map"] = function(how)
      local ctx <close> = mp.context(how)
      ctx:map(math.abs, NUMBERS)
    end,
  }
  for _, what in ipairs { "map", "each", "reduce", "imap", "graph", "context", "context:map" } do
    it("is a timeout of " .. what, function()
      local pool <close>, free = full_pool()
      local ok, err = pcall(calls[what], { pool = pool, timeout = 0.05 })
      free()
      assert.is_false(ok)
      assert.equal("timeout", err.kind, tostring(err))
    end)
  end

  it("does not have a task called that has waited for so long", function()
    local pool <close>, free = full_pool()
    assert.same({ nil, "queue full", n = 2 }, table.pack(mp.parallel(math.abs, { pool = pool, timeout = 0.05 })(-1)))
    free()
  end)
end)

describe("a pool that has room again", function()
  it("leaves a task that waited for it the timeout that it was given", function()
    local pool <close> = mp.pool { workers = 1, max_concurrent_tasks = 1 }
    pool:spawn(mp.sleep, 0.05)
    local handle <const> = mp.parallel(math.abs, { pool = pool, timeout = support.HANG_SECONDS })(-1)
    assert.same({ 1, support.HANG_SECONDS * 1.0 }, { handle:get(), handle:timeout() })
  end)
end)
