-- Promise 31: a function means in the worker what it means here, whatever the program has done to its modules and to what `require` finds,
-- and whenever their names were learnt.
_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"
local counter <const> = require "fixtures.counter"

local STEPS <const> = support.scaled(150)

-- What a program may do between two calls: each takes the module that is changed and a random number generator.
local CHANGES <const> = {
  patch = function(named, random)
    local n <const>, original <const> = random(1000), named.work
    named.work = function() return n, original == nil end
  end,
  wrap = function(named)
    local original <const> = named.other
    named.other = function() return "wrapped", (original()) end
  end,
  swap = function(named) named.work, named.other = named.other, named.work end,
  alias = function(named) named.extra = named.work end,
  borrow = function(named, random) named.extra = random(2) == 1 and string.reverse or counter.join end,
  remove = function(named) named.extra = nil end,
  extend = function(_, random)
    local n <const> = random(1000)
    string.spec_extension = function() return n end -- luacheck: ignore 142
  end,
  learn = function()
    package.loaded["spec.another"] = not package.loaded["spec.another"] and {} or nil
    mp.spawn(function() return 1 end):get()
  end,
  reload = function() package.loaded["fixtures.named"] = nil end,
  mock = function(_, random)
    local n <const> = random(1000)
    package.loaded["fixtures.named"] = { work = function() return "mock", n end, other = function() return "mock" end }
  end,
  path = function(_, random) package.path = package.path:gsub(";/spec/%d+/%?%.lua", "") .. (";/spec/%d/?.lua"):format(random(3)) end,
  lose = function() package.path = package.path:gsub("tests/spec/%?%.lua", "tests/spec/?.lost") end,
  find = function() package.path = package.path:gsub("tests/spec/%?%.lost", "tests/spec/?.lua") end,
  bundle = function(_, random)
    local n <const> = random(1000)
    package.preload["spec.bundled"] = load(("return { f = function() return 'bundled', %d end }"):format(n), "=bundle " .. n)
    package.loaded["spec.bundled"] = nil
    require "spec.bundled"
  end,
}

describe("promise 31: a function", function()
  local path <const> = package.path

  teardown(function()
    package.path = path
    string.spec_extension = nil -- luacheck: ignore 142
    package.preload["spec.bundled"], package.loaded["spec.bundled"], package.loaded["spec.another"] = nil, nil, nil
    package.loaded["fixtures.named"] = nil
  end)

  it(("means in a worker what it means here (seed %d)"):format(support.seed), function()
    local seed = support.seed
    local function random(...)
      seed = (seed * 6364136223846793005 + 1442695040888963407) & math.maxinteger
      local m <const> = ...
      return (seed >> 33) % m + 1
    end
    local names <const> = {}
    for name in pairs(CHANGES) do names[#names + 1] = name end
    table.sort(names)
    local named
    for step = 1, STEPS do
      if not package.loaded["fixtures.named"] then
        CHANGES.find()
        named = require "fixtures.named"
      else
        named = package.loaded["fixtures.named"]
      end
      local change <const> = names[random(#names)]
      CHANGES[change](named, random)
      local bundled <const> = package.loaded["spec.bundled"] and package.loaded["spec.bundled"].f
      for what, fn in pairs { work = named.work, other = named.other, extra = named.extra, bundled = bundled,
                              extension = string.spec_extension } do -- luacheck: ignore 143
        local here <const> = table.pack(fn("abc"))
        local text <const> = ("step %d, %s: %s"):format(step, change, what)
        assert.same(here, table.pack(mp.spawn(fn, "abc"):get()), text)
        assert.same(here, table.pack(mp.spawn(function(s) return fn(s) end, "abc"):get()), text)
        assert.same(here, table.pack(mp.spawn(function(t) return t[1]("abc") end, { fn }):get()), text)
        assert.same(here, table.pack(mp.spawn(function(s) return mp.spawn(fn, s):get() end, "abc"):get()), text)
      end
    end
  end)
end)
