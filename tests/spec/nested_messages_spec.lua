-- Code of the program's own runs while a message is half written, and sends messages as well.
_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("a message that is half written", function()
  after_each(function() mp.configure { workers = false, setup = false } end)

  it("lets __mp_pack submit, wait and map", function()
    local mt
    mt = mp.class("spec.nested", {
      __mp_pack = function(o)
        local h <const> = mp.spawn(function(x) return { x, x } end, o.x)
        local pair <const> = h:get()
        return { pair[1] + (mp.map(function(i) return i end, { 1, 2, 3 }))[3] }
      end,
      __mp_unpack = function(v) return v[1] end,
    })
    local list <const> = { { 1 }, setmetatable({ x = 10 }, mt), "text", setmetatable({ x = 20 }, mt) }
    mp.configure {
      workers = 2,
      setup = function() require("makeparallel").class("spec.nested", { __mp_unpack = function(v) return v[1] end }) end,
    }
    assert.same({ { 1 }, 13, "text", 23 }, mp.spawn(function(l) return l end, list):get())
  end)

  it("lets finalisers submit and wait", function()
    local seen <const>, wrong = {}, 0
    local function drop(i)
      setmetatable({}, { __gc = function() seen[#seen + 1] = mp.spawn(function(x) return x end, i):get() end })
    end
    mp.spawn(function() end):get()
    collectgarbage "generational"
    for i = 1, 2000 do
      drop(i)
      local items <const> = { "a", { i }, tostring(i):rep(10) }
      local back <const> = mp.spawn(function(t) return t end, items):get()
      if back[1] ~= "a" or back[2][1] ~= i or back[3] ~= items[3] then wrong = wrong + 1 end
    end
    collectgarbage "incremental"
    collectgarbage()
    collectgarbage()
    assert.equal(0, wrong)
    assert.equal(2000, #seen)
  end)

  it("lets callbacks submit that run while a finaliser waits", function()
    local links = 0
    local function link()
      links = links + 1
      if links < 50 then mp.spawn(function() end):on_complete(link) end
    end
    mp.spawn(function() end):on_complete(link)
    setmetatable({}, { __gc = function() mp.sleep(0.05) end })
    collectgarbage()
    support.wait_until(function() return links == 50 end)
  end)

  for where, mt in pairs {
    ["inside __mp_pack"] = function(act) return { __mp_pack = act, __mp_unpack = function() end } end,
    ["inside a finaliser"] = function(act)
      return {
        __mp_pack = function()
          setmetatable({}, { __gc = act })
          collectgarbage()
          return 1
        end,
      }
    end,
  } do
    for what, act in pairs {
      configure = function() mp.configure { workers = 1 } end,
      shutdown = function() mp.shutdown() end,
      ["shutdown and reset"] = function()
        mp.shutdown()
        mp.reset_shutdown()
      end,
    } do
      it(("survives mp.%s %s"):format(what, where), function()
        local class <const> = mp.class("spec.closes", mt(function()
          pcall(act)
          return 1
        end))
        local ok, err = pcall(mp.spawn, function() end, ("x"):rep(1000), setmetatable({}, class), ("y"):rep(100000))
        if not ok then assert.matches("shut down", tostring(err), 1, true) end
        mp.reset_shutdown()
        assert.equal(7, mp.spawn(function() return 7 end):get())
      end)
    end
  end

  it("says that what __mp_pack gives for an object cannot hold the object", function()
    local mt <const> = mp.class("spec.parent", { __mp_pack = function(o) return { o.child } end })
    local parent <const> = setmetatable({}, mt)
    parent.child = { up = parent }
    local ok, err = pcall(mp.spawn, function() end, parent)
    assert.is_false(ok)
    assert.matches("args%[1%]<packed>%[1%]%.up %(a table%) cannot be sent to a worker: what __mp_pack returned for it refers to it", err)
  end)
end)
