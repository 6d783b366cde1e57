-- The benchmarks' own logic: what the tools compute, and the cases that are played to every peer, here to one that has no thread at all.
_ENV = require("support").globals(_ENV)

local here <const> = debug.getinfo(1, "S").source:match "^@(.*)tests/spec/" or "./"
local bench <const> = here .. "tests/bench/"

-- Modules of the benchmarks, which have common names, found for this file alone.
local function load_bench()
  local path, before = package.path, {}
  local names <const> = { "stats", "suites", "options", "clock", "work", "tasks", "peer", "cases", "engine.cases", "engine.growth_cases",
    "transfer.cases" }
  for _, name in ipairs(names) do before[name], package.loaded[name] = package.loaded[name], nil end
  package.path = bench .. "?.lua;" .. bench .. "lua/?.lua;" .. path
  package.loaded.clock = os.clock
  local found <const> = {}
  for _, name in ipairs(names) do found[name] = require(name) end
  for _, name in ipairs(names) do package.loaded[name] = before[name] end
  package.path = path
  return found
end

local modules <const> = load_bench()
local stats <const>, suites <const>, options <const>, tasks <const> = modules.stats, modules.suites, modules.options, modules.tasks

-- A library whose results come last in first out, as a peer's may come in any order.
local function stack_library(changes)
  local library = { results = {}, most = 0, began = 0 }
  function library.submit(name, x)
    if type(x) == "table" then x = table.move(x, 1, #x, 1, {}) end
    table.insert(library.results, tasks[name](x))
    library.most = math.max(library.most, #library.results)
  end
  function library.receive() return table.remove(library.results) end
  for name, value in pairs(changes or {}) do library[name] = value end
  return library, modules.peer(library)
end

describe("benchmarks", function()
  it("play every case of a peer and check what comes back", function()
    package.loaded.work = modules.work -- tasks.microseconds requires it where it runs
    local _, subject = stack_library()
    local played = 0
    for _, case in ipairs(modules.cases) do
      if subject[case.name] then
        local value = subject[case.name](0.002)
        played = played + 1
        if type(value) == "table" then value = value.p50 end
        assert(type(value) == "number" and value >= 0, case.name)
      end
    end
    package.loaded.work = nil
    assert.equal(11, played)
  end)

  it("notice a peer whose results are wrong", function()
    for _, name in ipairs { "tiny", "trip", "numbers", "records", "string", "map" } do
      local _, subject = stack_library { receive = function() return { 1 } end }
      assert(not pcall(subject[name], 0.002), name)
    end
  end)

  it("keep no more under way than a peer bears", function()
    local library, subject = stack_library { window = 2 }
    subject.tiny(0.01)
    assert.equal(2, library.most)
  end)

  it("have a goal and a name to show for every case", function()
    for _, list in ipairs { "cases", "engine.cases", "transfer.cases" } do
      for _, case in ipairs(modules[list]) do assert(case.label and case.goal, case.name) end
    end
    for _, case in ipairs(modules["engine.growth_cases"]) do assert(case.goal, case.name) end
  end)

  it("compare so that below 1 is better, whatever the unit", function()
    assert.equal(0.5, suites.ratio(1, 2, "us"))
    assert.equal(2, suites.ratio(1, 2, "x"))
    assert.equal(2, suites.ratio(40, 80, "%"))
    assert.is_nil(suites.ratio(1, 0, "us"))
  end)

  it("take the best peer, which plain Lua and a bare futex are not", function()
    local values <const> = { ours = { 1 }, luv = { 2, 3, 9 }, lanes = { 4 }, serial = { 0.1 }, bare = { 0.1 } }
    assert.same({ 3, "luv" }, { suites.best(values, "ours", "us") })
    assert.same({ 4, "lanes" }, { suites.best({ ours = { 1 }, luv = { 3 }, lanes = { 4 } }, "ours", "x") })
    assert.is_nil(suites.best({ ours = { 1 } }, "ours", "us"))
  end)

  it("call a change one when all pairs agree, but for one in ten", function()
    assert.equal("better", stats.verdict { 0.9, 0.8, 0.99, 0.7, 0.9 })
    assert.equal("WORSE", stats.verdict { 1.1, 1.2, 1.3, 1.01, 1.1 })
    assert.equal("", stats.verdict { 0.5, 0.5, 0.5, 0.5, 1.01 })
    assert.equal("", stats.verdict { 0.5, 0.5, 0.5, 0.5 })
    assert.equal("better", stats.verdict { 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.1 })
    assert.equal("", stats.verdict { 1, 1, 1, 1, 1 })
  end)

  it("take quartiles and medians from the values themselves", function()
    assert.equal(3, stats.median { 5, 1, 3, 2, 4 })
    assert.equal(2, stats.quantile({ 5, 1, 3, 2, 4 }, 0.25))
    assert.equal(5, stats.quantile({ 5, 1, 3, 2, 4 }, 1))
  end)

  it("refuse options they do not know and values that do not fit", function()
    local defaults <const> = { reps = 5, suite = "", quick = false }
    assert.same({ reps = 9, suite = "lua", quick = true }, options({ "--quick", "--reps", "9", "--suite", "lua" }, 1, defaults))
    assert.same(defaults, options({}, 1, defaults))
    assert.same({ false, "unknown option '--rep'" }, { pcall(options, { "--rep", "9" }, 1, defaults) })
    assert.same({ false, "--reps needs a number, got 'x'" }, { pcall(options, { "--reps", "x" }, 1, defaults) })
    assert.same({ false, "--suite needs a value" }, { pcall(options, { "--suite" }, 1, defaults) })
  end)
end)
