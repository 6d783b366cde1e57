_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local QUIET <const> = [[
  local mp = require "makeparallel"
  for i = 1, 20 do mp.spawn(math.abs, i):get() end
  mp.spawn(error, "x"):pget()
  mp.parallel(mp.sleep, { timeout = 0.01 })(60):pget()
  mp.map(math.abs, { 1, 2, 3 }, { progress = true })
  mp.gather({ mp.spawn(math.abs, 1) })
  do local pool <close> = mp.pool { workers = 1 } pool:spawn(math.abs, 1):get() end
]]
local BUSY <const> = QUIET .. [[
  mp.spawn(math.abs, 1):on_complete(function() error "in a callback" end)
  mp.run()
  mp.shutdown()
]]

describe("the library", function()
  it("writes nothing to stdout or stderr by itself while nothing fails unseen", function()
    local child <const> = support.run_child(QUIET .. "mp.run() mp.shutdown()")
    assert.same({ 0, "", "" }, { child.code, child.stdout, child.stderr })
  end)

  it("writes nothing when the environment says off", function()
    local child <const> = support.run_child(BUSY, { environment = "MAKEPARALLEL_LOG=off" })
    assert.same({ 0, "", "" }, { child.code, child.stdout, child.stderr })
  end)

  it("writes lines to stderr as MAKEPARALLEL_LOG says", function()
    for _, level in ipairs { "debug", "trace", "makeparallel=debug", "pool=trace,makeparallel=debug" } do
      local child <const> = support.run_child(BUSY, { environment = "MAKEPARALLEL_LOG=" .. level })
      assert.equal(0, child.code)
      assert.equal("", child.stdout)
      assert.is_true(#child.stderr > 0, level)
      for line in child.stderr:gmatch "([^\n]*)\n" do
        assert.matches("^makeparallel: %l+: %l+: .", line)
      end
    end
  end)

  it("writes errors of callbacks at level error, which is the default, and nothing else there", function()
    for _, environment in ipairs { "", "MAKEPARALLEL_LOG=error" } do
      local child <const> = support.run_child(BUSY, { environment = environment })
      assert.matches("^makeparallel: error: callback: error in a callback of task #%d+: [^\n]*in a callback\n$", child.stderr)
    end
  end)

  it("writes only the areas asked for", function()
    local child <const> = support.run_child(BUSY, { environment = "MAKEPARALLEL_LOG=callback=error" })
    for area in child.stderr:gmatch "makeparallel: %l+: (%l+): " do assert.equal("callback", area) end
    assert.matches("callback", child.stderr, 1, true)
  end)

  it("warns of a MAKEPARALLEL_LOG that means nothing, where warnings are on", function()
    local child <const> = support.run_child(QUIET, { environment = "MAKEPARALLEL_LOG=loud" })
    assert.equal("", child.stderr)
    local warned <const> = support.run_child(QUIET, { environment = "MAKEPARALLEL_LOG=loud", flags = "-W" })
    assert.matches("MAKEPARALLEL_LOG is neither a level nor area=level,...", warned.stderr, 1, true)
    assert.equal(0, warned.code)
  end)
end)

describe("the option log", function()
  it("may be a level or areas", function()
    for _, log in ipairs { "off", "error", "warn", "info", "debug", "trace", "pool=off", "makeparallel=off,callback=off" } do
      if not (log == "debug" or log == "trace" or log == "info" or log == "warn" or log == "error") then
        local pool <close> = mp.pool { workers = 1, log = log }
        assert.equal(1, pool:spawn(math.abs, 1):get())
      end
    end
    do
      local pool <close> = mp.pool { workers = 1, log = false }
      assert.equal(1, pool:spawn(math.abs, 1):get())
    end
    for _, wrong in ipairs { 42, true, "loud", "pool=", "=debug", "pool=debug,", ",", "", ("x"):rep(100) .. "=debug" } do
      assert.matches("^log must be a function, false, a level", (support.refusal(mp.pool, { workers = 1, log = wrong })))
    end
  end)

  it("may be a function, called with level, area and line on this state while it polls", function()
    local calls, record = support.recorder()
    local pool <close> = mp.pool { workers = 1, log = record }
    pool:spawn(math.abs, 1):on_complete(function() error "logged" end)
    mp.run()
    pool:shutdown()
    mp.poll()
    assert.is_true(calls.n > 0)
    local lines <const> = {} -- the error and, line by line, its traceback
    for _, call in ipairs(calls) do
      assert.equal(3, call.n)
      for i = 1, 3 do assert.equal("string", type(call[i])) end
      assert.is_nil(call[3]:find "\n")
      if call[2] == "callback" then
        assert.equal(#lines == 0 and "error" or "debug", call[1])
        lines[#lines + 1] = call[3]
      end
    end
    assert.matches("logged", lines[1], 1, true)
    assert.matches("stack traceback", table.concat(lines, "\n"), 1, true)
  end)

  it("may raise, which disturbs nothing", function()
    local pool <close> = mp.pool { workers = 1, log = function() error "in the sink" end }
    assert.equal(1, pool:spawn(math.abs, 1):get())
    mp.run()
    pool:shutdown()
    mp.poll()
  end)

  it("may use the pool it tells of", function()
    local pool
    local answers = 0
    pool = mp.pool { workers = 1, log = function() if answers < 3 then answers = answers + pool:spawn(math.abs, -1):get() end end }
    pool:spawn(math.abs, 1):on_complete(function() error "logged" end)
    mp.run()
    assert.is_true(answers > 0)
    pool:shutdown()
  end)
end)
