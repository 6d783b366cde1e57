_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local function square(n) return n * n end
local function add(a, b) return a + b end
local function same(x) return x end
local function join(a, b) return a .. b end

local function numbers(n)
  local list <const> = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("mp.reduce", function()
  it("combines what the function gives for each item, in order", function()
    assert.equal(30, mp.reduce(square, add, { 1, 2, 3, 4 }))
    assert.equal("abcde", mp.reduce(same, join, { "a", "b", "c", "d", "e" }))
    local letters <const> = {}
    for i = 1, 1000 do letters[i] = string.char(97 + i % 26) end
    assert.equal(table.concat(letters), mp.reduce(same, join, letters))
  end)

  it("begins with initial, and gives it for an empty list", function()
    assert.equal(130, mp.reduce(square, add, { 1, 2, 3, 4 }, { initial = 100 }))
    assert.equal(7, mp.reduce(square, add, {}, { initial = 7 }))
    assert.is_false(mp.reduce(square, add, {}, { initial = false }))
    assert.is_nil(mp.reduce(square, add, {}))
    assert.equal(9, mp.reduce(square, add, { 3 }))
  end)

  it("gives the same digits at any number of workers", function()
    local list <const> = {}
    for i = 1, 5000 do list[i] = 1 / i * (i % 3 - 1.1) end
    local expected
    for _, workers in ipairs { 1, 2, 3 } do
      local pool <close> = mp.pool { workers = workers }
      local sum <const> = pool:reduce(same, add, list)
      expected = expected or sum
      assert.equal(("%a"):format(expected), ("%a"):format(sum))
      assert.equal(sum, mp.reduce(same, add, list, { pool = pool }))
    end
  end)

  it("combines in blocks of `chunk` items", function()
    local function bracket(a, b) return ("(%s%s)"):format(a, b) end
    assert.equal("(((ab)(cd))e)", mp.reduce(same, bracket, { "a", "b", "c", "d", "e" }, { chunk = 2 }))
    assert.equal("((((ab)c)d)e)", mp.reduce(same, bracket, { "a", "b", "c", "d", "e" }, { chunk = 100 }))
  end)

  it("keeps nil and false as values", function()
    local function text(a, b) return tostring(a) .. " " .. tostring(b) end
    assert.equal("nil false nil", mp.reduce(same, text, { nil, false, nil, n = 3 }))
    assert.equal("nil false nil", mp.reduce(same, text, { nil, false, nil, n = 3 }, { chunk = 3 }))
  end)

  it("gives each item its own random numbers for a seed", function()
    local function draw() return math.random(1 << 40) .. " " end
    local expected <const> = mp.map(draw, numbers(30), { seed = 5 })
    for _, chunk in ipairs { false, 1, 7 } do
      assert.equal(table.concat(expected), mp.reduce(draw, join, numbers(30), { seed = 5, chunk = chunk or nil }))
    end
  end)

  it("takes functions by name, and source for the first", function()
    assert.equal(6, mp.reduce("math.abs", "fixtures.counter.add", { -1, -2, -3 }))
    assert.equal(6, mp.reduce("math.abs", "fixtures.counter.add", { -1, -2, -3 }, { chunk = 3 }))
    assert.equal(9, mp.reduce(mp.source "return 1 + ...", add, { 1, 2, 3 }))
  end)

  it("raises the error of either function, from the worker or from here", function()
    for _, chunk in ipairs { 1, 4 } do
      local ok, err = pcall(mp.reduce, function(i) return i ~= 3 and i or error("three", 0) end, add, numbers(4), { chunk = chunk })
      assert.is_false(ok)
      assert.equal("three", err.message)
      ok, err = pcall(mp.reduce, same, function(a, b) return b ~= 3 and a + b or error("no three", 0) end, numbers(4), { chunk = chunk })
      assert.is_false(ok)
      assert.equal("no three", type(err) == "table" and err.message or err)
    end
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("gives up at its timeout, names its tasks, gives them priority and tells its progress", function()
    local ok, err = pcall(mp.reduce, mp.sleep, add, { 60, 60 }, { timeout = 0.05 })
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
    local calls, record = support.recorder()
    local names <const> = mp.reduce(function() return mp.current():name() end, join, { 1, 2, 3 },
      { name = "x", priority = 2, progress = record })
    assert.equal("xxx", names)
    assert.same({ 3, 3, n = 2 }, calls[calls.n])
  end)

  it("refuses wrong arguments, at the caller", function()
    local refusals <const> = {
      { "bad argument #1 to 'reduce' (function or module name expected, got nil)" },
      { "bad argument #2 to 'reduce' (function or module name expected, got number)", same, 5, {} },
      { "bad argument #2 to 'reduce' (function or module name expected, got userdata)", same, mp.source "return 1", {} },
      { "bad argument #3 to 'reduce' (list expected, got nil)", same, add },
      { "bad argument #3 to 'reduce' (its field n is -5)", same, add, { n = -5 } },
      { "unknown option 'inital' (did you mean 'initial'?)", same, add, {}, { inital = 0 } },
      { "chunk must be an integer from 1 to 1048576, got 0", same, add, {}, { chunk = 0 } },
      { "seed must be an integer from -9223372036854775808 to 9223372036854775807, got x", same, add, {}, { seed = "x" } },
    }
    for _, case in ipairs(refusals) do
      local message, place = support.refusal(function() mp.reduce(table.unpack(case, 2, 5)) end)
      assert.equal(case[1], message)
      assert.equal(support.here(-2), place)
    end
  end)

  it("raises a failure when it comes, though what is before it takes longer", function()
    local pool <close> = mp.pool { workers = 4 }
    local started <const> = mp.now()
    local ok, err = pcall(pool.reduce, pool, function(i)
      if i == 3 then error("early", 0) end
      mp.sleep(support.HANG_SECONDS)
    end, math.max, { 1, 2, 3 }, { chunk = 1 })
    assert.is_false(ok)
    assert.equal("early", err.message)
    assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
  end)
end)
