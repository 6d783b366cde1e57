_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"
local point <const> = require "fixtures.point"

local survives <const> = support.assert_survives
local round_trip <const> = support.round_trip

local function nested(depth)
  local t = {}
  for _ = 2, depth do
    t = { t }
  end
  return t
end

describe("a value sent to a worker and back", function()
  setup(function() mp.configure { preload = { "fixtures.point" } } end) -- every worker knows its classes
  teardown(function() mp.configure { preload = {} } end)

  it("is nil, false or true as before", function()
    assert.same(table.pack(nil, false, true, nil), table.pack(round_trip(nil, false, true, nil)))
  end)

  it("keeps the number of values, none included", function()
    assert.equal(0, select("#", round_trip()))
    assert.equal(1, select("#", round_trip(nil)))
    assert.equal(5, select("#", round_trip(nil, nil, nil, nil, nil)))
  end)

  it("keeps integers of every size exactly", function()
    for shift = 0, 63 do
      for around = -1, 1 do
        survives((1 << shift) + around)
        survives(-(1 << shift) + around)
      end
    end
    survives(math.maxinteger)
    survives(math.mininteger)
  end)

  it("keeps floats apart from integers", function()
    assert.equal("float", math.type((round_trip(3.0))))
    assert.equal("integer", math.type((round_trip(3))))
    survives(2 ^ 53)
    survives(5e-324)
    survives(1.7976931348623157e308)
  end)

  it("keeps the sign of zero, the infinities and not-a-number", function()
    survives(0.0)
    survives(-0.0)
    survives(1 / 0)
    survives(-1 / 0)
    survives(0 / 0)
  end)

  it("keeps strings with every byte, of every length near a limit", function()
    local bytes <const> = {}
    for byte = 0, 255 do
      bytes[#bytes + 1] = string.char(byte)
    end
    survives(table.concat(bytes))
    for _, size in ipairs { 0, 1, 39, 40, 41, 254, 255, 256, 257, 65535, 65536 } do
      survives(("\0"):rep(size))
    end
  end)

  it("keeps a string of 10 MiB", function()
    local text <const> = ("0123456789abcdef"):rep(10 << 16)
    assert.is_true(text == round_trip(text))
  end)

  it("keeps lists, maps and both in one table", function()
    survives { 1, 2, 3, x = 1, [0] = 0, [-1] = "minus", [1.5] = 1.5, [true] = false, [2 ^ 53] = 1 }
    survives {}
    survives { {}, {}, { {} } }
  end)

  it("keeps holes and n", function()
    survives { 1, nil, 3, nil, nil, 6, n = 8 }
    survives(table.pack(nil, nil, 1, nil))
    survives { [1 << 40] = 1, [math.maxinteger] = 2, [math.mininteger] = 3 }
  end)

  it("keeps a table that was emptied and filled again", function()
    local t <const> = {}
    for i = 1, 100 do t[i] = i end
    for i = 1, 100 do t[i] = nil end
    survives(t)
    t[50], t.x = 50, "x"
    survives(t)
  end)

  it("keeps a large table", function()
    local t <const> = {}
    for i = 1, support.scaled(20000) do
      t[i] = i
      t["key" .. i] = i + 0.5
    end
    survives(t)
  end)

  it("keeps shared tables shared within one message", function()
    local shared <const> = { 1 }
    local a, b, c = round_trip(shared, { shared }, shared)
    assert.is_true(a == c and a == b[1])
    assert.is_false(a == shared)
  end)

  it("keeps cycles", function()
    local t <const> = {}
    t.self, t[1], t[t] = t, { t }, t
    local back <const> = round_trip(t)
    assert.is_true(back.self == back and back[1][1] == back and back[back] == back)
  end)

  it("keeps sharing when hundreds of tables are in play", function()
    local list <const> = {}
    for i = 1, 300 do
      list[i] = { id = i }
    end
    for i = 1, 300 do
      list[i].other = list[(i * 7) % 300 + 1]
    end
    survives(list)
  end)

  it("takes tables nested 200 deep and refuses 201 with the path", function()
    survives(nested(199)) -- it is put into a table itself
    assert.equal("table", type((round_trip(nested(200)))))
    local message <const> = support.refusal(mp.spawn, print, nested(202))
    assert.matches("^args%[1%]%[1%]%[1%].* is nested deeper than 200 tables$", message)
  end)

  it("may be deeper in a cycle, which ends where it meets itself", function()
    local first <const> = {}
    local last = first
    for _ = 1, 150 do
      last.next = {}
      last = last.next
    end
    last.next = first
    survives(first)
  end)

  it("is the same whatever metatables of its kind want", function()
    local cunning <const> = setmetatable({ 1, 2 }, point.hostile)
    local back <const> = round_trip(cunning)
    assert.equal(point.hostile, getmetatable(back))
    assert.equal(2, rawlen(back))
    assert.equal(1, rawget(back, 1))
  end)

  it("keeps a metatable that is a field of a module", function()
    local p <const> = point.new(1, 2)
    local back <const> = survives(p)
    assert.equal("(1, 2)", tostring(back))
    assert.equal("(2, 4)", mp.spawn(function(q) return tostring(q + q) end, p):get())
  end)

  it("keeps a metatable registered with mp.class in both states", function()
    local size <const> = point.size(3, 4)
    assert.equal(12, survives(size):area())
    assert.equal(12, mp.spawn(function(s) return s:area() end, size):get())
  end)

  it("is packed and unpacked by its class", function()
    local packed <const> = point.packed("text")
    local back <const> = round_trip(packed)
    assert.equal("text", back.text)
    assert.equal(2, back.unpacked) -- there and back
    assert.equal(point.packed_mt, getmetatable(back))
  end)

  it("is packed once however often it occurs", function()
    local packed <const> = point.packed("text")
    local a, b = round_trip(packed, { packed })
    assert.is_true(a == b[1])
  end)

  it("may be packed as nil, a number or nothing but itself", function()
    for _, inner in ipairs { false, 7, "s" } do
      assert.equal(inner, round_trip(point.packed(inner)).text)
    end
  end)

  it("names the class that the worker does not know", function()
    local mt <const> = mp.class("spec.only.here", { __name = "only here" })
    local err <const> = support.failure(mp.spawn(print, setmetatable({}, mt)))
    assert.matches("class 'spec.only.here' is not registered in this state", err.message, 1, true)
  end)

  it("keeps module tables and their functions as themselves", function()
    local back <const> = round_trip { string, string.format, math, point, print }
    assert.is_true(back[1] == string and back[2] == string.format and back[3] == math and back[4] == point and back[5] == print)
  end)

  it("is the global table itself", function()
    assert.is_true(mp.spawn(function(g) return g == _G end, _G):get())
    assert.is_true(round_trip(_G) == _G)
  end)

  it("may be a handle inside a table, which stays a handle there", function()
    local inner <const> = mp.parallel(function() return 42 end):with { name = "inner" } ()
    local back <const> = round_trip { inner }
    assert.equal(inner, back[1])
    assert.equal("inner", back[1]:name())
    assert.equal(42, back[1]:get())
    assert.equal(43, mp.spawn(function(t) return t[1]:get() + 1 end, { inner }):get())
  end)

  it("may be a task, an error object or a pool that belongs to the worker", function()
    local task <const> = mp.parallel(function(n) return n + 1 end, { name = "plus" })
    assert.equal(3, mp.spawn(function(t) return t(2):get() end, task):get())
    local err <const> = support.failure(mp.spawn(error, "boom"))
    local back <const> = round_trip(err)
    assert.equal("error", back.kind)
    assert.equal(tostring(err), tostring(back))
    local pool <close> = mp.pool { workers = 1 }
    assert.equal(1, pool:spawn(function(t) return t.pool:info().workers end, { pool = pool }):get())
  end)

  it("survives as a result of each depth of tasks", function()
    local function deeper(n, value)
      if n == 0 then return value end
      return mp.spawn(deeper, n - 1, value):get()
    end
    local value <const> = { { 1, 2.0, "x", false }, n = 1 }
    assert.is_true(support.equal(value, deeper(5, value)))
  end)

  it("may come in hundreds of arguments and results", function()
    local n <const> = 200
    local values <const> = table.pack(round_trip(table.unpack({}, 1, n)))
    assert.equal(n, values.n)
    local many <const> = {}
    for i = 1, 5000 do many[i] = i end
    assert.equal(5000, select("#", round_trip(table.unpack(many))))
  end)
end)

-- A result is written where the arguments were, if it can be.
describe("a result", function()
  local SIZES <const> = { 0, 10, 50, 100, 1000, 70000, 1000000 }

  local function reply(text, size, extra)
    return (text .. "|"):rep(size // (#text + 1) + 1):sub(1, size), #text, extra
  end

  it("may be smaller or larger than the arguments, whatever these hold", function()
    local shared <const> = { "shared" }
    local function fn() return shared end
    for _, sent in ipairs(SIZES) do
      for _, back in ipairs(SIZES) do
        local text <const> = ("a"):rep(sent)
        local h <const> = mp.spawn(reply, text, back, { fn, fn, shared })
        for _ = 1, 2 do
          local got, size, extra = h:get()
          assert.is_true(got == (reply(text, back)))
          assert.equal(sent, size)
          assert.is_true(extra[1] == extra[2] and extra[1]() == extra[3])
        end
        assert.is_true(mp.spawn(reply, text, back):get() == (reply(text, back)))
      end
    end
  end)

  it("reaches what depends on it, from wherever it lies", function()
    for _, size in ipairs(SIZES) do
      local first <const> = mp.spawn(reply, "b", size)
      local second <const> = mp.spawn(reply, first, size)
      assert.is_true(second:get() == (reply(reply("b", size), size)))
    end
  end)

  it("may be refused, or an error, after large arguments", function()
    local text <const> = ("a"):rep(1000000)
    local refused <const> = mp.spawn(function(t) return t, io.stdout end, text)
    local raised <const> = mp.spawn(function(t) error(#t, 0) end, text)
    assert.equal("send", support.failure(refused).kind)
    assert.equal(#text, support.failure(raised).value)
  end)

  it("that is small does not keep the memory of large arguments", function()
    local pool <close> = mp.pool { workers = 1 }
    local text <const> = ("a"):rep(1 << 20)
    local function bytes() return pool:info().bytes end
    assert.equal(1, pool:spawn(string.len, "a"):get())
    local before <const> = bytes()
    for _, size in ipairs { 1, 1000 } do -- in the task, and in memory of its own
      local handle <const> = pool:spawn(reply, text, size)
      assert.equal(size, #handle:get())
      assert.is_true(bytes() < before + #text, bytes() - before)
    end
  end)
end)
