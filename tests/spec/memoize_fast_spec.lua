_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal

-- Counts calls in every state: each leaves a byte in a file.
local function counted(path, fn)
  return function(...)
    local file <const> = assert(io.open(path, "ab"))
    file:write "."
    file:close()
    return fn(...)
  end
end

describe("mp.memoize_fast", function()
  it("keeps all results, nils and false included, as copies", function()
    local calls, note = support.recorder()
    local memo <const> = mp.memoize_fast(function(...)
      note()
      return nil, { ... }, false, nil
    end)
    local first <const> = table.pack(memo(1, nil, "x"))
    local second <const> = table.pack(memo(1, nil, "x"))
    assert.same({ nil, { 1, nil, "x" }, false, nil, n = 4 }, first)
    assert.same(first, second)
    assert.are_not.equal(first[2], second[2])
    assert.equal(1, calls.n)
    assert.equal(0, select("#", mp.memoize_fast(function() end)()))
  end)

  it("shares one cache among all workers and the main state", function()
    local file <close> = support.temporary_file()
    local memo <const> = mp.memoize_fast(counted(file.path, function(x) return x * 2 end))
    assert.equal(2, memo(1))
    local pool <close> = mp.pool { workers = 3 }
    for i = 1, 30 do assert.equal(2 * (i % 3 + 1), pool:spawn(memo, i % 3 + 1):get()) end
    assert.equal(6, memo(3))
    assert.equal("...", file:read())
    local info <const> = memo:cache_info()
    assert.same({ 3, 3, 29 }, { info.entries, info.misses, info.hits })
  end)

  it("is computed once when all workers want it at once", function()
    local file <close> = support.temporary_file()
    local memo <const> = mp.memoize_fast(counted(file.path, function(x)
      mp.sleep(0.1)
      return x
    end))
    local pool <close> = mp.pool { workers = 4 }
    local handles <const> = {}
    for i = 1, 8 do handles[i] = pool:spawn(memo, "k") end
    assert.equal("k", memo "k")
    for _, handle in ipairs(handles) do assert.equal("k", handle:get(support.HANG_SECONDS)) end
    assert.equal(".", file:read())
  end)

  it("lets coroutines of mp.go run while a worker computes", function()
    local memo <const> = mp.memoize_fast(function(x)
      mp.sleep(0.1)
      return x
    end)
    local handle <const> = mp.spawn(memo, 1)
    support.wait_until(function() return memo:cache_info().misses == 1 end)
    local ticks, got = 0, nil
    mp.run(function()
      mp.go(function()
        while not got do
          ticks = ticks + 1
          mp.sleep(0.002)
        end
      end)
      got = memo(1)
    end)
    assert.equal(1, got)
    assert.is_true(ticks >= 3)
    assert.equal(1, handle:get())
    assert.same({ 1, 1 }, { memo:cache_info().misses, memo:cache_info().hits })
  end)

  it("handles recursion, here and in several workers", function()
    local fib
    fib = mp.memoize_fast(function(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end)
    local pool <close> = mp.pool { workers = 3 }
    local handles <const> = {}
    for i = 1, 12 do handles[i] = pool:spawn(fib, 70 + i % 4) end
    for i, handle in ipairs(handles) do
      assert.equal(({ [0] = 190392490709135, 308061521170129, 498454011879264, 806515533049393 })[i % 4], handle:get(support.HANG_SECONDS))
    end
    assert.equal(190392490709135, fib(70))
  end)

  it("never waits for who waits for it: A needs B while B needs A", function()
    local memo
    memo = mp.memoize_fast(function(x, depth)
      mp.sleep(0.02)
      if depth == 0 then return x end
      return x .. memo(x == "a" and "b" or "a", depth - 1)
    end)
    local pool <close> = mp.pool { workers = 2 }
    for depth = 1, 6 do
      local a, b = pool:spawn(memo, "a", depth), pool:spawn(memo, "b", depth)
      assert.equal(("ab"):rep(4):sub(1, depth + 1), a:get(support.HANG_SECONDS))
      assert.equal(("ba"):rep(4):sub(1, depth + 1), b:get(support.HANG_SECONDS))
    end
  end)

  it("computes in tasks of its own, and waits for them, without a deadlock", function()
    local memo
    memo = mp.memoize_fast(function(n)
      if n < 2 then return n end
      local a, b = mp.spawn(memo, n - 1), mp.spawn(memo, n - 2)
      return a:get() + b:get()
    end)
    for _, workers in ipairs { 1, 2, 3 } do
      memo:cache_clear()
      local pool <close> = mp.pool { workers = workers }
      assert.equal(610, pool:spawn(memo, 15):get(support.HANG_SECONDS))
    end
  end)

  it("passes errors on and keeps none", function()
    local calls, note = support.recorder()
    local memo <const> = mp.memoize_fast(function(x)
      note()
      error({ code = x })
    end)
    for _ = 1, 2 do
      local ok, err = pcall(memo, 5)
      assert.same({ false, { code = 5 } }, { ok, err })
    end
    assert.equal(2, calls.n)
    assert.equal(5, support.failure(mp.spawn(memo, 5)).value.code)
    assert.equal(0, memo:cache_info().entries)
  end)

  it("lets others compute when the task that computes is cancelled", function()
    local file <close> = support.temporary_file()
    local path <const> = file.path
    local memo <const> = mp.memoize_fast(counted(path, function()
      local calls <close> = assert(io.open(path))
      if #calls:read "a" == 1 then mp.sleep(support.HANG_SECONDS) end
      return "second"
    end))
    local first <const> = mp.spawn(memo)
    support.wait_until(function() return file:read() == "." end)
    local second <const> = mp.spawn(memo)
    assert.is_true(first:cancel(support.HANG_SECONDS))
    assert.equal("second", second:get(support.HANG_SECONDS))
  end)

  it("ends a wait when its own task is cancelled", function()
    local memo <const> = mp.memoize_fast(function() mp.sleep(support.HANG_SECONDS) end)
    local pool <close> = mp.pool { workers = 2 }
    local first <const> = pool:spawn(memo)
    support.wait_until(function() return first:status() == "running" and memo:cache_info().misses == 1 end)
    local second <const> = pool:spawn(memo)
    support.wait_until(function() return second:status() == "running" end)
    mp.sleep(0.05)
    assert.is_true(second:cancel(10))
    assert.equal("running", first:status())
  end)

  it("is limited by max, max_bytes and ttl", function()
    local memo <const> = mp.memoize_fast(function(x) return x end, { max = 2 })
    memo(1) memo(2) memo(3)
    assert.same({ 2, 1, 2 }, { memo:cache_info().entries, memo:cache_info().evicted, memo:cache_info().max })
    local small <const> = mp.memoize_fast(function(x) return ("x"):rep(x) end, { max_bytes = 2000 })
    for i = 300, 320 do small(i) end
    assert.is_true(small:cache_info().bytes <= 2000)
    assert.is_true(small:cache_info().evicted > 10)
    small(5000)
    assert.equal(2000, small:cache_info().max_bytes)
    local brief <const> = mp.memoize_fast(function(x) return x end, { ttl = 0.02 })
    brief(1)
    mp.sleep(0.03)
    brief(1)
    assert.same({ 1, 2, 0.02 }, { brief:cache_info().expired, brief:cache_info().misses, brief:cache_info().ttl })
    brief:cache_clear()
    assert.equal(0, brief:cache_info().entries)
    local instant <const> = mp.memoize_fast(function(x) return x end, { ttl = 0 })
    instant(1) instant(1)
    assert.equal(2, instant:cache_info().misses)
  end)

  it("does not keep what cannot be encoded or only refers to something", function()
    local calls, note = support.recorder()
    local memo <const> = mp.memoize_fast(function(make)
      note()
      if make == "file" then return io.stdout end
      if make == "handle" then return mp.spawn(math.abs, -1) end
      return function() return note end
    end)
    for _, make in ipairs { "file", "handle", "closure" } do
      assert.is_not_nil(memo(make))
      assert.is_not_nil(memo(make))
    end
    assert.equal(6, calls.n)
    assert.equal(0, memo:cache_info().entries)
    local named <const> = mp.memoize_fast(function() return string.rep end)
    named()
    assert.equal(string.rep, named())
    assert.equal(1, named:cache_info().entries)
  end)

  it("is a method of objects whose class has a name", function()
    local point <const> = require "fixtures.point"
    local memo <const> = mp.memoize_fast(function(self, by) return self.w * by end)
    assert.same({ 4, 4, 6 }, { memo(point.size(2, 2), 2), memo(point.size(2, 2), 2), memo(point.size(2, 2), 3) })
    local pool <close> = mp.pool { workers = 1, preload = { "fixtures.point" } }
    assert.equal(4, pool:spawn(memo, point.size(2, 2), 2):get())
    assert.equal(2, memo:cache_info().entries)
  end)

  it("refuses arguments that mean nothing elsewhere, at the caller", function()
    local memo <const> = mp.memoize_fast(print)
    for text, value in pairs {
      ["argument #1: function is in no module"] = function() end,
      ["argument #1: userdata means nothing in another state"] = io.stdout,
      ["argument #1: the metatable of a table is in no module"] = setmetatable({}, {}),
      ["argument #1: a table is the key of another table"] = { [{}] = 1 },
    } do
      local message, place = refusal(function() memo(value) end)
      assert.equal("this call cannot be memoized among workers: " .. text, message)
      assert.matches("memoize_fast_spec%.lua:%d+$", place)
    end
  end)

  it("refuses wrong options, at the caller", function()
    for _, call in ipairs {
      { "bad argument #1 to 'memoize_fast' (function expected, got nil)", function() mp.memoize_fast() end },
      { "bad argument #1 to 'memoize_fast' (function expected, got a task: wrap its function instead)",
        function() mp.memoize_fast(mp.parallel(print)) end },
      { "unknown option 'cache_errors'", function() mp.memoize_fast(print, { cache_errors = true }) end },
      { "max must be an integer from 1 to 1125899906842624, got -1", function() mp.memoize_fast(print, { max = -1 }) end },
      { "max_bytes must be an integer from 1 to 1125899906842624, got 0", function() mp.memoize_fast(print, { max_bytes = 0 }) end },
      { "ttl must be a finite number of seconds from 0 to 1e9, got -1", function() mp.memoize_fast(print, { ttl = -1 }) end },
    } do
      local message, place = refusal(call[2])
      assert.equal(call[1], message)
      assert.matches("memoize_fast_spec%.lua:%d+$", place or "(nowhere)", nil, nil, call[1])
    end
  end)

  it("goes with its last holder, also when that is a pool's state", function()
    local pool = mp.pool { workers = 2 }
    for _ = 1, 50 do
      local memo <const> = mp.memoize_fast(function(x) return x end)
      pool:spawn(memo, 1):get()
    end
    collectgarbage()
    pool:shutdown()
    pool = nil -- luacheck: ignore
    collectgarbage()
  end)
end)
