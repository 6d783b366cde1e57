-- Promise 24: when a wait returns, its callbacks have run; progress that was reported before is told once.
_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local ROUNDS <const> = support.scaled(3000)

local function nothing() end
local function fail() error("no", 0) end

describe("promise 24: when a wait returns from an ended task", function()
  local waits <const> = {
    get = function(h) return h:get() end,
    pget = function(h) return h:pget() end,
    wait = function(h) return h:wait() end,
    ["wait with a timeout"] = function(h) return h:wait(support.HANG_SECONDS) end,
    gather = function(h) return mp.gather { h } end,
    wait_any = function(h) return mp.wait_any { h } end,
    wait_all = function(h) return mp.wait_all { h } end,
    as_completed = function(h)
      local next_handle <const> = mp.as_completed { h }
      return next_handle()
    end,
  }
  for name, wait in pairs(waits) do
    it(name .. " has called what was registered", function()
      local missed = 0
      for i = 1, ROUNDS do
        local called = 0
        local function note() called = called + 1 end
        local h <const> = mp.spawn(i % 2 == 0 and nothing or fail)
        h:on_complete(note):on_error(note)
        pcall(wait, h)
        if called ~= 1 then missed = missed + 1 end
      end
      assert.equal(0, missed)
    end)
  end

  it("a callback may wait for the handle that it is called for", function()
    local seen
    local h <const> = mp.spawn(function() return 7 end)
    h:on_complete(function() seen = h:get() + select(2, h:pget()) + (h:wait() and 1 or 0) end)
    h:get()
    assert.equal(15, seen)
  end)

  it("inside a task, too", function()
    assert.equal(0, mp.spawn(function(n)
      local mp <const> = require "makeparallel" -- luacheck: ignore
      local missed = 0
      for _ = 1, n do
        local called = false
        local h <const> = mp.spawn(function() end)
        h:on_complete(function() called = true end)
        h:get()
        if not called then missed = missed + 1 end
      end
      return missed
    end, ROUNDS // 3):get())
  end)

  it("on_progress that is given late receives the latest value once, before the end", function()
    local h <const> = mp.spawn(function()
      local mp <const> = require "makeparallel" -- luacheck: ignore
      mp.report_progress(0.25)
      mp.report_progress(0.75)
      while not mp.cancelled() do mp.sleep(0.001) end
    end)
    support.wait_until(function() return h:progress() == 0.75 end)
    local seen <const> = {}
    h:on_progress(function(p) seen[#seen + 1] = p end)
    h:on_progress(function(p) seen[#seen + 1] = -p end)
    support.wait_until(function()
      mp.poll()
      return #seen == 2
    end)
    assert.same({ 0.75, -0.75 }, seen)
    h:cancel()
    h:wait()
    local log <const> = {}
    h:on_progress(function(p) log[#log + 1] = p end):on_error(function(err) log[#log + 1] = err.kind end)
    h:wait()
    assert.same({ 0.75, "cancelled" }, log)
    mp.poll()
    assert.equal(2, #seen)
  end)
end)
