_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("await", function()
  it("yields in a coroutine, which goes on when the task is done", function()
    local got
    local co <const> = coroutine.create(function() got = table.pack(mp.spawn(function() return 1, nil, "x" end):await()) end)
    assert.is_true(coroutine.resume(co))
    support.wait_until(function() return got ~= nil end)
    assert.same({ 1, nil, "x", n = 3 }, got)
    assert.equal("dead", coroutine.status(co))
  end)

  it("waits outside of coroutines", function()
    assert.equal(3, mp.spawn(math.abs, -3):await())
    assert.has_error(function() mp.spawn(error, "x"):await() end)
  end)

  it("gives the values of a task that is done without a yield", function()
    local h <const> = mp.spawn(math.abs, -3)
    h:wait()
    local co <const> = coroutine.create(function() return h:await() end)
    assert.same({ true, 3 }, { coroutine.resume(co) })
    assert.equal("dead", coroutine.status(co))
  end)

  it("raises the task's error in the coroutine, which may catch it", function()
    local caught
    coroutine.wrap(function() caught = table.pack(pcall(function() return mp.spawn(error, "boom"):await() end)) end)()
    mp.run()
    assert.is_false(caught[1])
    assert.equal("boom", caught[2].message)
  end)

  it("counts an error that leaves the coroutine as one of a callback", function()
    local before <const> = mp.get_thread_pool_info().callback_errors
    local h <const> = support.sleeper()
    coroutine.wrap(function() h:await() end)()
    h:cancel(support.HANG_SECONDS)
    mp.run()
    assert.equal(before + 1, mp.get_thread_pool_info().callback_errors)
  end)

  it("works many at a time, one after the other in each", function()
    local sums <const> = {}
    local n <const> = support.scaled(100)
    for i = 1, n do
      coroutine.wrap(function()
        local sum = 0
        for j = 1, 10 do sum = sum + mp.spawn(math.abs, -j):await() end
        sums[i] = sum
      end)()
    end
    mp.run()
    for i = 1, n do assert.equal(55, sums[i]) end
  end)

  it("works in nested coroutines and with pcall, metamethods and iterators on the way", function()
    local log <const> = {}
    local sleeper <const> = support.sleeper()
    local object <const> = setmetatable({}, { __index = function(_, key) return mp.spawn(string.upper, key):await() end })
    coroutine.wrap(function()
      log[#log + 1] = object.abc
      log[#log + 1] = select(2, pcall(function() return object.def end))
      local inner <const> = coroutine.create(function() return sleeper:await() end)
      coroutine.resume(inner)
      log[#log + 1] = coroutine.status(inner)
      sleeper:cancel()
    end)()
    mp.run()
    assert.same({ "ABC", "DEF", "suspended" }, log)
  end)

  it("goes on waiting when somebody else resumes the coroutine too early", function()
    local h <const> = support.sleeper()
    local done
    local co <const> = coroutine.create(function() done = select(2, h:wait(0), pcall(h.await, h)) end)
    coroutine.resume(co)
    coroutine.resume(co)
    coroutine.resume(co)
    assert.equal("suspended", coroutine.status(co))
    h:cancel()
    mp.run()
    assert.equal("dead", coroutine.status(co))
    assert.is_false(done)
  end)

  it("survives a coroutine that was closed or collected meanwhile", function()
    local closed <const> = coroutine.create(function() support.sleeper():await() end)
    local h <const> = mp.spawn(mp.sleep, 0.01)
    local co = coroutine.create(function() h:await() end)
    coroutine.resume(co)
    coroutine.close(co)
    co = nil
    collectgarbage()
    mp.run()
    assert.is_true(h:wait())
    assert.is_nil(co)
    assert.equal("suspended", coroutine.status(closed))
  end)

  it("works inside a task", function()
    assert.equal(5, mp.spawn(function()
      local got
      coroutine.wrap(function() got = mp.spawn(math.abs, -5):await() end)()
      mp.run()
      return got
    end):get())
  end)

  it("may be used on one handle by several coroutines", function()
    local h <const> = mp.spawn(mp.sleep, 0.01)
    local n = 0
    for _ = 1, 5 do
      coroutine.wrap(function()
        h:await()
        n = n + 1
      end)()
    end
    mp.run()
    assert.equal(5, n)
  end)
end)
