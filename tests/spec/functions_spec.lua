_ENV = require("support").globals(_ENV)
local counter <const> = require "fixtures.counter"
local mp <const> = require "makeparallel"
local support <const> = require "support"

local function run(fn, ...)
  return mp.spawn(fn, ...):get()
end

describe("a function of a module", function()
  it("is found by its name, also in a submodule's table", function()
    assert.equal(6, run("fixtures.counter.inner.deep.double", 3))
    assert.equal("A", run("string.upper", "a"))
    assert.equal(3, run("math.max", 1, 3, 2))
    assert.equal("7", run("tostring", 7))
  end)

  it("works on the module of the worker, not on a copy", function()
    local pool <close> = mp.pool { workers = 1 }
    for i = 1, 3 do
      assert.equal(i, pool:spawn(counter.increment):get())
    end
    assert.equal(0, counter.value)
  end)

  it("may be a C function", function()
    assert.equal("007", run(string.format, "%03d", 7))
    assert.equal(3, run(select, "#", 1, 2, 3))
    assert.same({ 1, 2 }, { run(table.unpack, { 1, 2 }) })
  end)

  it("is named with the reason when there is none", function()
    assert.matches("no function 'fixtures.counter.nothing' in any module of this worker",
      support.failure(mp.spawn "fixtures.counter.nothing").message, 1, true)
    assert.matches("no function 'no.such.module' in any module of this worker", support.failure(mp.spawn "no.such.module").message, 1, true)
    assert.matches("no function '' in", support.failure(mp.spawn "").message, 1, true)
    assert.matches("no function '...' in", support.failure(mp.spawn "...").message, 1, true)
  end)

  it("reports a module that fails to load with the module's own error", function()
    assert.matches("this module is broken", support.failure(mp.spawn "fixtures.broken.fn").message, 1, true)
  end)

  it("may be a field that is no function, which then cannot be called", function()
    assert.matches("attempt to call a number value", support.failure(mp.spawn "fixtures.counter.value").message, 1, true)
  end)

  it("is noticed when another module takes the place of an unloaded one", function()
    require "fixtures.point"
    assert.equal(0, run(function() return counter.value end)) -- names are learnt
    local point <const> = package.loaded["fixtures.point"]
    package.loaded["fixtures.point"] = nil
    local late <const> = require "fixtures.late"
    assert.is_true(run(late.is_module, late))
    package.loaded["fixtures.late"], package.loaded["fixtures.point"] = nil, point
  end)

  it("is noticed when its module was loaded just before", function()
    package.loaded["fixtures.late"] = nil
    run(print and math.abs, 1) -- names are learnt
    local late <const> = require "fixtures.late"
    assert.equal(1, run(late.callable, 1))
    assert.equal(1, run(late.new(1).get, late.new(1)))
    package.loaded["fixtures.late"] = nil
  end)

  it("is sent by value once its module was unloaded", function()
    local late <const> = require "fixtures.late"
    assert.is_true(run(late.is_module, late))
    package.loaded["fixtures.late"] = nil
    late.name = "changed here"
    late.callable, late.new = nil, nil
    assert.equal("changed here", run(function() return late.name end))
  end)
end)

describe("a function sent by value", function()
  it("takes its upvalues as they are at each call", function()
    local n = 1
    local task <const> = mp.parallel(function() return n end)
    local first <const> = task()
    n = 2
    local second <const> = task()
    n = { "three" }
    assert.same({ 1, 2, { "three" } }, { first:get(), second:get(), task:call() })
  end)

  it("does not bring writes to its upvalues back", function()
    local n, t = 1, { 1 }
    assert.equal(2, run(function()
      n = n + 1
      t[1] = n
      return t[1]
    end))
    assert.equal(1, n)
    assert.equal(1, t[1])
  end)

  it("starts each call with fresh upvalues", function()
    local pool <close> = mp.pool { workers = 1 }
    local n = 0
    local task <const> = pool:parallel(function()
      n = n + 1
      return n
    end)
    assert.same({ 1, 1, 1 }, { task:call(), task:call(), task:call() })
  end)

  it("may call itself", function()
    local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
    assert.equal(120, run(factorial, 5))
  end)

  it("may call another that calls it", function()
    local is_odd
    local function is_even(n) return n == 0 or is_odd(n - 1) end
    function is_odd(n) return n ~= 0 and is_even(n - 1) end
    assert.is_true(run(is_even, 10))
    assert.is_true(run(is_odd, 7))
  end)

  it("shares an upvalue with another function of the message", function()
    local n = 0
    local function add(by) n = n + by end
    local function read() return n end
    assert.equal(5, run(function()
      add(5)
      return read()
    end))
    local function set_both(setter, getter)
      setter(7)
      return getter()
    end
    assert.equal(7, run(set_both, add, read))
    assert.equal(7, run(set_both, unpack or add, read)) -- luacheck: ignore 113
  end)

  it("shares its upvalue's table with the arguments", function()
    local t <const> = {}
    assert.is_true(run(function(u) return t == u end, t))
  end)

  it("comes back with upvalues that are still shared", function()
    local set, get = run(function()
      local n = 0
      return function(value) n = value end, function() return n end
    end)
    set(9)
    assert.equal(9, get())
    assert.is_false(set == get)
  end)

  it("may be a result that is a closure over tables and functions", function()
    local adder <const> = run(function(by)
      local log <const> = {}
      return function(n)
        log[#log + 1] = n
        return n + by, #log
      end
    end, 10)
    assert.same({ 11, 1 }, { adder(1) })
    assert.same({ 12, 2 }, { adder(2) })
  end)

  it("sees the worker's globals, not ours", function()
    rawset(_G, "only_here", 1)
    assert.is_nil(run(function() return only_here end)) -- luacheck: ignore 113
    rawset(_G, "only_here", nil)
  end)

  it("has the globals under whatever name its environment has", function()
    local globals <const> = _G
    assert.is_true(run(function() return globals == _G end))
    local env <const> = { n = 5 }
    assert.equal(5, run(load("return n", "chunk", "t", env)))
  end)

  it("leaves the globals it sets in the worker, as a program's functions do", function()
    local pool <close> = mp.pool { workers = 1 }
    pool:spawn(function() rawset(_G, "left_behind", 1) end):get()
    assert.equal(1, pool:spawn(function() return left_behind end):get()) -- luacheck: ignore 113
  end)

  it("may have no upvalues at all, 200 of them, or varargs", function()
    assert.equal(1, run(load "return 1"))
    assert.equal(6, run(function(...) return select("#", ...) + (...) end, 4, nil))
    local source <const> = { "local " }
    for i = 1, 150 do source[#source + 1] = (i > 1 and "," or "") .. "u" .. i end
    source[#source + 1] = " = 0"
    for _ = 1, 149 do source[#source + 1] = ",0" end
    source[#source + 1] = "\nu150 = 5 return function() return u1"
    for i = 2, 150 do source[#source + 1] = "+u" .. i end
    source[#source + 1] = " end"
    assert.equal(5, run(load(table.concat(source))()))
  end)

  it("keeps its line numbers in errors", function()
    local line <const> = debug.getinfo(1, "l").currentline
    local err <const> = support.failure(mp.spawn(function() error "here" end))
    assert.matches(("functions_spec.lua:%d: here"):format(line + 1), err.message, 1, true)
  end)

  it("may hold a task object, which it then can call", function()
    local double <const> = mp.parallel(function(n) return 2 * n end, { name = "double", priority = 3 })
    assert.equal(14, run(function(n) return double(n):get() end, 7))
    assert.equal(14, run(function(n) return double:call(n) end, 7))
    assert.equal("again", run(function() return double:with { name = "again" } (1):name() end))
  end)

  it("may be a callable table of a module", function()
    assert.equal(105, run(counter.callable, 5))
  end)

  it("may be a task, which then is not called by another task but runs itself", function()
    local double <const> = mp.parallel(function(n) return 2 * n end, { name = "double", timeout = 60 })
    local other <close> = mp.pool { workers = 1 }
    assert.equal(8, run(double, 4))
    assert.equal("double", mp.spawn(double, 4):name())
    assert.near(60, mp.spawn(double, 4):timeout(), 1e-6)
    assert.equal(8, other:spawn(double, 4):get())
    assert.equal(8, other:parallel(double, { name = "again" })(4):get())
    assert.equal(1, #mp.map(double, { 4 }))
    for _, make in ipairs { mp.parallel, mp.parallel_fast, mp.parallel_pool } do
      local h <const> = make(double, { name = "of a task" })(4)
      assert.equal(8, h:get())
      assert.equal("of a task", h:name())
      assert.near(60, h:timeout(), 1e-6)
      assert.equal(8, make(double)(4):get())
    end
    assert.equal(8, mp.parallel_priority(double)(1, 4):get())
    assert.equal(5, mp.parallel_with_deps(mp.parallel(function(deps, n) return deps.n + n end))(5):get())
    assert.matches("unknown option 'nmae'", support.refusal(mp.parallel, double, { nmae = "x" }), 1, true)
  end)

  it("is the same code for many functions made by one", function()
    local sum = 0
    for i = 1, support.scaled(1000) do
      sum = sum + run(function() return i end) - i
    end
    assert.equal(0, sum)
  end)

  it("is not one with another function of the same code", function()
    local function make() return function() return 1 end end
    local function make_reader() return function() return print end end -- refers to the globals
    for _, maker in ipairs { make, make_reader } do
      local a, b, c = maker(), maker(), maker()
      local function compare(x, y, z, again) return x == y, y == z, x == z, x == again end
      assert.same({ false, false, false, true }, { run(compare, a, b, c, a) })
      assert.equal(3, run(function(handlers)
        local n = 0
        for _ in pairs(handlers) do n = n + 1 end
        return n
      end, { [a] = 1, [b] = 2, [c] = 3 }))
      local one, other = mp.spawn(function() return maker() end), mp.spawn(function() return maker() end)
      assert.is_true(run(function(x, y) return x ~= y end, one, other))
    end
  end)

  it("is for each task as it was sent, whatever an earlier one did to it", function()
    local pool <close> = mp.pool { workers = 1 }
    local function reads_x() return rawget(_ENV, "x") end
    local function poison(f)
      local get <const> = debug.getupvalue
      debug.setupvalue(f, 1, { x = 42 }) -- the environment that this function may share
      local _, env = get(f, 1)
      return env.x
    end
    assert.is_nil(pool:spawn(reads_x):get())
    assert.equal(42, pool:spawn(poison, reads_x):get())
    assert.is_nil(pool:spawn(reads_x):get())
    local source <const> = mp.source "return x"
    assert.equal(42, pool:spawn(poison, source):get())
    assert.is_nil(pool:spawn(source):get())
  end)
end)

describe("a function with an environment that reads through to the globals", function()
  local function environment(fields) return setmetatable(fields, { __index = _G }) end
  local function in_environment(env, code) return assert(load(code, "=code", "t", env)) end

  it("has there what it names of the environment's own fields", function()
    local env <const> = environment { x = 42, t = { 1, 2 }, longer_than_others = ("y"):rep(300) }
    assert.equal(42, run(in_environment(env, "return x")))
    assert.equal(300, run(in_environment(env, "return #longer_than_others")))
    assert.same({ 42, "number", 3 }, run(in_environment(env, "t[3] = type(x) return { x, type(t[1]), #t }")))
    assert.equal(2, #env.t)
    assert.equal(42, run(in_environment(env, "return (function() return x end)()")))
    assert.equal(42, run(function(f) return f() end, in_environment(env, "return x")))
    assert.equal(42, run(in_environment(env, "return function() return x end"))())
    assert.same({ n = 1, 42 }, (mp.map(in_environment(env, "return x"), { 1 })))
  end)

  it("shares it with the others of the message, whichever names the fields", function()
    local env <const> = environment { n = 1 }
    local count <const>, read <const> = in_environment(env, "n = n + 1"), in_environment(env, "return n")
    local idle <const> = in_environment(env, "return type(print)")
    assert.same({ "function", 2, 3 }, run(function(a, b, c)
      b()
      local first = c()
      b()
      return { a(), first, c() }
    end, idle, count, read))
    env.calls = in_environment(env, "return helper(...)")
    env.helper = in_environment(env, "return n + ...")
    assert.equal(6, run(env.calls, 5))
    env.again = env
    assert.equal(1, run(in_environment(env, "return again.again.n")))
  end)

  it("that names none of the fields needs none of them to travel", function()
    local env <const> = environment { connection = io.stdout, it = coroutine.create(print), item = 1 }
    assert.equal("string", run(in_environment(env, "local connections = 'items' return type(connections)")))
    env.connection = nil
    assert.matches("function.<upvalue '_ENV' of function <code:0>>.it (a coroutine) cannot be sent to a worker",
      support.refusal(mp.spawn, in_environment(env, "return it")), 1, true)
  end)

  it("is by name what a module made it", function()
    assert.equal(3, run(function(f) return f() end, require("fixtures.environment").counted()))
  end)

  it("of a task with isolate = 'env' is that of the task it runs in", function()
    local pool <close> = mp.pool { workers = 1, isolate = "env" }
    assert.same({ nil, "nil" }, { pool:spawn(mp.source [[
      x = 1
      local f = function() return rawget(_G, "x"), type(x) end
      return require("makeparallel").spawn(f):get()
    ]]):get() })
  end)
end)

describe("mp.source", function()
  it("is Lua source that the worker compiles, with the arguments as varargs", function()
    local source <const> = mp.source "local a, b = ... return a + b, _G ~= nil"
    assert.same({ 3, true }, { run(source, 1, 2) })
    assert.same({ 7, true }, { mp.parallel(source):call(3, 4) })
  end)

  it("may be an argument, which is a function there", function()
    assert.equal(5, run(function(f) return f(4) end, mp.source "return 1 + ..."))
  end)

  it("is compiled once for a worker but runs anew each time", function()
    local pool <close> = mp.pool { workers = 1 }
    local task <const> = pool:parallel(mp.source "local n = 0 n = n + 1 return n")
    assert.same({ 1, 1 }, { task:call(), task:call() })
  end)

  it("is refused where it is made if it does not compile", function()
    assert.matches("^bad argument #1 to '.-source' %(.*unexpected symbol", (support.refusal(mp.source, "return +")))
    assert.matches("^bad argument #1 to '.-source' %(string expected, got nil%)", (support.refusal(mp.source, nil)))
  end)

  it("cannot smuggle bytecode in", function()
    local ok = pcall(mp.source, string.dump(function() end))
    assert.is_false(ok)
  end)

  it("names its lines in errors", function()
    assert.matches("[string \"error 'x'\"]:1: x", support.failure(mp.spawn(mp.source "error 'x'")).message, 1, true)
  end)
end)
