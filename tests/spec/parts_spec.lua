_ENV = require("support").globals(_ENV)
local support <const> = require "support"

local function prints(expected, source, options)
  local child <const> = support.run_child(source, options)
  assert.equal(expected .. "\n", child.stdout .. child.stderr)
  assert.equal(0, child.code)
end

describe("a program without package and require", function()
  it("can use everything that it loaded before", function()
    prints("1\n3\n1\n4\t5\n1\n1\t2\t3\ntrue\t7\nnumber\t1\nnil\tnil", [[
      local mp = require "makeparallel"
      package = nil
      require = nil
      print(mp.map(math.abs, { -1 })[1])
      print(mp.parallel(math.abs, { retry = 2 })(-3):get())
      print(mp.run(function() mp.sleep(0.01) return 1 end))
      local pool = mp.pool { workers = 1 }
      print(pool:map(math.abs, { -4 })[1], pool:reduce(math.abs, math.max, { 1, -5 }))
      for r in pool:imap(math.abs, { -1 }) do print(r) end
      print(mp.retry_cached(math.abs)(-1), mp.memoize_fast(math.abs)(-2), mp.profiled(math.abs, "x")(-3))
      print(mp.spawn(function() return math.abs end):get() == math.abs, mp.spawn("math.abs", -7):get())
      print(mp.gather { mp.spawn(type, 1) }[1], (mp.each(1, 1, type)))
      print(rawget(_G, "package"), rawget(_G, "require"))
    ]])
  end)

  it("is told what a result by name misses", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      require = nil
      local _, err = mp.spawn(mp.source "return require 'fixtures.counter'"):pget()
      print(err.message)
    ]]
    assert.matches("cannot be rebuilt here: module 'fixtures.counter' not found: it is not loaded, and the globals have no 'require'",
      child.stdout, 1, true)
  end)
end)

describe("a part of makeparallel that is loaded late", function()
  it("is found though the program has changed package.path or its directory", function()
    local lfs <const> = pcall(require, "lfs")
    local change <const> = lfs and [[require("lfs").chdir "/"]] or ""
    prints("1\n2\n1\t1\n3", [[
      local mp = require "makeparallel"
      ]] .. change .. [[ package.path = "/elsewhere/?.lua"
      print(mp.map(math.abs, { -1 })[1])
      print(mp.spawn(function() return mp.map(math.abs, { -2 })[1] end):get())
      local pool = mp.pool { workers = 1 }
      print(pool:spawn(math.abs, -1):get(), mp.run(function() mp.sleep(0.001) return 1 end))
      print(pool:reduce(math.abs, math.max, { 1, -3 }))
    ]], { environment = "LUA_PATH='./lua/?.lua;./lua/?/init.lua'" })
  end)

  it("is known by its name, so that a program's own file in a folder called makeparallel is not taken for one", function()
    local known <const> = support.read "bindings/base/error.c"
    for path in assert(io.popen "ls lua/makeparallel/*.lua"):lines() do
      local name <const> = path:match "([%w_]+)%.lua$"
      if name ~= "meta" then assert.matches(('"%s"'):format(name), known, 1, true) end
    end
  end)

  it("says why it cannot be loaded when no descriptor is free", function()
    prints("cannot load module 'makeparallel.go': Too many open files\n1", [[
      local mp = require "makeparallel"
      local files = {}
      repeat local file = io.open "/dev/null" files[#files + 1] = file until not file
      local _, why = pcall(mp.go, print, "x")
      files = nil
      collectgarbage()
      print(why)
      print(mp.run(function() return 1 end))
    ]], { shell = "ulimit -n 40; %s >%s 2>%s" })
  end)
end)
