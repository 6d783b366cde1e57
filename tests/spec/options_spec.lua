_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal
local NAN <const> = 0 / 0
local NAN_TEXT <const> = tostring(NAN)

describe("an unknown option", function()
  it("is refused with the near one by everything that takes options", function()
    local pool <close> = mp.pool { workers = 1 }
    local task <const> = mp.parallel(math.abs)
    local calls <const> = {
      { "prioirty", "priority", function(o) mp.parallel(math.abs, o) end },
      { "tiemout", "timeout", function(o) mp.parallel_fast(math.abs, o) end },
      { "afer", "after", function(o) mp.parallel_with_deps(math.abs, o) end },
      { "on_eror", "on_error", function(o) task:with(o) end },
      { "nmae", "name", function(o) pool:parallel(math.abs, o) end },
      { "chunks", "chunk", function(o) mp.map(math.abs, {}, o) end },
      { "progess", "progress", function(o) pool:map(math.abs, {}, o) end },
      { "onerror", "on_error", function(o) mp.gather({}, o) end },
      { "worker", "workers", function(o) mp.pool(o) end },
      { "stacksize", "stack_size", function(o) mp.configure(o) end },
      { "iso_late", "isolate", function(o) mp.configure_thread_pool(o) end },
      { "timeut", "timeout", function(o) pool:shutdown(o) end },
    }
    for _, call in ipairs(calls) do
      local wrong <const>, near <const>, fn <const> = table.unpack(call)
      local message, place = refusal(fn, { [wrong] = 1 })
      assert.equal(("unknown option '%s' (did you mean '%s'?)"):format(wrong, near), message)
      assert.matches("options_spec%.lua:%d+$", place or "(nowhere)", nil, nil, wrong)
    end
  end)

  it("is refused without a guess when none is near", function()
    assert.equal("unknown option 'colour'", (refusal(mp.parallel, math.abs, { colour = 1 })))
    assert.equal("unknown option ''", (refusal(mp.parallel, math.abs, { [""] = 1 })))
    assert.equal(("unknown option '%s'"):format(("x"):rep(100)), (refusal(mp.parallel, math.abs, { [("x"):rep(100)] = 1 })))
    assert.equal("an option's name must be a string, got number", (refusal(mp.parallel, math.abs, { 1 })))
    assert.equal("an option's name must be a string, got boolean", (refusal(mp.gather, {}, { [true] = 1 })))
  end)

  it("is found beside known ones", function()
    assert.equal("unknown option 'x'", (refusal(mp.parallel, math.abs, { name = "n", timeout = 1, x = 1 })))
  end)
end)

describe("options", function()
  it("must be a table", function()
    for _, wrong in ipairs { 1, "x", true } do
      assert.matches("table expected, got " .. type(wrong), (refusal(mp.parallel, math.abs, wrong)), 1, true)
      assert.equal("options must be a table, got " .. type(wrong), (refusal(mp.map, math.abs, {}, wrong)))
      assert.equal("options must be a table, got " .. type(wrong), (refusal(mp.gather, {}, wrong)))
      assert.matches("table expected, got " .. type(wrong), (refusal(mp.pool, wrong)), 1, true)
    end
    local pool <close> = mp.pool { workers = 1 }
    assert.equal("options must be a table, got number", (refusal(pool.map, pool, math.abs, {}, 1)))
    assert.equal("options must be a table, got number", (refusal(pool.parallel, pool, math.abs, 1)))
  end)

  it("are read once: changing the table later changes nothing", function()
    local options <const> = { name = "before", metadata = { n = 1 } }
    local task <const> = mp.parallel(math.abs, options)
    options.name = "after"
    assert.equal("before", task(1):name())
  end)
end)

describe("a number in options", function()
  it("of seconds is finite, from 0 to 1e9", function()
    for _, wrong in ipairs { 1 / 0, -1 / 0, -1, 1e300, "5", true, {} } do
      local text <const> = "timeout must be a finite number of seconds from 0 to 1e9, got " .. tostring(wrong)
      assert.equal(text, (refusal(mp.parallel, math.abs, { timeout = wrong })))
      assert.equal(text, (refusal(mp.map, math.abs, {}, { timeout = wrong })))
      assert.equal(text, (refusal(mp.gather, {}, { timeout = wrong })))
      assert.equal(text, (refusal(mp.wait_all, {}, wrong)))
      assert.equal(text, (refusal(mp.wait_any, {}, wrong)))
      assert.equal(text, (refusal(mp.as_completed, {}, wrong)))
      local pool <close> = mp.pool { workers = 1 }
      assert.equal(text, (refusal(pool.shutdown, pool, { timeout = wrong })))
    end
    local text <const> = "timeout must be a finite number of seconds from 0 to 1e9, got " .. NAN_TEXT
    assert.equal(text, (refusal(mp.parallel, math.abs, { timeout = NAN })))
    assert.equal(text, (refusal(mp.gather, {}, { timeout = NAN })))
    for _, right in ipairs { 1e9, 1, 0.5 } do
      assert.equal(1, mp.parallel(math.abs, { timeout = right }):call(-1))
    end
  end)

  it("of seconds may be 0, which is over at once", function()
    local h <const> = mp.parallel(mp.sleep, { timeout = 0 })(1)
    assert.equal("timeout", support.failure(h).kind)
  end)

  it("of workers is an integer from 1 to 1024", function()
    for _, wrong in ipairs { 0, -1, 1.5, 1000000, 1025, "4", true, NAN, 1 / 0 } do
      local text <const> = "workers must be an integer from 1 to 1024, got " .. tostring(wrong)
      assert.equal(text, (refusal(mp.pool, { workers = wrong })))
      assert.equal(text, (refusal(mp.configure, { workers = wrong })))
      assert.equal(text, (refusal(mp.configure_thread_pool, { workers = wrong })))
      if type(wrong) == "number" then assert.equal(text, (refusal(mp.configure_thread_pool, wrong))) end
    end
    assert.equal("bad argument #1 to 'configure_thread_pool' (number of workers or table expected, got boolean)",
      (refusal(mp.configure_thread_pool, true)))
    local pool <close> = mp.pool { workers = 3.0 }
    assert.equal(3, pool:info().workers)
  end)

  it("of stack bytes is at least 1 MiB", function()
    for _, wrong in ipairs { 0, 1000, (1 << 20) - 1, (1 << 30) + 1, "big" } do
      assert.equal("stack_size must be an integer from 1048576 to 1073741824, got " .. tostring(wrong),
        (refusal(mp.pool, { stack_size = wrong })))
    end
    local pool <close> = mp.pool { workers = 1, stack_size = 1 << 20 }
    assert.equal(1, pool:spawn(math.abs, -1):get())
  end)

  it("of priority is an integer of 32 bits", function()
    for _, wrong in ipairs { 1.5, "9", 1 << 31, -(1 << 31) - 1, NAN, {} } do
      local text <const> = "priority must be an integer from -2147483648 to 2147483647, got "
      assert.matches(text, (refusal(mp.parallel, math.abs, { priority = wrong })), 1, true)
      assert.matches(text, (refusal(mp.map, math.abs, {}, { priority = wrong })), 1, true)
    end
    for _, right in ipairs { (1 << 31) - 1, -(1 << 31), 0 } do
      assert.equal(1, mp.parallel(math.abs, { priority = right }):call(-1))
    end
  end)

  it("of items in a chunk is a positive integer", function()
    for _, wrong in ipairs { 0, -1, 1.5, "x", NAN } do
      local text <const> = "chunk must be an integer from 1 to 1048576, got " .. tostring(wrong)
      assert.equal(text, (refusal(mp.map, math.abs, {}, { chunk = wrong })))
    end
  end)

  it("for a seed is any integer", function()
    assert.matches("^seed must be an integer from ", (refusal(mp.map, math.abs, {}, { seed = 1.5 })))
    assert.matches("^seed must be an integer from ", (refusal(mp.map, math.abs, {}, { seed = "x" })))
  end)
end)

describe("a choice in options", function()
  it("is one of those there are, refused before any work", function()
    local text <const> = "on_error must be 'raise', 'skip', 'none', got "
    for _, wrong in ipairs { "bogus", 1, true, "RAISE" } do
      assert.equal(text .. tostring(wrong), (refusal(mp.map, error, { 1 }, { on_error = wrong })))
      assert.equal(text .. tostring(wrong), (refusal(mp.gather, {}, { on_error = wrong })))
    end
    assert.equal("isolate must be 'none', 'env' or 'state', got bogus", (refusal(mp.pool, { isolate = "bogus" })))
    assert.equal("isolate must be 'none', 'env' or 'state', got 1", (refusal(mp.pool, { isolate = 1 })))
    assert.equal("cancel_mode must be 'signal', 'hook' or 'cooperative', got bogus", (refusal(mp.pool, { cancel_mode = "bogus" })))
  end)
end)

describe("other options", function()
  it("have their kinds", function()
    assert.equal("name must be a string, got number", (refusal(mp.parallel, math.abs, { name = 5 })))
    assert.equal("metadata must be a table, got string", (refusal(mp.parallel, math.abs, { metadata = "x" })))
    assert.equal("on_complete must be a function, got string", (refusal(mp.parallel, math.abs, { on_complete = "x" })))
    assert.equal("pool must be a pool, got number", (refusal(mp.parallel, math.abs, { pool = 5 })))
    assert.equal("pool must be a pool, got number", (refusal(mp.map, math.abs, {}, { pool = 5 })))
    assert.equal("name must be a string, got number", (refusal(mp.map, math.abs, {}, { name = 5 })))
    assert.equal("setup must be a function, got string", (refusal(mp.pool, { setup = "x" })))
    assert.equal("preload must be a list of module names, got string", (refusal(mp.pool, { preload = "x" })))
    assert.equal("preload must be a list of module names, got number in it", (refusal(mp.pool, { preload = { "string", 5 } })))
    assert.matches("^log must be a function, false, a level %(off, error, warn, info, debug, trace%) or area=level,..., got loud$",
      (refusal(mp.pool, { log = "loud" })))
  end)

  it("blame the caller", function()
    local pool <close> = mp.pool { workers = 1 }
    for i, call in ipairs {
      function() mp.parallel(math.abs, { timeout = -1 }) end,
      function() mp.parallel(math.abs):with { timeout = -1 } end,
      function() mp.map(math.abs, {}, { timeout = -1 }) end,
      function() mp.map(math.abs, {}, { on_error = "x" }) end,
      function() mp.gather({}, { timeout = -1 }) end,
      function() mp.as_completed({}, -1) end,
      function() mp.wait_any({}, -1) end,
      function() mp.wait_all({}, -1) end,
      function() mp.pool { workers = 0 } end,
      function() mp.configure { workers = 0 } end,
      function() mp.configure_thread_pool(0) end,
      function() pool:parallel(math.abs, { timeout = -1 }) end,
      function() pool:map(math.abs, {}, { timeout = -1 }) end,
      function() pool:map(math.abs, {}, { pool = 1 }) end,
      function() pool:spawn(math.abs, io.stdout) end,
      function() pool:map(math.abs, { io.stdout }) end,
      function() mp.map(math.abs, 5) end,
      function() mp.gather(5) end,
      function() mp.gather { 5 } end,
      function() mp.wait_any { 5 } end,
      function() mp.wait_all(5) end,
      function() mp.as_completed { 5 } end,
      function() pool:shutdown { timeout = -1 } end,
      function() mp.sleep(-1) end,
      function() mp.poll(-1) end,
    } do
      local message, place = refusal(call)
      assert.matches("options_spec%.lua:%d+$", place or "(nowhere)", nil, nil, ("call %d: %s"):format(i, message))
    end
  end)
end)

describe("makeparallel.check", function()
  local check <const> = require "makeparallel.check"

  it("gives an empty table for no options, the first of the choices for none", function()
    assert.same({}, check.options(nil, {}))
    assert.equal("a", check.choice(nil, "x", { "a", "b" }))
    assert.equal("b", check.choice("b", "x", { "a", "b" }))
    assert.is_nil(check.integer(nil, "x", 1, 2))
    assert.is_nil(check.deadline(nil))
    assert.is_true(check.deadline(1) > mp.now())
  end)

  it("counts handles", function()
    assert.equal(0, check.handles({}, "f"))
    assert.equal(1, check.handles({ mp.spawn(math.abs, 1) }, "f"))
    assert.equal("bad argument #1 to 'f' (handle expected at [1], got number)", (refusal(check.handles, { 5 }, "f")))
    assert.equal("bad argument #1 to 'f' (list of handles expected, got nil)", (refusal(check.handles, nil, "f")))
  end)
end)
