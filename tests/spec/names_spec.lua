_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local function run(fn, ...)
  return mp.spawn(fn, ...):get()
end

-- Names are learnt anew at the next function that was not sent before.
local function learn_anew()
  package.loaded["spec.another"] = {}
  run(function() return 1 end)
  package.loaded["spec.another"] = nil
end

-- A function of a module is sent by its name only if that means the same in the worker.
describe("a function that the program put into a module", function()
  local named

  before_each(function()
    package.loaded["fixtures.named"] = nil
    named = require "fixtures.named"
  end)

  teardown(function() package.loaded["fixtures.named"] = nil end)

  it("runs in the worker, whether names were learnt before it came or after", function()
    function named.before() return "before" end
    local before <const> = named.before
    assert.equal("before", run(before))
    assert.equal("before", run(function() return before() end))
    run(named.work)
    function named.after() return "after" end
    local after <const> = named.after
    assert.equal("after", run(function() return after() end))
    learn_anew()
    assert.equal("after", run(function() return after() end))
  end)

  it("runs in place of the one that it replaces", function()
    local original <const> = named.work
    named.work = function() return "patched " .. original() end
    local patched <const> = named.work
    for _ = 1, 2 do
      assert.equal("patched worked", run(function() return patched() end))
      assert.equal("patched worked", run(named.work))
      learn_anew()
    end
  end)

  it("may be another one of the module's own", function()
    named.work, named.other = named.other, named.work
    assert.equal("other", run(named.work))
    assert.equal("worked", run(named.other))
    named.work = named.other
    learn_anew()
    assert.equal("worked", run(named.work))
  end)

  it("may stand in a library of Lua's", function()
    string.spec_trim = function(s) return (s:gsub("^%s+", "")) end -- luacheck: ignore 142
    local trim <const> = string.spec_trim -- luacheck: ignore 143
    learn_anew()
    assert.equal("x", run(trim, "  x"))
    assert.equal("x", run(function(s) return trim(s) end, "  x"))
    string.spec_trim = nil -- luacheck: ignore 142
  end)

  it("may stand in a C module", function()
    local lpeg <const> = require "lpeg"
    function lpeg.spec_mine(x) return x end
    learn_anew()
    assert.equal(5, run(lpeg.spec_mine, 5))
    lpeg.spec_mine = nil
  end)

  it("may be all that a mock of the module has", function()
    local mock <const> = { work = function() return "a mock" end }
    package.loaded["fixtures.named"] = mock
    learn_anew()
    assert.equal("a mock", run(mock.work))
    assert.equal("a mock", run(function() return mock.work() end))
  end)
end)

describe("a table in a module", function()
  local named <const> = require "fixtures.named"

  it("is data as it is here, whoever put it there", function()
    named.items = { 1, 2, 3 }
    for _ = 1, 2 do
      assert.equal(3, run(function(t) return #t end, named.items))
      learn_anew()
    end
    named.config.b = 2
    assert.same({ a = 1, b = 2 }, run(function(t) return t end, named.config))
    named.items, named.config.b = nil, nil
  end)

  it("is itself if it is empty or holds functions of the module", function()
    assert.is_true(run(function(null) return null == require("fixtures.named").null end, named.null))
    assert.is_true(run(function(t) return t == require "fixtures.named" end, named))
  end)
end)

describe("a function that another file made for a module", function()
  local named <const> = require "fixtures.named"

  it("is found by its name if it cannot be sent", function()
    local made <const> = named.made
    assert.equal("file", run(made))
    assert.equal("file", run(function() return made() end))
  end)

  it("is refused if the module does not have it", function()
    named.extra = require("fixtures.maker").make(io.stdout)
    learn_anew()
    local err <const> = support.failure(mp.spawn(named.extra))
    assert.matches("module 'fixtures.named' has no field 'extra' in this state", err.message, 1, true)
    named.extra = nil
  end)

  it("is refused if the module has another one there", function()
    local original <const> = named.work
    named.work = require("fixtures.maker").make(io.stdout)
    learn_anew()
    local message <const> = support.failure(mp.spawn(named.work)).message
    assert.matches("'work' of module 'fixtures.named' is another function in this state", message, 1, true)
    named.work = original
  end)
end)

describe("a C function", function()
  it("is refused with the reason if its module cannot be loaded elsewhere", function()
    package.loaded["spec.unfindable"] = { next_of = string.gmatch("", "") }
    local text <const> = support.refusal(mp.spawn, package.loaded["spec.unfindable"].next_of)
    package.loaded["spec.unfindable"] = nil
    assert.matches("(a C function) cannot be sent to a worker: module 'spec.unfindable' has it here only: ", text, 1, true)
    assert.matches("module 'spec.unfindable' not found:", text, 1, true)
    assert.matches("no field package.preload['spec.unfindable']", text, 1, true)
  end)

  it("has the name of the library that it comes from", function()
    package.loaded["spec.aliases"] = { aaa = string.rep }
    learn_anew()
    assert.equal("xx", run(string.rep, "x", 2))
    package.loaded["spec.aliases"] = nil
  end)
end)

describe("a name of more than 255 bytes", function()
  local long <const> = ("n"):rep(255)

  it("is none: a Lua function is sent as any other", function()
    local named <const> = require "fixtures.named"
    named[long .. "1"], named[long .. "2"] = function() return 1 end, function() return 2 end
    assert.equal(1, run(named[long .. "1"]))
    assert.equal(2, run(named[long .. "2"]))
    named[long .. "1"], named[long .. "2"] = nil, nil
  end)

  it("is none: keys of cached calls do not mix two of them up", function()
    local core <const> = require "makeparallel.core"
    local lpeg <const> = require "lpeg"
    lpeg[long .. "1"], lpeg[long .. "2"] = string.gmatch("", "a"), string.gmatch("", "b")
    for i = 1, 2 do
      local key, why = core.key(true, lpeg[long .. i])
      assert.is_nil(key)
      assert.matches("is in no module", why, 1, true)
    end
    lpeg[long .. "1"], lpeg[long .. "2"] = nil, nil
  end)
end)

describe("the name of a task's function", function()
  it("is reported with the loader's own words if a dependency of its module is missing", function()
    local message <const> = support.failure(mp.spawn "fixtures.needy.work").message
    assert.matches("module 'fixtures.no_such_dependency' not found:", message, 1, true)
    assert.not_matches("no function", message, 1, true)
  end)

  it("is reported with where it was looked for", function()
    local message <const> = support.failure(mp.spawn "no_such_module.work").message
    assert.matches("no function 'no_such_module.work' in any module of this worker: module 'no_such_module' not found:", message, 1, true)
    assert.matches("no file '.-no_such_module%.lua'", message)
    assert.matches("module 'fixtures.named' has no field 'nothing'", support.failure(mp.spawn "fixtures.named.nothing").message, 1, true)
  end)

  it("is looked for on the disk once", function()
    local pool <close> = mp.pool { workers = 1, setup = function()
      local searchers, n = package.searchers, 0
      table.insert(searchers, 1, function(name)
        if name:find "^fixtures%.named" then n = n + 1 end
        return nil
      end)
      searched = function() return n end -- luacheck: ignore 111
    end }
    local count <const> = mp.source "return searched()"
    assert.equal("worked", pool:spawn("fixtures.named.work"):get())
    local before <const> = pool:spawn(count):get()
    for _ = 1, 10 do assert.equal("worked", pool:spawn("fixtures.named.work"):get()) end
    assert.equal(before, pool:spawn(count):get())
  end)

  it("means what its module has when that was loaded anew", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal("worked", pool:spawn("fixtures.named.work"):get())
    pool:spawn(mp.source "package.loaded['fixtures.named'].work = function() return 'patched' end"):get()
    assert.equal("patched", pool:spawn("fixtures.named.work"):get())
    pool:spawn(mp.source "package.loaded['fixtures.named'] = nil"):get()
    assert.equal("worked", pool:spawn("fixtures.named.work"):get())
  end)
end)

-- Children, for these change what `require` finds.
describe("package.path", function()
  local function with_module(script)
    local folder <close> = support.temporary_folder {
      ["spec_late.lua"] = "return { v = function() return 'late' end, path = function() return package.path end }",
    }
    return support.run_child(([[
      local mp = require "makeparallel"
      mp.configure { workers = 2 }
      local folder = "%s"
      %s
    ]]):format(folder.path, script))
  end

  it("counts as it is at the call, also for functions that were sent before", function()
    local child <const> = with_module [[
      local task = mp.parallel(function() return require("spec_late").v() end)
      print(task():pget())
      local path = package.path
      package.path = folder .. "/?.lua;" .. path
      local late = require "spec_late"
      print(task:call(), mp.spawn("spec_late.v"):get(), mp.spawn(late.v):get(), mp.spawn(function() return late.v() end):get())
      print(mp.spawn(function() return mp.spawn("spec_late.v"):get(), mp.spawn(require, "spec_late"):get().v() end):get())
      package.path = path
      print(mp.spawn(function() return package.path end):get() == path)
      print(mp.spawn(late.v):get(), mp.spawn(function() return late.v() end):get()) -- now by value
    ]]
    assert.matches("^false\t.-module 'spec_late' not found", child.stdout)
    assert.matches("\nlate\tlate\tlate\tlate\nlate\tlate\ntrue\nlate\tlate\n$", child.stdout, 1, false, child.stderr)
  end)

  it("keeps what setup made of it in the worker", function()
    local child <const> = with_module [[
      mp.configure { workers = 1, setup = function() package.path = "/front/?.lua;" .. package.path .. ";/back/?.lua" end }
      local before = package.path
      local function path() return package.path end
      print(mp.spawn(path):get() == "/front/?.lua;" .. before .. ";/back/?.lua")
      package.path = folder .. "/?.lua;" .. before
      for _ = 1, 2 do print(mp.spawn(path):get() == "/front/?.lua;" .. package.path .. ";/back/?.lua") end
      print(mp.spawn(function() return mp.spawn(path):get() end):get() == "/front/?.lua;" .. package.path .. ";/back/?.lua")
      package.path = before
      print(mp.spawn(path):get() == "/front/?.lua;" .. before .. ";/back/?.lua")
    ]]
    assert.equal(("true\n"):rep(5), child.stdout, child.stderr)
  end)

  it("counts in a pool that is started later, or has its state for one task only", function()
    local child <const> = with_module [[
      local one <close> = mp.pool { workers = 1, isolate = "state" }
      one:spawn(type, 1):get()
      package.path = folder .. "/?.lua;" .. package.path
      local other <close> = mp.pool { workers = 1 }
      print(one:spawn("spec_late.v"):get(), one:spawn("spec_late.v"):get(), other:spawn("spec_late.v"):get())
    ]]
    assert.equal("late\tlate\tlate\n", child.stdout, child.stderr)
  end)

  it("may lose makeparallel itself, which goes on", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      mp.spawn(type, 1):get()
      package.path, package.cpath = "/nowhere/?.lua", ""
      print(#mp.map(math.abs, { -1, -2 }), mp.retry(function() return 1 end)(), mp.spawn(function() return mp.now() > 0 end):get())
      local pool <close> = mp.pool { workers = 1 }
      print(pool:spawn(function() return mp.map(math.abs, { -1 })[1] end):get())
    ]]
    assert.equal("2\t1\ttrue\n1\n", child.stdout, child.stderr)
  end)

  it("may be gone with the whole package table", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      package = nil
      print(mp.spawn(function() return #package.path > 0 end):get())
    ]]
    assert.equal("true\n", child.stdout, child.stderr)
  end)
end)

describe("package.preload", function()
  it("is there in a worker, as bundles make it", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      package.preload["spec.dep"] = load("local dep = {} function dep.g() return 'dep' end return dep", "@spec/dep.lua")
      package.preload["spec.bundled"] = function(name)
        local dep, M = require "spec.dep", { name = name }
        function M.f() return "bundled " .. dep.g() end
        return M
      end
      local bundled = require "spec.bundled"
      function bundled.added() return "added" end
      print(mp.spawn(bundled.f):get(), mp.spawn(function() return bundled.f() end):get(), mp.spawn("spec.bundled.f"):get())
      print(mp.spawn(function() return require("spec.bundled").f() end):get(), mp.spawn(require, "spec.bundled"):get() == bundled)
      print(mp.spawn(bundled.added):get())
    ]]
    assert.equal("bundled dep\tbundled dep\tbundled dep\nbundled dep\ttrue\nadded\n", child.stdout, child.stderr)
  end)

  it("counts as it is at the call", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      mp.spawn(type, 1):get()
      local value = { "shared" }
      package.preload["spec.late"] = function() return { v = function() return value[1] end } end
      package.preload["spec.c"] = string.len
      print(mp.spawn("spec.late.v"):get(), (mp.spawn(require, "spec.c"):get()))
      print(mp.spawn(function() return mp.spawn("spec.late.v"):get() end):get())
    ]]
    assert.equal("shared\t6\nshared\n", child.stdout, child.stderr)
  end)

  it("may hold what cannot be sent: its module travels by value", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      local out, named = io.stdout, nil
      package.preload["spec.stays"] = function() return { v = function() return "by value" end, out = function() return out end } end
      local stays = require "spec.stays"
      local v = stays.v
      print(mp.spawn(v):get())
      print(pcall(mp.spawn, stays.out))
      print(mp.spawn("spec.stays.v"):pget())
    ]]
    assert.matches("^by value\nfalse\t.-userdata 'FILE%*'.-\nfalse\t.-module 'spec.stays' not found", child.stdout, 1, false, child.stderr)
  end)
end)

describe("what the program makes of the package table", function()
  it("is not called when names are learnt", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      package.searchpath = function() mp.spawn(print):get() error "searchpath" end
      table.insert(package.searchers, 1, function(name) if name == "fixtures.named" then return end end)
      setmetatable(package, { __index = function() error "index" end })
      setmetatable(package.loaded, { __index = function(_, name) if name:find "^spec" then error "loaded" end end })
      local named = require "fixtures.named"
      print(mp.spawn(named.work):get(), mp.spawn(function() return named.other() end):get())
    ]]
    assert.equal("worked\tother\n", child.stdout, child.stderr)
  end)
end)
