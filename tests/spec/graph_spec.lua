_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal

local function list(...)
  return { ... }
end

local function sorted(names)
  table.sort(names)
  return names
end

describe("mp.graph", function()
  it("passes values of needs in their order, then args", function()
    local g <const> = mp.graph()
      :add("both", list, { needs = { "b", "a" }, args = { "x", nil, "z", n = 3 } })
      :add("a", function() return "A", "not passed on" end)
      :add("b", function() return "B" end, { args = {} })
    local results <const> = g:run()
    assert.same({ "B", "A", "x", nil, "z" }, results.both)
    assert.same({ "A", "not passed on", n = 2 }, results.a)
    assert.equal("B", results.b)
  end)

  it("keeps nil and false as values", function()
    local results, report = mp.graph()
      :add("none", function() end)
      :add("no", function() return false end)
      :add("seen", function(...) return select("#", ...), (...), (select(2, ...)) end, { needs = { "none", "no" } })
      :run()
    assert.is_nil(results.none)
    assert.is_false(results.no)
    assert.same({ 2, nil, false, n = 3 }, results.seen)
    assert.same({ "no", "none", "seen" }, sorted(report.done))
  end)

  it("does not bring values of needs to the main state", function()
    local g <const> = mp.graph()
      :add("make", function() return setmetatable({ 5 }, require "fixtures.point".mt) end)
      :add("use", function(p) return getmetatable(p) ~= nil, p[1] end, { needs = { "make" } })
    assert.same({ true, 5, n = 2 }, g:run().use)
  end)

  it("runs what does not depend on each other side by side", function()
    local pool <close> = mp.pool { workers = 2 }
    local function meet(hang) -- ends when both run
      local deadline <const> = mp.now() + hang
      while mp.get_thread_pool_info().running < 2 and mp.now() < deadline do mp.sleep(0.001) end
      mp.sleep(0.05)
      return mp.now() < deadline
    end
    local options <const> = { args = { support.HANG_SECONDS / 2 } }
    local results <const> = mp.graph():add("a", meet, options):add("b", meet, options):run { pool = pool }
    assert.is_true(results.a and results.b)
    assert.equal(2, pool:info().done)
  end)

  it("orders by after without passing anything", function()
    local file <close> = support.temporary_file()
    local path <const> = file.path
    local function write(text)
      return function(...)
        local out <close> = assert(io.open(path, "ab"))
        out:write(text)
        return select("#", ...)
      end
    end
    local results <const> = mp.graph()
      :add("last", write "3", { after = { "middle", "first" } })
      :add("middle", write "2", { after = { "first" } })
      :add("first", write "1")
      :run()
    assert.equal("123", file:read())
    assert.equal(0, results.last)
  end)

  it("runs again, with what was added since", function()
    local g <const> = mp.graph():add("a", function() return 1 end)
    assert.same({ a = 1 }, g:run())
    assert.same({ a = 1 }, g:run())
    g:add("b", function(a) return a + 1 end, { needs = { "a" } })
    assert.same({ a = 1, b = 2 }, g:run())
  end)

  it("raises the first failure and cancels the rest", function()
    local g <const> = mp.graph()
      :add("bad", error, { args = { { code = 3 } } })
      :add("long", mp.sleep, { args = { support.HANG_SECONDS } })
    local ok, err = pcall(g.run, g)
    assert.is_false(ok)
    assert.same({ "error", 3, "bad" }, { err.kind, err.value.code, err.task })
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("reports what failed and what was skipped with on_error = 'none'", function()
    local results, report = mp.graph()
      :add("extract", function() return 1 end)
      :add("bad", error, { needs = { "extract" } })
      :add("after bad", list, { needs = { "bad" } })
      :add("later", list, { after = { "after bad" } })
      :add("good", function(x) return x + 1 end, { needs = { "extract" } })
      :run { on_error = "none" }
    assert.same({ extract = 1, good = 2 }, results)
    assert.same({ "extract", "good" }, sorted(report.done))
    assert.same({ "bad" }, report.failed)
    assert.same({ "after bad", "later" }, sorted(report.skipped))
    assert.equal("error", report.errors.bad.kind)
  end)

  it("takes the options of tasks", function()
    local progress, note = support.recorder()
    local results <const> = mp.graph()
      :add("flaky", function()
        rawset(_G, "graph_flaky", (rawget(_G, "graph_flaky") or 0) + 1)
        return assert(rawget(_G, "graph_flaky") > 2 and rawget(_G, "graph_flaky"))
      end, { retry = 2 })
      :add("named", function() return mp.current():name() end)
      :add("other name", function() return mp.current():name() end, { name = "mine" })
      :add("called", function() return 1 end, { on_complete = note })
      :add("a task", mp.parallel(function() return mp.current():name(), mp.current():timeout() end, { timeout = 9 }))
      :run()
    assert.same({ 3, "named", "mine" }, { results.flaky, results.named, results["other name"] })
    assert.same({ "a task", 9.0, n = 2 }, results["a task"])
    mp.poll()
    assert.same({ 1, n = 1 }, progress[1])
    local _, report = mp.graph():add("slow", mp.sleep, { args = { 50 }, timeout = 0.02 }):run { on_error = "none" }
    assert.equal("timeout", report.errors.slow.kind)
  end)

  it("has a timeout for the whole run", function()
    local g <const> = mp.graph():add("a", mp.sleep, { args = { support.HANG_SECONDS } }):add("b", list, { needs = { "a" } })
    local ok, err = pcall(g.run, g, { timeout = 0.05 })
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
  end)

  it("takes functions by name, and a long chain", function()
    local g <const> = mp.graph():add("n0", "math.abs", { args = { -1 } })
    for i = 1, 2000 do g:add("n" .. i, function(x) return x + 1 end, { needs = { "n" .. i - 1 } }) end
    assert.equal(2001, g:run().n2000)
  end)

  it("runs inside a task", function()
    assert.equal(3, mp.spawn(function()
      return mp.graph():add("a", math.abs, { args = { -3 } }):add("b", math.abs, { needs = { "a" } }):run().b
    end):get())
  end)
end)

describe("a graph's option results", function()
  local function run(names)
    return mp.graph()
      :add("a", function() return 1 end)
      :add("b", function(a) return a + 1 end, { needs = { "a" } })
      :add("c", function() error("broken", 0) end)
      :run { results = names, on_error = "none" }
  end

  it("says whose values are returned; the report is of all", function()
    local results, report = run { "b" }
    assert.same({ b = 2 }, results)
    assert.same({ { "c" }, "broken", 2 }, { report.failed, report.errors.c.message, #report.done })
    assert.same({}, (run {}))
    assert.same({ a = 1, b = 2 }, (run(nil)))
  end)
end)

describe("a graph that cannot run", function()
  it("names the cycle", function()
    local g <const> = mp.graph():add("x", list, { needs = { "a" } }):add("a", list, { needs = { "b" } }):add("b", list, { needs = { "a" } })
    local message, place = refusal(function() g:run() end)
    assert.equal("dependency cycle: a -> b -> a", message)
    assert.matches("graph_spec%.lua:%d+$", place)
    message = refusal(function() mp.graph():add("a", list, { needs = { "a" } }) end)
    assert.equal("dependency cycle: a -> a", message)
    local long <const> = mp.graph()
    for i = 1, 5000 do long:add("n" .. i, list, { after = { "n" .. i % 5000 + 1 } }) end
    assert.matches("^dependency cycle: n1 %-> n2 %-> ", (refusal(long.run, long)))
  end)

  it("names what is unknown and what is there twice", function()
    local g <const> = mp.graph():add("a", list, { needs = { "b" } })
    local message, place = refusal(function() g:run() end)
    assert.equal("task 'a' needs 'b', which is not in the graph", message)
    assert.matches("graph_spec%.lua:%d+$", place)
    message, place = refusal(function() g:export "dot" end)
    assert.equal("task 'a' needs 'b', which is not in the graph", message)
    assert.matches("graph_spec%.lua:%d+$", place)
    message, place = refusal(function() g:add("a", list) end)
    assert.equal("there is a task 'a' already", message)
    assert.matches("graph_spec%.lua:%d+$", place)
    g:add("b", list)
    assert.same({}, g:run().b)
  end)

  it("starts nothing that it could not start whole", function()
    local g <const> = mp.graph():add("first", mp.sleep, { args = { 50 } }):add("bad", list, { args = { io.stdout }, after = { "first" } })
    local message, place = refusal(function() g:run() end)
    assert.matches("cannot be sent to a worker", message, 1, true)
    assert.matches("graph_spec%.lua:%d+$", place)
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("is refused at the caller", function()
    local g <const> = mp.graph()
    for _, call in ipairs {
      { "bad argument #1 to 'add' (name expected, got nil)", function() g:add() end },
      { "bad argument #2 to 'add' (function or module name expected, got nil)", function() g:add "x" end },
      { "bad argument #1 to 'add' (graph expected, got number)", function() g.add(1, "x", print) end },
      { "options must be a table, got number", function() g:add("x", print, 1) end },
      { "unknown option 'need'", function() g:add("x", print, { need = {} }) end },
      { "needs must be a list of names, got string", function() g:add("x", print, { needs = "a" }) end },
      { "needs must be a list of names, got number in it", function() g:add("x", print, { needs = { 1 } }) end },
      { "after must be a list of names, got boolean", function() g:add("x", print, { after = true }) end },
      { "args must be a list, got string", function() g:add("x", print, { args = "a" }) end },
      { "timeout must be a finite number of seconds from 0 to 1e9, got -1", function() g:add("x", print, { timeout = -1 }) end },
      { "unknown option 'on_eror' (did you mean 'on_error'?)", function() g:run { on_eror = "none" } end },
      { "on_error must be 'raise', 'none', got skip", function() g:run { on_error = "skip" } end },
      { "timeout must be a finite number of seconds from 0 to 1e9, got x", function() g:run { timeout = "x" } end },
      { "pool must be a pool, got number", function() g:run { pool = 1 } end },
      { "results must be a list of names, got string", function() g:run { results = "a" } end },
      { "results: 'nobody' is not in the graph", function() g:run { results = { "nobody" } } end },
      { "bad argument #1 to 'export' ('dot' or 'mermaid' expected, got svg)", function() g:export "svg" end },
    } do
      local message, place = refusal(call[2])
      assert.equal(call[1], message)
      assert.matches("graph_spec%.lua:%d+$", place or "(nowhere)", nil, nil, call[1])
    end
    assert.same({}, g:run())
  end)
end)

describe("a graph as text", function()
  local g <const> = mp.graph()
    :add("extract", list)
    :add('say "x"', list, { needs = { "extract" } })
    :add("load", list, { needs = { 'say "x"' }, after = { "extract" } })

  it("is what dot reads", function()
    assert.equal([[
digraph {
  "extract";
  "say \"x\"";
  "load";
  "extract" -> "say \"x\"";
  "say \"x\"" -> "load";
  "extract" -> "load" [style=dashed];
}
]], g:export "dot")
  end)

  it("is what mermaid reads", function()
    assert.equal([[
flowchart LR
  t1["extract"]
  t2["say #34;x#34;"]
  t3["load"]
  t1 --> t2
  t2 --> t3
  t1 -.-> t3
]], g:export "mermaid")
  end)
end)
