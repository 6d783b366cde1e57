_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"
local timers <const> = require "makeparallel.timers"

describe("timers", function()
  it("fire in order of time, first come first served among equals", function()
    math.randomseed(support.seed)
    local now <const> = mp.now()
    local fired, expected = {}, {}
    for i = 1, 500 do
      local at <const> = now - math.random(50)
      expected[i] = { at = at, i = i }
      timers.add(at, function() fired[#fired + 1] = i end)
    end
    table.sort(expected, function(a, b)
      if a.at ~= b.at then return a.at < b.at end
      return a.i < b.i
    end)
    assert.equal(expected[1].at, timers.next_due())
    assert.equal(500, timers.fire())
    for rank, entry in ipairs(expected) do assert.equal(entry.i, fired[rank], "seed " .. support.seed) end
    assert.is_nil(timers.next_due())
    assert.equal(0, timers.fire())
  end)

  it("leave what a timer adds to the next round", function()
    local n = 0
    local function again()
      n = n + 1
      if n < 3 then timers.add(0, again) end
    end
    timers.add(0, again)
    assert.same({ 1, 1, 1, 0 }, { timers.fire(), timers.fire(), timers.fire(), timers.fire() })
    assert.equal(3, n)
  end)

  it("are not called, nor waited for, once dropped", function()
    local fired <const> = {}
    local entries <const> = {}
    for i = 1, 4 do entries[i] = timers.add(i, function() fired[#fired + 1] = i end) end
    timers.drop(entries[1])
    timers.drop(entries[3])
    assert.equal(2, timers.next_due())
    assert.equal(2, timers.fire())
    assert.same({ 2, 4 }, fired)
    timers.drop(timers.add(1, print))
    assert.is_nil(timers.next_due())
  end)

  it("tell a listener when an earlier one comes", function()
    local told <const> = {}
    timers.listen(function(at) told[#told + 1] = at end)
    for _, at in ipairs { 30, 10, 20, 5 } do timers.add(at, function() end) end
    timers.listen(nil)
    timers.add(1, function() end)
    assert.same({ 30, 10, 5 }, told)
    timers.fire()
  end)
end)
