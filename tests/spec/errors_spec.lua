_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local MESSAGE_MAX <const> = 64 * 1024

local function failure_of(fn, ...)
  return support.failure(mp.spawn(fn, ...))
end

describe("an error object", function()
  it("has kind, message, value, traceback, task, task_id and elapsed", function()
    local h <const> = mp.parallel(function() error "boom" end, { name = "named" })()
    local err <const> = support.failure(h)
    assert.equal("error", err.kind)
    assert.matches("errors_spec.lua:%d+: boom$", err.message)
    assert.equal(err.message, err.value)
    assert.matches("^stack traceback:\n", err.traceback)
    assert.matches("errors_spec.lua", err.traceback, 1, true)
    assert.equal("named", err.task)
    assert.equal(h:id(), err.task_id)
    assert.equal((h:elapsed()), err.elapsed)
    assert.is_nil(err.cause)
  end)

  it("shows message and the worker's traceback as text", function()
    local err <const> = failure_of(function() error("boom", 0) end)
    assert.equal("boom\nworker " .. err.traceback, tostring(err))
    local cancelled <const> = support.sleeper()
    cancelled:cancel()
    assert.equal(("task #%d was cancelled"):format(cancelled:id()), tostring(support.failure(cancelled)))
  end)

  it("can be printed and raised again by those who get it", function()
    local ok, err = pcall(function() mp.spawn(error, "x"):get() end)
    assert.is_false(ok)
    local _, again = pcall(error, err)
    assert.equal(err, again)
    assert.equal("x", again.message)
  end)

  it("passed on by another task is its cause", function()
    local err <const> = failure_of(function() mp.spawn(error, "inner"):get() end)
    assert.equal("error", err.kind)
    assert.equal("inner", err.cause.message)
    assert.equal("inner", err.cause.value)
    assert.equal("inner", err.message:match "^[^\n]*")
  end)

  it("keeps a chain of causes", function()
    local function deeper(n)
      if n == 0 then error("bottom", 0) end
      mp.spawn(deeper, n - 1):get()
    end
    local err = failure_of(deeper, 4)
    for _ = 1, 4 do err = err.cause end
    assert.equal("bottom", err.value)
    assert.is_nil(err.cause)
  end)
end)

describe("a task that raises", function()
  it("nil, a boolean or a number gives these as value and their text as message", function()
    for _, value in ipairs { false, true, 7, 1.5 } do
      local err <const> = failure_of(function() error(value) end)
      assert.equal(value, err.value)
      assert.equal(tostring(value), err.message)
    end
    local err <const> = failure_of(error)
    assert.equal("error", err.kind)
    assert.is_nil(err.value)
    assert.equal("nil", err.message)
  end)

  it("a table gives the table", function()
    local err <const> = failure_of(function() error { code = 7, inner = { 1 } } end)
    assert.same({ code = 7, inner = { 1 } }, err.value)
    assert.equal("(error object is a table value)", err.message)
    assert.equal("for people", failure_of(function() error { message = "for people" } end).message)
  end)

  it("a table with __tostring gives its text", function()
    local point <const> = require "fixtures.point"
    local err <const> = failure_of(function() error(point.new(1, 2)) end)
    assert.equal("(1, 2)", err.message)
    assert.equal(1, err.value.x)
  end)

  it("something whose __tostring raises, loops or gives no string still fails", function()
    for _, what in ipairs { "error 'x'", "local function f() return 1 + f() end return f()", "return {}", "error(nil)" } do
      local err <const> = failure_of(function(source)
        error(setmetatable({}, { __tostring = load(source) }))
      end, what)
      assert.equal("error", err.kind)
      assert.equal("(error object is a table value)", err.message)
    end
  end)

  it("a userdata, a coroutine or a function gives its kind, for it cannot be sent", function()
    local err <const> = failure_of(function() error(io.stdout) end)
    assert.matches("^file %(0x%x+%)$", err.message)
    assert.equal(err.message, err.value)
    assert.equal("(error object is a thread value)", failure_of(function() error(coroutine.create(print)) end).message)
    assert.equal("(error object is a function value)", failure_of(function() error(function() end) end).message)
    assert.equal("(error object is a table value)", failure_of(function() error { io.stdout } end).message)
  end)

  it("a message of 100 MB gets it cut with a mark", function()
    local size <const> = 100000000
    local err <const> = failure_of(function(n) error(("x"):rep(n), 0) end, size)
    assert.equal(("x"):rep(MESSAGE_MAX) .. ("... (cut: %d bytes)"):format(size), err.message)
    assert.is_true(#err.value <= #err.message)
  end)

  it("a message of just the limit keeps it whole", function()
    local err <const> = failure_of(function(n) error(("x"):rep(n), 0) end, MESSAGE_MAX)
    assert.equal(MESSAGE_MAX, #err.message)
  end)

  it("because of a missing global is told why", function()
    local err <const> = failure_of(function() return helper(1) end) -- luacheck: ignore 113
    assert.matches("attempt to call a nil value (global 'helper')", err.message, 1, true)
    local note <const> = "\nnote: globals of the main program are not sent to workers; make 'helper' local or put it in a module"
    assert.equal(note, err.message:sub(-#note))
    local index <const> = failure_of(function() return settings.x end) -- luacheck: ignore 113
    assert.matches("make 'settings' local", index.message, 1, true)
    assert.not_matches("note:", failure_of(function(t) return t.x.y end, {}).message, 1, true)
  end)

  it("has the traceback of the place it raised at", function()
    local function inner() error "deep" end
    local function outer()
      inner()
      return 1
    end
    local err <const> = failure_of(outer)
    local line <const> = debug.getinfo(inner, "S").linedefined
    assert.matches(("errors_spec.lua:%d: in "):format(line), err.traceback, 1, true)
    assert.matches(("errors_spec.lua:%d: in "):format(line + 2), err.traceback, 1, true)
  end)

  it("for lack of memory has kind memory", function()
    local h <const> = mp.spawn(function() return ("x"):rep(1 << 46) end)
    local err <const> = support.failure(h)
    assert.is_true(err.kind == "memory" or err.message:find("resulting string too large", 1, true) ~= nil or support.sanitized)
    assert.equal(1, mp.spawn(math.abs, -1):get())
  end)

  it("loses none of many", function()
    local before <const> = mp.get_thread_pool_info().failed
    local handles <const> = {}
    for i = 1, support.scaled(1000) do
      handles[i] = mp.spawn(error, i)
    end
    for i, h in ipairs(handles) do
      assert.equal(i, support.failure(h).value)
    end
    assert.equal(#handles, mp.get_thread_pool_info().failed - before)
  end)

  it("may not yield: a task is no coroutine of ours", function()
    assert.matches("attempt to yield", failure_of(function() coroutine.yield(1) end).message, 1, true)
  end)
end)

describe("errors made by the Lua side", function()
  it("have kind and message, and the metatable of all", function()
    local errors <const> = require "makeparallel.errors"
    local err <const> = errors.new("timeout", "too late")
    assert.equal("timeout", err.kind)
    assert.equal("too late", tostring(err))
    assert.equal(getmetatable(failure_of(error, "x")), getmetatable(err))
    local _, raised = pcall(errors.timeout, "gather", 3, 1.5)
    assert.equal("gather: 3 not finished after 1.5 s", raised.message)
    assert.equal("timeout", raised.kind)
  end)

  it("travel to a worker and back", function()
    local errors <const> = require "makeparallel.errors"
    local err <const> = support.round_trip(errors.new("timeout", "too late"))
    assert.equal("too late", tostring(err))
  end)
end)

-- An object that cannot be rebuilt outside of tasks: as one whose class nobody has registered there.
local function define_shy()
  local inner <const> = require "makeparallel"
  local shy <const> = {}
  shy.__index = shy
  function shy.__mp_pack(object) return object.v end
  function shy.__mp_unpack(v)
    if inner.current() == nil then error("no place for it", 0) end
    return setmetatable({ v = v }, shy)
  end
  return inner.class("errors_spec.shy", shy)
end

describe("a result that cannot be rebuilt here", function()
  local pool
  before_each(function()
    define_shy()
    pool = mp.pool { workers = 1, log = "off", setup = function() Shy = define_shy() end } -- luacheck: globals Shy
  end)
  after_each(function() pool:shutdown() end)

  local function shy_task(options)
    return pool:parallel(mp.source "return setmetatable({ v = 1 }, Shy)", options)
  end

  it("is an error that get raises and pget returns; the task is done all the same", function()
    local h <const> = shy_task { name = "shy" }()
    local err <const> = support.failure(h)
    assert.equal("error", err.kind)
    assert.equal("the result of task 'shy' cannot be rebuilt here: no place for it", err.message)
    assert.equal("shy", err.task)
    assert.equal(h:id(), err.task_id)
    assert.equal("done", h:status())
    for _, how in ipairs { h.get, h.try_get, h.await } do
      local ok, raised = pcall(how, h)
      assert.is_false(ok)
      assert.equal(err.message, raised.message)
    end
    assert.equal(1, pool:spawn(function(shy) return shy.v end, h):get())
  end)

  it("tells a class that is not registered", function()
    local classes <const> = mp.pool { workers = 1, log = "off", setup = function()
      Known = require("makeparallel").class("errors_spec.known_there", {}) -- luacheck: globals Known
    end }
    local err <const> = support.failure(classes:spawn(mp.source "return setmetatable({}, Known)"))
    assert.matches("cannot be rebuilt here: class 'errors_spec.known_there' is not registered in this state", err.message, 1, true)
    classes:shutdown()
  end)

  it("is for on_error, not for on_complete, each time once", function()
    local completed, on_complete = support.recorder()
    local failed, on_error = support.recorder()
    local before <const> = pool:info().callback_errors
    local h <const> = shy_task()():on_complete(on_complete):on_complete(on_complete):on_error(on_error)
    h:wait()
    assert.equal(0, completed.n)
    assert.equal(1, failed.n)
    assert.matches("cannot be rebuilt here", failed[1][1].message, 1, true)
    assert.equal(before, pool:info().callback_errors)
  end)

  it("is an error of the callback where nothing listens to on_error", function()
    local before <const> = pool:info().callback_errors
    shy_task()():on_complete(function() end):wait()
    assert.equal(before + 1, pool:info().callback_errors)
  end)

  it("is told by gather, map and graph as any failure is", function()
    local ok, err = pcall(mp.gather, { shy_task()() })
    assert.is_false(ok)
    assert.matches("cannot be rebuilt here", err.message, 1, true)
    local results, failures = mp.gather({ shy_task()(), pool:spawn(math.abs, -1) }, { on_error = "none" })
    assert.equal(1, #failures)
    assert.matches("cannot be rebuilt here", failures[1].error.message, 1, true)
    assert.same({ n = 2, [2] = 1 }, results)
    ok, err = pcall(pool.map, pool, mp.source "return setmetatable({ v = 1 }, Shy)", { 1 })
    assert.is_false(ok)
    assert.matches("cannot be rebuilt here", err.message, 1, true)
    local graph <const> = mp.graph()
    graph:add("a", shy_task())
    ok, err = pcall(graph.run, graph)
    assert.is_false(ok)
    assert.matches("cannot be rebuilt here", tostring(err), 1, true)
  end)

  it("raised as an error loses its value only", function()
    local err <const> = support.failure(pool:spawn(mp.source "error(setmetatable({ v = 1, message = 'told' }, Shy))"))
    assert.equal("error", err.kind)
    assert.is_nil(err.value)
    assert.equal("told\nnote: the value that was raised cannot be rebuilt here: no place for it", err.message)
  end)
end)
