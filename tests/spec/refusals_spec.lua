_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local OWN_STATE <const> = "it belongs to its own Lua state; open or make it where it is used"
local FILE <const> = "(userdata 'FILE*') cannot be sent to a worker: " .. OWN_STATE

local function nothing() end

local function refusal_of(...)
  return (support.refusal(mp.spawn, nothing, ...))
end

describe("an argument that cannot be sent", function()
  it("is named by its place and kind", function()
    assert.equal("args[1] " .. FILE, refusal_of(io.stdout))
    assert.equal("args[3] " .. FILE, refusal_of(1, 2, io.stdout))
    assert.equal("args[2].conn " .. FILE, refusal_of(1, { conn = io.stdout }))
    assert.equal("args[1].a.b[3] " .. FILE, refusal_of { a = { b = { 1, 2, io.stdout } } })
  end)

  it("is named also below keys that are no names", function()
    assert.equal('args[1]["odd key"] ' .. FILE, refusal_of { ["odd key"] = io.stdout })
    assert.equal('args[1]["1a"] ' .. FILE, refusal_of { ["1a"] = io.stdout })
    assert.equal("args[1][1.5] " .. FILE, refusal_of { [1.5] = io.stdout })
    assert.equal("args[1][-7] " .. FILE, refusal_of { [-7] = io.stdout })
    assert.equal("args[1][boolean key] " .. FILE, refusal_of { [true] = io.stdout })
    assert.equal("args[1][table key] " .. FILE, refusal_of { [{}] = io.stdout })
  end)

  it("may be a key", function()
    assert.equal("args[1][key] " .. FILE, refusal_of { [io.stdout] = 1 })
    assert.equal("args[1].t[key].x " .. FILE, refusal_of { t = { [{ x = io.stdout }] = 1 } })
  end)

  it("may be a coroutine, a foreign C function, a light userdata", function()
    assert.equal("args[1].co (a coroutine) cannot be sent to a worker: it cannot leave its Lua state",
      refusal_of { co = coroutine.create(nothing) })
    assert.equal("args[1] (a C function) cannot be sent to a worker: only those that a loaded module holds can, by name",
      refusal_of(coroutine.wrap(nothing)))
    assert.equal("args[1] (light userdata) cannot be sent to a worker: an address means nothing elsewhere",
      refusal_of(debug.upvalueid(support.refusal, 1)))
  end)

  it("may be a table whose metatable is in no module", function()
    assert.equal("args[1].x (a table with a metatable) cannot be sent to a worker: its metatable is in no module; " ..
      "register it in both with mp.class(name, metatable)", refusal_of { x = setmetatable({}, {}) })
  end)

  it("may be a pool that is not the task's own", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal("args[1][1] (userdata 'makeparallel.pool') cannot be sent to a worker: " .. OWN_STATE, refusal_of { pool })
  end)

  it("may be an upvalue, named with its function", function()
    local file <const> = io.stdout
    local function uses_file() return file end
    local line <const> = debug.getinfo(uses_file, "S").linedefined
    local where <const> = ("%s:%d"):format(debug.getinfo(1, "S").short_src, line)
    assert.equal(("function.<upvalue 'file' of function <%s>> %s"):format(where, FILE), (support.refusal(mp.spawn, uses_file)))
    assert.equal(("args[1].f.<upvalue 'file' of function <%s>> %s"):format(where, FILE), refusal_of { f = uses_file })
    local conn <const> = { deep = { file } }
    local function uses_table() return conn end
    assert.matches("^function%.<upvalue 'conn' of function <.-:%d+>>%.deep%[1%] %(userdata 'FILE%*'%)",
      (support.refusal(mp.spawn, uses_table)))
  end)

  it("is reported where the task was called", function()
    local task <const> = mp.parallel(nothing)
    local _, place = support.refusal(function()
      task(io.stdout)
    end)
    assert.equal(support.here(-2), place)
  end)

  it("keeps the outer end of a long path", function()
    local t <const> = {}
    local last = t
    for i = 1, 150 do
      last["key" .. i] = {}
      last = last["key" .. i]
    end
    last.file = io.stdout
    local message <const> = refusal_of(t)
    assert.matches("^args%[1%]%.key1%.key2%.key3%.key4.*%.%.%. %(userdata 'FILE%*'%)", message)
    assert.is_true(#message < 400)
  end)

  it("leaves nothing behind, so that the next call works", function()
    for _ = 1, 100 do
      refusal_of({ 1, 2, 3 }, { x = { io.stdout } })
    end
    assert.equal(5, mp.spawn(math.max, 5, 1):get())
  end)

  it("is refused by __mp_pack with its own error", function()
    local mt <const> = mp.class("spec.refuses", { __mp_pack = function() error("not today", 0) end })
    assert.equal("not today", refusal_of(setmetatable({}, mt)))
    mt.__mp_pack = function() return io.stdout end
    assert.equal("args[1].a<packed> " .. FILE, refusal_of { a = setmetatable({}, mt) })
  end)

  it("may be too deep", function()
    local t = {}
    for _ = 1, 300 do t = { a = t } end
    assert.matches("^args%[1%]%.a%.a%.a%.a%.a.*%.%.%. is nested deeper than 200 tables$", refusal_of(t))
  end)

  it("may be too deep through functions", function()
    local f <const> = load [[
      local f = function() end
      for _ = 1, 300 do local inner = f f = function() return inner end end
      return f
    ]]()
    assert.matches("is nested deeper than 200 tables$", (support.refusal(mp.spawn, f)))
  end)
end)

describe("a result that cannot be sent back", function()
  it("fails the task with its place, its name and its definition", function()
    local function open() return { file = io.stdout } end
    local where <const> = ("%s:%d"):format(debug.getinfo(1, "S").short_src, debug.getinfo(open, "S").linedefined)
    local err <const> = support.failure(mp.parallel(open, { name = "load" })())
    assert.equal("send", err.kind)
    local text <const> = "result[1].file (userdata 'FILE*') cannot be sent back from %s<%s>: %s"
    assert.equal(text:format("task 'load' ", where, OWN_STATE), err.message)
    assert.equal("load", err.task)
    local nameless <const> = support.failure(mp.spawn(open))
    assert.equal(text:format("function ", where, OWN_STATE), nameless.message)
  end)

  it("may be any of several", function()
    local err <const> = support.failure(mp.spawn(function() return 1, 2, coroutine.create(print) end))
    assert.matches("^result%[3%] %(a coroutine%) cannot be sent back from function <.*>: it cannot leave its Lua state$", err.message)
  end)

  it("may be a result of a C function", function()
    local err <const> = support.failure(mp.spawn(io.tmpfile))
    assert.matches("^result%[1%] %(userdata 'FILE%*'%) cannot be sent back from a C function", err.message)
  end)

  it("fails one item of a map", function()
    local _, errors = mp.map(function(i) return i == 2 and io.stdout or i end, { 1, 2, 3 }, { on_error = "none" })
    assert.equal(1, #errors)
    assert.equal(2, errors[1].index)
    assert.matches("result %(userdata 'FILE%*'%) cannot be sent back from a mapped function", errors[1].message)
  end)

  it("does not hurt the worker", function()
    local pool <close> = mp.pool { workers = 1 }
    for i = 1, 50 do
      assert.equal("send", support.failure(pool:spawn(function() return print, io.stdout end)).kind)
      assert.equal(i, pool:spawn(math.abs, -i):get())
    end
  end)
end)

describe("a list's item that cannot be sent to map", function()
  it("is named by its index where map was called", function()
    local message, place = support.refusal(function()
      mp.map(nothing, { 1, 2, { x = io.stdout } })
    end)
    assert.equal("list[3].x " .. FILE, message)
    assert.equal(support.here(-3), place)
  end)
end)

describe("a function that cannot be called", function()
  for _, name in ipairs { "spawn", "parallel", "parallel_fast", "parallel_pool", "parallel_priority", "parallel_with_deps" } do
    it(("is refused by mp.%s at the caller"):format(name), function()
      local shown <const> = name == "parallel_pool" and "parallel" or name
      for _, wrong in ipairs { 42, true, {} } do
        local message, place = support.refusal(function()
          mp[name](wrong)
        end)
        assert.equal(("bad argument #1 to '%s' (function or module name expected, got %s)"):format(shown, type(wrong)), message)
        assert.equal(support.here(-3), place)
      end
      assert.matches("got nil", (support.refusal(mp[name], nil)), 1, true)
      assert.matches("got", (support.refusal(mp[name])), 1, true)
    end)
  end

  it("is refused by map and by the methods of a pool at the caller", function()
    local pool <close> = mp.pool { workers = 1 }
    local calls <const> = {
      map = function() mp.map(42, {}) end,
      ["pool:map"] = function() pool:map(42, {}) end,
      ["pool:spawn"] = function() pool:spawn(42) end,
      ["pool:parallel"] = function() pool:parallel(42) end,
    }
    for name, call in pairs(calls) do
      local message, place = support.refusal(call)
      local shown <const> = name:match "%w+$"
      assert.equal(("bad argument #1 to '%s' (function or module name expected, got number)"):format(shown), message)
      assert.matches("refusals_spec%.lua", place, nil, nil, name)
    end
  end)
end)
