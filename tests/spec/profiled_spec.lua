_ENV = require("support").globals(_ENV)
local cjson <const> = require "cjson"
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal

-- Metrics are of the whole state: each test has names of its own.
local names = 0
local function new_name()
  names = names + 1
  return "spec " .. names
end

describe("mp.profiled", function()
  it("returns what the function returns and passes errors on", function()
    local name <const> = new_name()
    local fn <const> = mp.profiled(function(...) return nil, ... end, name)
    assert.same({ nil, 1, nil, n = 3 }, table.pack(fn(1, nil)))
    local err <const> = {}
    local failing <const> = mp.profiled(function() error(err) end, name)
    local ok, got = pcall(failing)
    assert.is_false(ok)
    assert.equal(err, got)
    assert.is_false((pcall(mp.profiled(function() error(nil) end, name))))
    local metrics <const> = mp.get_metrics(name)
    assert.same({ 3, 1, 2 }, { metrics.total, metrics.completed, metrics.failed })
  end)

  it("measures in milliseconds", function()
    local name <const> = new_name()
    local fn <const> = mp.profiled(mp.sleep, name)
    for _ = 1, 9 do fn(0.002) end
    fn(0.05)
    local m <const> = mp.get_metrics(name)
    assert.is_true(m.min_ms >= 2 and m.min_ms < 40, m.min_ms)
    assert.is_true(m.max_ms >= 50, m.max_ms)
    assert.is_true(m.total_ms >= 68)
    assert.is_true(math.abs(m.average_ms - m.total_ms / 10) < 1e-9)
    assert.is_true(m.p50_ms >= m.min_ms and m.p50_ms <= m.p90_ms and m.p90_ms <= m.p99_ms and m.p99_ms <= m.max_ms)
    assert.is_true(m.p99_ms > 46)
  end)

  it("counts calls in workers in the state that made it, at once", function()
    local name <const> = new_name()
    local fn <const> = mp.profiled(function(x) return assert(x) end, name)
    local handles <const> = {}
    for i = 1, 20 do handles[i] = mp.parallel(fn)(i % 4 ~= 0) end
    mp.wait_all(handles)
    local m <const> = mp.get_metrics(name)
    assert.same({ 20, 15, 5 }, { m.total, m.completed, m.failed })
  end)

  it("counts calls that other tasks make, items of a map and pools beside the default one", function()
    local name <const> = new_name()
    local fn <const> = mp.profiled(function(x) return x end, name)
    mp.spawn(function()
      for i = 1, 5 do fn(i) end
      mp.spawn(fn, 1):get()
    end):get()
    mp.map(fn, { 1, 2, 3, 4 })
    do
      local pool <close> = mp.pool { workers = 1 }
      pool:spawn(fn, 1):get()
    end
    assert.equal(11, mp.get_metrics(name).completed)
  end)

  it("around a task gives a task", function()
    local name <const> = new_name()
    local task <const> = mp.profiled(mp.parallel(function(x) return x end, { name = "inner" }), name)
    local handle <const> = task(5)
    assert.equal("inner", handle:name())
    assert.equal(5, handle:get())
    assert.equal(1, mp.get_metrics(name).completed)
    assert.equal(3, mp.profiled(mp.parallel "math.abs", name):call(-3))
    assert.equal(2, mp.get_metrics(name).completed)
  end)

  it("counts a task that is cancelled as failed", function()
    local name <const> = new_name()
    local handle <const> = mp.parallel(mp.profiled(mp.sleep, name))(support.HANG_SECONDS)
    support.wait_until(function() return handle:status() == "running" end)
    mp.sleep(0.02)
    handle:cancel(support.HANG_SECONDS)
    assert.equal(1, mp.get_metrics(name).failed)
  end)

  it("counts a coroutine that yields when it has ended, also one that dies", function()
    local name <const> = new_name()
    local fn <const> = mp.profiled(function() coroutine.yield() error "dies" end, name)
    local co <const> = coroutine.create(function() fn() end)
    coroutine.resume(co)
    assert.equal(0, mp.get_metrics(name).total)
    coroutine.resume(co)
    assert.equal(1, mp.get_metrics(name).failed)
  end)

  it("is named after where it was defined unless told otherwise", function()
    mp.profiled(function() end)()
    local line <const> = debug.getinfo(1, "l").currentline - 1
    local found
    for name, metrics in pairs(mp.get_all_metrics()) do
      if name:match("profiled_spec%.lua:" .. line .. "$") then found = metrics end
    end
    assert.equal(1, found.completed)
  end)

  it("counts equal names together", function()
    local name <const> = new_name()
    mp.profiled(math.abs, name)(1)
    mp.profiled(math.sin, name)(1)
    assert.equal(2, mp.get_metrics(name).total)
  end)
end)

describe("metrics", function()
  it("of all names together are the sums", function()
    mp.reset_metrics()
    local a, b = new_name(), new_name()
    mp.profiled(math.abs, a)(1)
    pcall(mp.profiled(error, b), "x")
    mp.profiled(mp.sleep, b)(0.01)
    local all <const> = mp.get_metrics()
    assert.same({ 3, 2, 1 }, { all.total, all.completed, all.failed })
    assert.equal(mp.get_metrics(b).max_ms, all.max_ms)
    assert.equal(2, mp.get_all_metrics()[b].total)
  end)

  it("are nil for a name that nothing has, zero before the first call and after reset", function()
    assert.is_nil(mp.get_metrics "nobody")
    local name <const> = new_name()
    local fn <const> = mp.profiled(math.abs, name)
    local zero <const> = {
      total = 0, completed = 0, failed = 0, total_ms = 0, average_ms = 0, min_ms = 0, max_ms = 0, p50_ms = 0, p90_ms = 0, p99_ms = 0,
    }
    assert.same(zero, mp.get_metrics(name))
    fn(1)
    mp.reset_metrics()
    assert.same(zero, mp.get_metrics(name))
    fn(1)
    assert.equal(1, mp.get_metrics(name).total)
  end)

  it("can be exported as JSON", function()
    local name <const> = 'a "name" with \\ and \n in it'
    mp.profiled(math.abs, name)(1)
    local decoded <const> = cjson.decode(mp.export_metrics "json")
    assert.equal(1, decoded[name].completed)
    for field, value in pairs(mp.get_metrics(name)) do
      assert.is_true(math.abs(decoded[name][field] - value) < 1e-6, field)
    end
  end)

  it("can be exported for Prometheus", function()
    mp.reset_metrics()
    local fn <const> = mp.profiled(function(x) return assert(x) end, 'prom "x"')
    fn(1)
    pcall(fn, false)
    local text <const> = mp.export_metrics "prometheus"
    assert.matches('makeparallel_calls_total{name="prom \\"x\\"",outcome="completed"} 1\n', text, 1, true)
    assert.matches('makeparallel_calls_total{name="prom \\"x\\"",outcome="failed"} 1\n', text, 1, true)
    assert.matches('makeparallel_call_seconds_count{name="prom \\"x\\""} 2\n', text, 1, true)
    for line in text:gmatch "[^\n]+" do
      assert.is_truthy(line:match "^# %u+ [%a_]+ " or line:match '^[%a_]+{name=".*"} [%d.e+-]+$', line)
    end
  end)

  it("have a point where the locale has a comma", function()
    mp.profiled(math.abs, "locale")(1)
    local format <const> = string.format
    string.format = function(pattern, ...) -- luacheck: ignore -- as in a German locale
      local text <const> = format(pattern, ...)
      return pattern:find "%.%d+g" and text:gsub("%.", ",") or text
    end
    local json <const>, text <const> = mp.export_metrics "json", mp.export_metrics "prometheus"
    string.format = format -- luacheck: ignore
    assert.is_nil(json:match "%d,%d")
    assert.is_nil(text:match "%d,%d")
    assert.is_truthy(json:match "%d%.%d")
  end)

  it("refuse wrong arguments at the caller", function()
    for _, call in ipairs {
      { "bad argument #1 to 'profiled' (function expected, got nil)", function() mp.profiled() end },
      { "bad argument #2 to 'profiled' (string expected, got number)", function() mp.profiled(print, 1) end },
      { "bad argument #1 to 'get_metrics' (string expected, got number)", function() mp.get_metrics(1) end },
      { "bad argument #1 to 'export_metrics' ('prometheus' or 'json' expected, got xml)", function() mp.export_metrics "xml" end },
    } do
      local message, place = refusal(call[2])
      assert.equal(call[1], message)
      assert.matches("profiled_spec%.lua:%d+$", place or "(nowhere)", nil, nil, call[1])
    end
  end)
end)
