_ENV = require("support").globals(_ENV)
local core <const> = require "makeparallel.core"
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal

-- A memoized function and how often its own was called, with what.
local function counted(fn, options)
  local calls, note = support.recorder()
  return mp.memoize(function(...)
    note(...)
    return fn(...)
  end, options), calls
end

local function key(...)
  return assert(core.key(false, ...))
end

local function cycle(n)
  local first <const> = { n = n }
  local last = first
  for _ = 1, n do
    last.next = { n = n }
    last = last.next
  end
  last.next = first
  return first
end

describe("a canonical key", function()
  it("is equal for equal arguments", function()
    for _, make in ipairs {
      function() return end,
      function() return nil end,
      function() return 1, 2.5, "x", true, false, nil end,
      function() return { 1, 2, { 3, x = { y = "z" } } } end,
      function() return 0 / 0, -(0 / 0) end,
      function() return cycle(3) end,
      function() local t <const> = {} return { t, t } end,
      function() return ("x"):rep(100000) end,
    } do
      assert.equal(key(make()), key(make()))
    end
  end)

  it("does not depend on the order in which a table's keys came", function()
    local a, b = {}, {}
    for i = 1, 100 do a["k" .. i], a[i], a[i + 0.5] = i, i, i end
    for i = 100, 1, -1 do b[i + 0.5], b[i], b["k" .. i] = i, i, i end
    for i = 101, 500 do b[i] = i end
    for i = 101, 500 do b[i] = nil end
    assert.equal(key(a), key(b))
  end)

  it("tells apart what a function could tell apart", function()
    local shared <const> = {}
    local f, g = function() end, function() end
    local different <const> = {
      {}, { nil, n = 1 }, { nil, nil, n = 2 }, { 1 }, { 1.0 }, { "1" }, { 0.0 }, { -0.0 }, { 0 }, { false }, { true }, { 0 / 0 },
      { math.maxinteger }, { 2.0 ^ 63 }, { "" }, { "\0" }, { "\0\0" }, { "a", "b" }, { "ab" }, { "a", "", "b" }, { "a\0b" },
      { {} }, { {}, {} }, { { {} } }, { { 1 } }, { { "1" } }, { { 1, 2 } }, { { 2, 1 } }, { { [2] = 1 } }, { { x = 1 } }, { { x = "1" } },
      { { x = 1, y = 2 } }, { { x = 2, y = 1 } }, { { { 1 }, 2 } }, { { 1, { 2 } } }, { { shared, shared } }, { { {}, {} } },
      { shared, shared }, { cycle(1) }, { cycle(2) }, { { [true] = 1 } }, { { [false] = 1 } }, { { [1.5] = 1 } }, { f }, { g }, { print },
      { setmetatable({}, { 1 }) }, { setmetatable({}, { 1 }) }, { io.stdout }, { coroutine.running() }, { { f } }, { { [f] = 1 } },
      { "i\1\0\0\0\0\0\0\0" }, { { "e" } }, { { p = "p" } }, { "s" }, { ("x"):rep(255) }, { ("x"):rep(256) }, { ("x"):rep(257) },
    }
    local owner <const> = {}
    for i, arguments in ipairs(different) do
      local k <const> = key(table.unpack(arguments, 1, arguments.n or #arguments))
      assert.is_nil(owner[k], ("%d and %s have one key"):format(i, owner[k]))
      owner[k] = i
    end
  end)

  it("follows the content of objects, and is refused where there is none", function()
    local object <const> = setmetatable({ x = 1 }, { __index = error, __pairs = error, __len = error, __eq = error })
    local before <const> = key(object)
    assert.equal(before, key(object))
    object.x = 2
    assert.are_not.equal(before, key(object))
    local k, why = core.key(false, 1, { [{}] = 1 })
    assert.is_nil(k)
    assert.equal("argument #2: a table is the key of another table", why)
    local deep = {}
    for _ = 1, 300 do deep = { deep } end
    k, why = core.key(false, deep)
    assert.is_nil(k)
    assert.equal("argument #1: a table is nested too deeply", why)
  end)

  it("never takes a new function for one that is gone", function()
    local keys <const> = {}
    for i = 1, 2000 do
      local k <const> = key(function() return i end)
      assert.is_nil(keys[k])
      keys[k] = true
      if i % 200 == 0 then collectgarbage() end
    end
  end)
end)

describe(("random keys, seed %d"):format(support.seed), function()
  -- What support.equal says about two values, written down: an independent canonical text, slow and plain.
  local function text(value, seen)
    local kind <const> = math.type(value) or type(value)
    if kind == "float" then return value ~= value and "nan" or ("f%a%s"):format(value, 1 / value) end
    if kind ~= "table" then return ("%s(%d)%s"):format(kind, #tostring(value), tostring(value)) end
    seen.n = seen.n or 0
    if seen[value] then return "^" .. seen[value] end
    seen[value], seen.n = seen.n, seen.n + 1
    local items = 0
    local parts <const> = { "{" }
    while value[items + 1] ~= nil do
      items = items + 1
      parts[#parts + 1] = text(value[items], seen)
    end
    local keys <const> = {}
    for k in pairs(value) do
      if not (math.type(k) == "integer" and k >= 1 and k <= items) then keys[#keys + 1] = k end
    end
    -- the order of visits decides the numbers of shared tables: it must be that of the encoding, by the key's bytes
    table.sort(keys, function(a, b) return key(a) < key(b) end)
    parts[#parts + 1] = "|"
    for _, k in ipairs(keys) do parts[#parts + 1] = text(k, seen) .. "=" .. text(value[k], seen) end
    return table.concat(parts, ",") .. "}"
  end

  local LEAVES <const> = { 0, 1, -1, 0.0, -0.0, 1.0, 0 / 0, "", "0", "1", "\0", "s", "T", "e", "p", "R\0\0\0\0",
    true, false, 127, 128, 255, 256 }

  local function value(random, depth, shared)
    local pick <const> = random(10)
    if depth == 0 or pick <= 6 then return LEAVES[random(#LEAVES)] end
    if pick == 7 and #shared > 0 then return shared[random(#shared)] end
    local t <const> = {}
    shared[#shared + 1] = t
    for i = 1, random(0, 3) do t[i] = value(random, depth - 1, shared) end
    for _ = 1, random(0, 2) do
      local k <const> = LEAVES[random(#LEAVES)]
      if k == k then t[k] = value(random, depth - 1, shared) end
    end
    return t
  end

  it("are equal exactly when the arguments are: no false hit, no false miss", function()
    math.randomseed(support.seed)
    local random <const> = math.random
    local text_of, key_of, count = {}, {}, 0
    for _ = 1, support.scaled(30000) do -- each is compared with all before it through the two tables: 450 million pairs
      local shared <const> = {}
      local arguments <const> = { n = random(0, 3) }
      for i = 1, arguments.n do arguments[i] = value(random, 3, shared) end
      local k <const> = key(table.unpack(arguments, 1, arguments.n))
      local seen <const> = {}
      local texts <const> = {}
      for i = 1, arguments.n do texts[i] = text(arguments[i], seen) end
      local whole <const> = table.concat(texts, ";")
      assert.equal(text_of[k] or whole, whole)
      assert.equal(key_of[whole] or k, k)
      if not text_of[k] then count = count + 1 end
      text_of[k], key_of[whole] = whole, k
    end
    assert.is_true(count > 500 * support.scale)
  end)
end)

describe("mp.memoize", function()
  it("calls once for equal arguments and keeps all results", function()
    local memo, calls = counted(function(...) return nil, ..., nil end)
    for _ = 1, 3 do
      assert.same({ nil, 1, nil, n = 3 }, table.pack(memo(1, { 2 })))
    end
    assert.equal(1, calls.n)
    local nothing, none = counted(function() end)
    assert.equal(0, select("#", nothing()))
    assert.equal(0, select("#", nothing()))
    assert.equal(1, none.n)
  end)

  it("gives false and nil from the cache, too", function()
    local memo, calls = counted(function(x) return x end)
    for _ = 1, 2 do
      assert.is_false(memo(false))
      assert.is_nil(memo(nil))
    end
    assert.equal(2, calls.n)
  end)

  it("remembers in recursion", function()
    local fib, calls
    fib, calls = counted(function(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end)
    assert.equal(12586269025, fib(50))
    assert.equal(51, calls.n)
  end)

  it("is a method of objects", function()
    local Account <const> = {}
    Account.__index = Account
    local calls, note = support.recorder()
    Account.worth = mp.memoize(function(self, rate)
      note()
      return self.balance * rate
    end)
    local a, b = setmetatable({ balance = 10 }, Account), setmetatable({ balance = 20 }, Account)
    assert.same({ 20, 40, 20, 40 }, { a:worth(2), b:worth(2), a:worth(2), b:worth(2) })
    assert.equal(2, calls.n)
    a.balance = 20
    assert.equal(40, a:worth(2))
    assert.equal(2, calls.n)
  end)

  it("keeps the max used last", function()
    local memo, calls = counted(function(x) return x end, { max = 2 })
    memo(1) memo(2) memo(1) memo(3)
    assert.equal(3, calls.n)
    memo(1)
    assert.equal(3, calls.n)
    memo(2)
    assert.equal(4, calls.n)
    local info <const> = memo:cache_info()
    assert.same({ 2, 2, 2, 2, 4 }, { info.entries, info.max, info.evicted, info.hits, info.misses })
  end)

  it("keeps no more than max_bytes of keys and results", function()
    local memo, calls = counted(function(x) return ("x"):rep(x) end, { max_bytes = 1000 })
    memo(300) memo(301) memo(302) memo(303)
    assert.is_true(memo:cache_info().bytes <= 1000)
    assert.equal(1, memo:cache_info().evicted)
    memo(303)
    assert.equal(4, calls.n)
    memo(2000) memo(2000)
    assert.equal(6, calls.n) -- alone too large
    assert.equal(3, memo:cache_info().entries)
    local odd <const> = mp.memoize(function() return { [{}] = 1 } end, { max_bytes = 1000 })
    odd() odd()
    assert.equal(0, odd:cache_info().entries) -- it has no size
  end)

  it("forgets after ttl seconds", function()
    local memo, calls = counted(function(x) return x end, { ttl = 0.02 })
    memo(1)
    memo(1)
    assert.equal(1, calls.n)
    mp.sleep(0.03)
    memo(1)
    assert.equal(2, calls.n)
    assert.equal(1, memo:cache_info().expired)
    assert.equal(1, memo:cache_info().entries)
  end)

  it("forgets everything when asked", function()
    local memo, calls = counted(function(x) return x end)
    memo(1)
    memo:cache_clear()
    assert.same({ hits = 0, misses = 0, entries = 0, bytes = 0, evicted = 0, expired = 0, max = 65536 }, memo:cache_info())
    memo(1)
    assert.equal(2, calls.n)
  end)

  it("keeps no errors unless asked", function()
    local memo, calls = counted(error)
    for _ = 1, 2 do assert.is_false((pcall(memo, "x"))) end
    assert.equal(2, calls.n)
    local err <const> = {}
    memo, calls = counted(function() error(err) end, { cache_errors = true })
    for _ = 1, 3 do
      local ok, got = pcall(memo)
      assert.is_false(ok)
      assert.equal(err, got)
    end
    assert.equal(1, calls.n)
  end)

  it("keeps no handle of a task that has failed", function()
    local memo, calls = counted(mp.parallel(function(x) return assert(x) end))
    memo(false):wait()
    memo(false):wait()
    assert.equal(2, calls.n)
    assert.equal(5, memo(5):get())
    assert.equal(5, memo(5):get())
    assert.equal(3, calls.n)
  end)

  it("is sent to a worker as its function and limits, recursive ones as well", function()
    local fib
    fib = mp.memoize(function(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end, { max = 100 })
    fib(10)
    local function run()
      return fib(60), fib:cache_info().max, fib:cache_info().misses
    end
    assert.same({ 1548008755920, 100, 61 }, { mp.spawn(run):get() })
    assert.equal(1548008755920, mp.parallel(fib):call(60))
    assert.equal(11, fib:cache_info().misses)
  end)

  it("can be emptied while it computes, and garbage collected", function()
    local memo
    memo = mp.memoize(function(x)
      memo:cache_clear()
      return x
    end)
    assert.equal(1, memo(1))
    local weak <const> = setmetatable({ memo }, { __mode = "v" })
    memo = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("refuses arguments that have no key, at the caller", function()
    local memo <const> = mp.memoize(print)
    local message, place = refusal(function() memo(1, { [{}] = 1 }) end)
    assert.equal("this call cannot be memoized: argument #2: a table is the key of another table", message)
    assert.matches("memoize_spec%.lua:%d+$", place)
  end)

  it("refuses wrong options, at the caller", function()
    for _, call in ipairs {
      { "bad argument #1 to 'memoize' (function expected, got string)", function() mp.memoize "x" end },
      { "options must be a table, got number", function() mp.memoize(print, 1) end },
      { "unknown option 'maxx' (did you mean 'max'?)", function() mp.memoize(print, { maxx = 1 }) end },
      { "max must be an integer from 1 to 1125899906842624, got 0", function() mp.memoize(print, { max = 0 }) end },
      { "max_bytes must be an integer from 1 to 1125899906842624, got 1.5", function() mp.memoize(print, { max_bytes = 1.5 }) end },
      { "ttl must be a finite number of seconds from 0 to 1e9, got inf", function() mp.memoize(print, { ttl = 1 / 0 }) end },
      { "cache_errors must be true or false, got yes", function() mp.memoize(print, { cache_errors = "yes" }) end },
    } do
      local message, place = refusal(call[2])
      assert.equal(call[1], message)
      assert.matches("memoize_spec%.lua:%d+$", place or "(nowhere)", nil, nil, call[1])
    end
  end)
end)

describe("coroutines that call a memoized function", function()
  local function start(memo, ...)
    local arguments <const> = table.pack(...)
    local co <const> = coroutine.create(function() return memo(table.unpack(arguments, 1, arguments.n)) end)
    return co, select(2, assert(coroutine.resume(co)))
  end

  it("wait for the one that computes", function()
    local memo, calls = counted(function(x) return x, coroutine.yield "computing" end)
    local results <const> = {}
    local owner, said = start(memo, 1)
    assert.equal("computing", said)
    for i = 1, 3 do
      local co <const> = coroutine.create(function() results[i] = table.pack(memo(1)) end)
      assert(coroutine.resume(co))
      assert.equal("suspended", coroutine.status(co))
    end
    assert.same({ true, 1, "done" }, { coroutine.resume(owner, "done") })
    assert.same({ { 1, "done", n = 2 }, { 1, "done", n = 2 }, { 1, "done", n = 2 } }, results)
    assert.equal(1, calls.n)
  end)

  it("yield again when they are resumed too early", function()
    local memo <const> = mp.memoize(function() return coroutine.yield() end)
    local owner <const> = start(memo)
    local waiting <const> = start(memo)
    for _ = 1, 3 do coroutine.resume(waiting) end
    assert.equal("suspended", coroutine.status(waiting))
    coroutine.resume(owner, 5)
    assert.equal("dead", coroutine.status(waiting))
  end)

  it("compute themselves when the one that computes fails", function()
    local memo, calls = counted(function()
      if coroutine.yield() == "fail" then error "failed" end
      return 5
    end)
    local owner <const> = start(memo)
    local waiting <const> = start(memo)
    assert.is_false((coroutine.resume(owner, "fail"))) -- it dies: nothing closes what it has open
    assert.equal(2, calls.n)
    assert.same({ true, 5 }, { coroutine.resume(waiting, "go on") })
  end)

  it("compute themselves when the one that computes was closed", function()
    local memo, calls = counted(function() return coroutine.yield() end)
    local owner <const> = start(memo)
    coroutine.close(owner)
    assert.same({ true, 5 }, { coroutine.resume((start(memo)), 5) })
    assert.equal(2, calls.n)
  end)

  it("do not wait for each other", function()
    local cross
    cross = mp.memoize(function(x)
      coroutine.yield()
      local other <const> = x == "a" and "b" or "a"
      if cross:cache_info().misses > 8 then return x end
      return x .. cross(other)
    end)
    local a, b = start(cross, "a"), start(cross, "b")
    for _ = 1, 100 do
      if coroutine.status(a) == "suspended" then assert(coroutine.resume(a)) end
      if coroutine.status(b) == "suspended" then assert(coroutine.resume(b)) end
    end
    assert.same({ "dead", "dead" }, { coroutine.status(a), coroutine.status(b) })
  end)

  it("do not wait where they cannot yield, nor for who waits below them", function()
    local memo, calls = counted(function() return coroutine.isyieldable() and coroutine.yield() or "here" end)
    local owner <const> = start(memo, 1)
    assert.equal("here", memo(1)) -- the main coroutine
    assert.equal(2, calls.n)
    coroutine.resume(owner, "late")
    local nested
    nested, calls = counted(function(x)
      if x == 1 and calls.n == 1 then return coroutine.wrap(function() return nested(1) end)() end
      return x
    end)
    assert.equal(1, nested(1))
    assert.same({ true, 2 }, { coroutine.resume((coroutine.create(function() return nested(2) end))) })
  end)

  it("give an error in one that was resumed to warn, and go on", function()
    local memo <const> = mp.memoize(function() return coroutine.yield() end)
    local owner <const> = start(memo)
    local waiting <const> = coroutine.create(function()
      memo()
      error "mine"
    end)
    coroutine.resume(waiting)
    assert.same({ true, 5 }, { coroutine.resume(owner, 5) })
    assert.equal("dead", coroutine.status(waiting))
  end)

  it("may wait for one another in a long chain", function()
    local memo
    local gate <const> = {}
    memo = mp.memoize(function(n)
      if n == 0 then
        gate.co = coroutine.running()
        return coroutine.yield()
      end
      return memo(n - 1) + 1
    end)
    local got <const> = {}
    for n = 0, 1000 do coroutine.wrap(function() got[n] = memo(n) end)() end
    coroutine.resume(gate.co, 7)
    assert.equal(1007, got[1000])
    assert.equal(1001, memo:cache_info().misses)
  end)

  it("await handles in it", function()
    local slow, calls = counted(function(x) return mp.spawn(function(y) return y * 2 end, x):await() end)
    local got <const> = {}
    for i = 1, 5 do coroutine.wrap(function() got[i] = slow(21) end)() end
    mp.run()
    assert.same({ 42, 42, 42, 42, 42 }, got)
    assert.equal(1, calls.n)
  end)
end)
