_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local function failing(text) error(text or "boom", 0) end
local function add(...)
  local sum = 0
  for _, n in ipairs { ... } do sum = sum + n end
  return sum
end

describe("a handle given as an argument", function()
  it("is replaced by the first value of its task", function()
    local one <const> = mp.spawn(function() return 1, "second" end)
    assert.same({ 1, "x", 1, n = 3 }, table.pack(mp.spawn(function(...) return ... end, one, "x", one):get()))
  end)

  it("is nil if its task returned nothing", function()
    assert.same({ nil, 2, n = 2 }, table.pack(mp.spawn(function(...) return ... end, mp.spawn(function() end), 2):get()))
  end)

  it("lets the task start only when it is done", function()
    local pool <close> = mp.pool { workers = 2 }
    local parent <const> = support.sleeper(pool)
    local child <const> = pool:spawn(math.abs, parent)
    assert.equal(7, pool:spawn(math.abs, -7):get()) -- others pass
    assert.equal("waiting", child:status())
    parent:cancel()
    assert.equal("dependency", support.failure(child).kind)
  end)

  it("makes pipelines", function()
    local load, clean, save = mp.parallel(function(s) return { s } end), mp.parallel(function(t) return t[1]:upper() end),
      mp.parallel(function(s) return #s, s end)
    assert.same({ 3, "ABC" }, { save(clean(load "abc")):get() })
  end)

  it("keeps values apart: each child has a copy of its own", function()
    local parent <const> = mp.spawn(function() return { 1 } end)
    local change <const> = mp.parallel(function(t)
      t[1] = t[1] + 1
      return t[1]
    end)
    assert.same({ 2, 2 }, { change(parent):get(), change(parent):get() })
    assert.same({ 1 }, parent:get())
  end)

  it("works with values of every kind", function()
    local graph <const> = { "x" }
    graph.self = graph
    local parent <const> = mp.spawn(function(t) return t end, graph)
    assert.is_true(mp.spawn(function(t) return t.self == t and t[1] == "x" end, parent):get())
    local adder <const> = mp.spawn(function(by) return function(n) return n + by end end, 10)
    assert.equal(11, mp.spawn(function(f) return f(1) end, adder):get())
  end)

  it("works inside a task too", function()
    assert.equal(10, mp.spawn(function(sum) return sum(sum(1, 2), sum(3, 4)):get() end, mp.parallel(add)):get())
  end)

  it("may belong to a task that is done long since, or dropped", function()
    local done <const> = mp.spawn(add, 1, 2)
    done:wait()
    assert.equal(6, mp.spawn(add, done, 3):get())
    local last = mp.spawn(add, 1)
    for _ = 1, 50 do
      last = mp.spawn(add, last, 1)
      collectgarbage "step"
    end
    collectgarbage()
    assert.equal(51, last:get())
  end)
end)

describe("after", function()
  it("is order only", function()
    local file <close> = support.temporary_file()
    local function append(path, text)
      local f <close> = assert(io.open(path, "a"))
      f:write(text)
    end
    local pool <close> = mp.pool { workers = 2 }
    local task <const> = pool:parallel(append)
    local a <const> = task(file.path, "a")
    local b <const> = task:with { after = a } (file.path, "b")
    local c <const> = task:with { after = { a, b } } (file.path, "c")
    assert.same({ n = 0 }, table.pack(task:with { after = { c, c, a } } (file.path, "d"):get()))
    assert.equal("abcd", file:read())
  end)

  it("goes together with handles as arguments", function()
    local a, b = mp.spawn(add, 1), mp.spawn(add, 2)
    assert.equal(3, mp.parallel(add, { after = { a, b } })(a, b):get())
    assert.equal(1, mp.parallel(add, { after = {} })(1):get())
  end)

  it("is refused if it is no list of handles", function()
    for _, wrong in ipairs { 1, "x", true } do
      assert.equal(("after must be a list of handles, got %s"):format(type(wrong)),
        (support.refusal(mp.parallel, add, { after = wrong })))
      assert.equal(("after must be a list of handles, got %s in it"):format(type(wrong)),
        (support.refusal(mp.parallel, add, { after = { mp.spawn(add), wrong } })))
    end
  end)
end)

describe("parallel_with_deps", function()
  it("gets a table of the dependencies' values first", function()
    local a, b, c = mp.spawn(add, 1), mp.spawn(function() end), mp.spawn(add, 3)
    local task <const> = mp.parallel_with_deps(function(deps, ...) return deps, ... end)
    assert.same({ { 1, nil, 3, n = 3 }, "x" }, { task:with { after = { a, b, c } } ("x"):get() })
    assert.same({ { 1, n = 1 }, n = 1 }, table.pack(task:with { after = a } ():get()))
    assert.same({ { n = 0 }, 5 }, { task:with { after = {} } (5):get() })
    assert.same({ { n = 0 }, 5 }, { task(5):get() })
  end)

  it("takes hundreds of them", function()
    local parents <const> = {}
    for i = 1, 500 do parents[i] = mp.spawn(add, i) end
    local task <const> = mp.parallel_with_deps(function(deps, x) return deps.n, deps[1], deps[500], x end, { after = parents })
    assert.same({ 500, 1, 500, "x" }, { task:call "x" })
  end)

  it("may get a handle as an argument besides", function()
    local a <const> = mp.spawn(add, 1)
    assert.equal(3, mp.parallel_with_deps(function(deps, n) return deps[1] + n end, { after = { a } })(mp.spawn(add, 2)):get())
  end)
end)

describe("a parent that does not succeed", function()
  it("ends its child with kind dependency and the parent's error as cause", function()
    local parent <const> = mp.parallel(failing, { name = "parent" })()
    local child <const> = mp.parallel(add, { name = "child" })(parent)
    local err <const> = support.failure(child)
    assert.equal("dependency", err.kind)
    assert.equal("task 'child' did not run: a task it depends on ended with: boom", err.message)
    assert.equal("error", err.cause.kind)
    assert.equal("boom", err.cause.value)
    assert.equal(parent:id(), err.cause.task_id)
    assert.equal("parent", err.cause.task)
    assert.equal(child:id(), err.task_id)
    assert.equal("failed", child:status())
  end)

  it("does so when cancelled, timed out, or only named in after", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = support.sleeper(pool)
    local cancelled <const> = pool:spawn(add)
    local late <const> = pool:parallel(add, { timeout = 0.01 })()
    local a, b = pool:spawn(add, cancelled), pool:parallel(add, { after = late })()
    cancelled:cancel()
    assert.equal("cancelled", support.failure(a).cause.kind)
    assert.equal("timeout", support.failure(b).cause.kind)
    blocker:cancel()
  end)

  it("may have been over before the child was made", function()
    local parent <const> = mp.spawn(failing)
    parent:wait()
    assert.equal("boom", support.failure(mp.spawn(add, parent)).cause.message)
  end)

  it("ends a chain of descendants with the first one's error as cause", function()
    local last = mp.spawn(failing, "first")
    for _ = 1, 1000 do last = mp.spawn(add, last) end
    local err <const> = support.failure(last)
    assert.equal("first", err.cause.message)
    assert.is_nil(err.cause.cause)
  end)

  it("is told to on_error of the child", function()
    local calls, record = support.recorder()
    local child <const> = mp.parallel(add, { on_error = record })(mp.spawn(failing))
    child:wait()
    mp.run()
    assert.equal(1, calls.n)
    assert.equal("dependency", calls[1][1].kind)
  end)

  it("leaves a child that was cancelled itself cancelled", function()
    local pool <close> = mp.pool { workers = 1 }
    local parent <const> = support.sleeper(pool)
    local child <const> = pool:spawn(add, parent)
    assert.is_true(child:cancel())
    parent:cancel()
    assert.equal("cancelled", support.failure(child).kind)
  end)
end)

describe("a dependency of another pool", function()
  it("is refused", function()
    local pool <close> = mp.pool { workers = 1 }
    local foreign <const> = pool:spawn(add, 1)
    for _, submit in ipairs {
      function() mp.spawn(add, foreign) end,
      function() mp.parallel(add, { after = foreign })() end,
      function() mp.parallel_with_deps(add, { after = { foreign } })() end,
    } do
      assert.equal("belongs to another pool", (support.refusal(submit)))
    end
    assert.equal(1, foreign:get())
  end)
end)
