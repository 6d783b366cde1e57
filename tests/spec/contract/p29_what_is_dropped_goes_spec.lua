_ENV = require("support").globals(_ENV)
local support <const> = require "support"

-- Runs the body in a process of its own; returns the most memory in MiB, and the most threads, that `look()` has seen.
local function peaks(body)
  local child <const> = support.run_child(([[
    local mp = require "makeparallel"
    local memory, threads = 0, 0
    local function look()
      local status = io.open("/proc/self/status"):read "a"
      memory = math.max(memory, status:match "VmRSS:%%s*(%%d+)" // 1024 | 0)
      threads = math.max(threads, status:match "Threads:%%s*(%%d+)" // 1 | 0)
    end
    %s
    print(memory, threads)
  ]]):format(body))
  assert.equal(0, child.code, child.stderr)
  local memory <const>, threads <const> = child.stdout:match "(%d+)%s+(%d+)"
  return math.tointeger(memory), math.tointeger(threads)
end

if support.sanitized then return end -- freed memory is held back there

describe("promise 29: what is dropped goes", function()
  it("results of 4 MB that never pass through this state", function()
    assert.is_true(peaks [[
      local load = mp.parallel(function() return ("some text "):rep(400000) end)
      local count = mp.parallel(function(text) return #text end)
      for i = 1, 200 do
        assert(count(load(i)):get() == 4000000)
        look()
      end
    ]] <= 100)
  end)

  it("results that nobody asked for", function()
    assert.is_true(peaks [[
      local load = mp.parallel(function() return ("some text "):rep(400000) end)
      for i = 1, 200 do
        load():wait()
        look()
      end
    ]] <= 100)
  end)

  it("arguments of 4 MB whose tasks are over", function()
    assert.is_true(peaks [[
      local text = ("some text "):rep(400000)
      local take = mp.parallel(function(t) return #t end)
      for i = 1, 200 do
        take(text):wait()
        look()
      end
    ]] <= 100)
  end)

  it("arguments of queued tasks that were cancelled", function()
    assert.is_true(peaks [[
      mp.configure { workers = 1 }
      local text = ("some text "):rep(400000)
      local first = mp.spawn(function() while true do end end)
      local kept = {}
      for i = 1, 200 do
        kept[i] = mp.spawn(function(t) return #t end, text)
        kept[i]:cancel()
        look()
      end
      first:cancel()
    ]] <= 100)
  end)

  it("pools, with their threads", function()
    local _, threads <const> = peaks [[
      for i = 1, 300 do
        local pool = mp.pool { workers = 4 }
        if i % 10 == 0 then pool:spawn(type, i):get() end
        look()
      end
    ]]
    assert.is_true(threads < 200)
  end)
end)
