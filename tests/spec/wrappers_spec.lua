_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

-- Every wrapper in the form fn -> callable like fn.
local WRAPPERS <const> = {
  timer = mp.timer,
  CallCounter = mp.CallCounter,
  retry = mp.retry,
  retry_backoff = function(fn) return mp.retry_backoff(fn, { initial_delay = 0 }) end,
  retry_cached = mp.retry_cached,
  memoize = mp.memoize,
  memoize_fast = mp.memoize_fast,
  profiled = function(fn) return mp.profiled(fn, "matrix") end,
}

local NAMES <const> = {}
for name in pairs(WRAPPERS) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

local function several(...)
  return nil, select("#", ...), ..., false, nil
end

local function assert_several(...)
  assert.same({ nil, 2, "x", false, nil, n = 5 }, table.pack(...))
end

local function fails()
  error({ code = 42 })
end

describe("wrappers in pairs", function()
  for _, outer in ipairs(NAMES) do
    for _, inner in ipairs(NAMES) do
      it(("%s over %s keeps results and errors, here and in a worker"):format(outer, inner), function()
        local fn <const> = WRAPPERS[outer](WRAPPERS[inner](several))
        assert_several(fn("x", nil))
        assert_several(fn("x", nil)) -- from the cache, if there is one
        assert_several(mp.spawn(fn, "x", nil):get())
        assert_several(mp.spawn(function(f) return f("x", nil) end, fn):get())
        assert_several(mp.spawn(function() return fn("x", nil) end):get())
        local failing <const> = WRAPPERS[outer](WRAPPERS[inner](fails))
        local ok, err = pcall(failing)
        assert.same({ false, 42 }, { ok, err.code })
        assert.equal(42, support.failure(mp.spawn(failing)).value.code)
      end)
    end
  end
end)

describe("wrappers and tasks", function()
  for _, name in ipairs(NAMES) do
    it(("%s inside parallel"):format(name), function()
      local task <const> = mp.parallel(WRAPPERS[name](several), { name = "t" })
      assert_several(task("x", nil):get())
      assert_several(task:with({ priority = 1, retry = 1 }):call("x", nil))
      assert.equal(2, #mp.map(WRAPPERS[name](function(x) return x end), { 1, 2 }))
    end)

    if name ~= "memoize_fast" then -- a handle is not for other states to keep
      it(("%s over parallel"):format(name), function()
        local fn <const> = WRAPPERS[name](mp.parallel(several))
        assert_several(fn("x", nil):get())
        assert_several(fn("x", nil):get())
        local failing <const> = WRAPPERS[name](mp.parallel(fails))
        for _ = 1, 2 do assert.equal(42, support.failure(failing()).value.code) end
      end)
    end

    it(("%s as a method"):format(name), function()
      local Class <const> = {}
      Class.__index = Class
      Class.method = WRAPPERS[name](function(self, by) return self.value * by, nil end)
      local object <const> = setmetatable({ value = 21 }, Class)
      if name == "memoize_fast" then mp.class("spec.wrapped", Class) end
      assert.same({ 42, nil, n = 2 }, table.pack(object:method(2)))
      object.value = 4
      assert.equal(8, (object:method(2)))
    end)

    it(("%s in a graph and a context"):format(name), function()
      local fn <const> = WRAPPERS[name](function(x) return x + 1 end)
      assert.equal(3, mp.graph():add("a", fn, { args = { 1 } }):add("b", fn, { needs = { "a" } }):run().b)
      local ctx <close> = mp.context()
      assert.equal(2, ctx:submit(fn, 1):get())
    end)
  end

  it("memoize over retry over parallel: attempts in the worker, one task for equal arguments", function()
    local submitted = mp.get_thread_pool_info().submitted
    local fn <const> = mp.memoize(mp.retry(mp.parallel(function(x)
      local key <const> = "wrappers_spec_" .. x
      rawset(_G, key, (rawget(_G, key) or 0) + 1)
      if rawget(_G, key) < 3 then error "not yet" end
      return x, rawget(_G, key)
    end)))
    local a, b = fn "m", fn "m"
    assert.equal(a, b)
    assert.same({ "m", 3 }, { a:get() })
    assert.equal(1, mp.get_thread_pool_info().submitted - submitted)
  end)

  it("all at once", function()
    local counted <const> = mp.CallCounter(several)
    local fn = counted
    for _, name in ipairs(NAMES) do fn = WRAPPERS[name](fn) end
    for _ = 1, 3 do assert_several(fn("x", nil)) end
    assert.equal(1, counted.call_count)
    assert_several(mp.parallel(fn):call("x", nil))
  end)
end)

describe("a wrapper in its worker", function()
  it("is one and the same where it is shared within a message", function()
    local counted <const> = mp.CallCounter(math.abs)
    local same, count = mp.spawn(function(a, b)
      a(1)
      return a == b, b.call_count
    end, counted, counted):get()
    assert.is_true(same)
    assert.equal(1, count)
  end)
end)
