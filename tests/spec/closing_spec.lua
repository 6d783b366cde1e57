_ENV = require("support").globals(_ENV)
local support <const> = require "support"

local SOON <const> = support.sanitized and 40 or 20 -- seconds; what hangs takes support.HANG_SECONDS

local STUCK <const> = { environment = "ASAN_OPTIONS=detect_leaks=0" } -- LeakSanitizer is not made for threads that still run

local function assert_ends(source, options)
  local child <const> = support.run_child('local mp = require "makeparallel"\n' .. source, options)
  assert.equal("", child.stderr)
  assert.equal(options and options.code or 0, child.code)
  assert.is_true(child.seconds < SOON)
  return child
end

describe("a program that ends", function()
  it("with nothing ever submitted just ends", function() assert_ends "" end)

  it("with tasks queued and sleeping ends at once", function()
    local child <const> = assert_ends [[
      for i = 1, 100 do mp.spawn(mp.sleep, 1000) end
      io.write "ended"
    ]]
    assert.equal("ended", child.stdout)
  end)

  it("with a task that watches mp.cancelled ends when it stops", function()
    assert_ends [[
      local h = mp.spawn(function() while not mp.cancelled() do end end)
      while h:status() ~= "running" do end
    ]]
  end)

  it("with a task that runs on ends within seconds", function()
    assert_ends([[
      local h = mp.spawn(function() local t = mp.now() + 3 while mp.now() < t do end end)
      while h:status() ~= "running" do end
    ]], STUCK)
  end)

  it("with tasks waiting in tasks ends", function()
    assert_ends [[
      local function deeper(n) if n == 0 then mp.sleep(1000) end return mp.spawn(deeper, n - 1):get() end
      for i = 1, 3 do mp.spawn(deeper, 20) end
      mp.sleep(0.05)
    ]]
  end)

  it("with a chain of thousands waiting ends", function()
    assert_ends [[
      local h = mp.spawn(mp.sleep, 1000)
      for i = 1, 10000 do h = mp.spawn(math.abs, h) end
    ]]
  end)

  it("with callbacks outstanding does not call them any more", function()
    local child <const> = assert_ends [[
      local h = mp.spawn(math.abs, 1)
      while not h:is_ready() do end
      h:on_complete(function() print "called" end)
      mp.spawn(mp.sleep, 1000):on_error(function() print "called" end)
    ]]
    assert.equal("", child.stdout)
  end)

  it("with several pools and handles in globals, upvalues and the registry ends", function()
    assert_ends [=[
      pools, handles = {}, {}
      for i = 1, 4 do
        pools[i] = mp.pool { workers = 2 }
        handles[i] = pools[i]:spawn(mp.sleep, 1000)
        debug.getregistry()[pools[i]] = handles[i]
      end
      setmetatable({}, { __gc = function() return handles[1]:status(), tostring(pools[1]) end })
    ]=]
  end)

  it("by os.exit with closing of the state ends", function()
    assert_ends([[
      for i = 1, 10 do mp.spawn(mp.sleep, 1000) end
      os.exit(7, true)
    ]], { code = 7 })
  end)

  it("by os.exit without closing ends", function()
    assert_ends([[
      for i = 1, 10 do mp.spawn(mp.sleep, 1000) end
      os.exit(7)
    ]], { code = 7, environment = STUCK.environment })
  end)

  it("by an error has the error's code and text alone", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      for i = 1, 10 do mp.spawn(mp.sleep, 1000) end
      error("the program's own error", 0)
    ]]
    assert.equal(1, child.code)
    assert.matches("the program's own error", child.stderr, 1, true)
    assert.is_true(child.seconds < SOON)
  end)

  it("by an uncaught error of a task shows its message and traceback", function()
    local child <const> = support.run_child [[
      require("makeparallel").spawn(function() error "deep inside" end):get()
    ]]
    assert.equal(1, child.code)
    assert.matches("deep inside", child.stderr, 1, true)
    assert.matches("worker stack traceback", child.stderr, 1, true)
  end)

  it("after a shutdown with a stuck task ends when that returns, or before", function()
    local child <const> = assert_ends([[
      local h = mp.spawn(os.execute, "sleep 2")
      while h:status() ~= "running" do end
      io.write(mp.shutdown { timeout = 0.01 }.stuck)
    ]], STUCK)
    assert.equal("1", child.stdout)
  end)

  it("while workers make their states, load modules and print ends", function()
    assert_ends([[
      for i = 1, 50 do mp.spawn(function() require "fixtures.slow" print "x" end) end
    ]])
  end)

  it("in finalizers that submit and wait is told that the pool is shut down, or gets its answer", function()
    assert_ends [[
      mp.spawn(math.abs, 1):get()
      setmetatable({}, { __gc = function()
        local ok, err = pcall(function() return mp.spawn(math.abs, -1):get() end)
        assert(ok or tostring(err):find("shut down", 1, true) or tostring(err):find("__gc", 1, true), err)
      end })
    ]]
  end)

  it("again and again leaves nothing hanging", function()
    for _ = 1, support.scaled(10) do
      assert_ends [[
        math.randomseed(os.time())
        mp.configure { log = false } -- some fail, and nobody looks
        for i = 1, math.random(200) do mp.spawn(i % 3 == 0 and error or math.abs, i) end
      ]]
    end
  end)
end)
