_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("makeparallel", function()
  it("tells its version, description and copyright", function()
    assert.matches("^makeparallel %d+%.%d+%.%d+$", mp._VERSION)
    assert.equal("string", type(mp._DESCRIPTION))
    assert.matches("Copyright", mp._COPYRIGHT, 1, true)
  end)

  it("sets no globals", function()
    local child <const> = support.run_child [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      local mp = require "makeparallel"
      mp.map(math.abs, { 1 })
      for name in pairs(_G) do if not before[name] then print(name) end end
    ]]
    assert.same({ "", "" }, { child.stdout, child.stderr })
  end)

  it("can be loaded in a coroutine, which may end", function()
    local child <const> = support.run_child [[
      local mp
      coroutine.wrap(function() mp = require "makeparallel" mp.spawn(math.abs, 1):get() end)()
      collectgarbage() collectgarbage()
      print(mp.spawn(math.abs, -1):on_complete(print):get())
      mp.run()
    ]]
    assert.same({ "1\n1\n", "" }, { child.stdout, child.stderr })
  end)

  it("can be loaded again after package.loaded was cleared, and is the same engine", function()
    local h <const> = mp.spawn(math.abs, -1)
    local names <const> = { "makeparallel", "makeparallel.core", "makeparallel.map", "makeparallel.gather", "makeparallel.presets" }
    local kept <const> = {}
    for _, name in ipairs(names) do kept[name], package.loaded[name] = package.loaded[name], nil end
    local again <const> = require "makeparallel"
    assert.same({ 1, n = 1 }, again.gather { h })
    assert.equal(kept["makeparallel.core"], package.loaded["makeparallel.core"])
    for name, module in pairs(kept) do package.loaded[name] = module end
  end)

  it("has presets that are the same engine", function()
    assert.equal(mp.parallel, mp.parallel_pool)
    assert.equal(mp.map, mp.parallel_map)
    local h <const> = mp.parallel_fast(math.abs)(-1)
    assert.equal(1, h:get())
    assert.same({ 0.0, 0.0, 0.0 }, { h:elapsed() })
  end)

  it("counts what is not finished", function()
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
    local h <const> = support.sleeper()
    assert.equal(1, mp.get_active_task_count())
    h:cancel(support.HANG_SECONDS)
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)
end)
