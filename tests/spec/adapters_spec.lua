_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local HANG <const> = support.HANG_SECONDS

-- Debian puts Copas, which is plain Lua, where only older versions of Lua look.
local function try_require(name)
  local path <const> = package.path
  local ok, module = pcall(require, name)
  if not ok then
    package.path = path .. ";/usr/share/lua/5.2/?.lua"
    ok, module = pcall(require, name)
    package.path = path
  end
  return ok and module or nil, not ok and tostring(module):match "^[^\n]*" or nil
end

-- A loop as the tests use it: spawn(fn) starts a coroutine in it, run(done) drives it until done(), start() and stop().
local function luv_loop(uv)
  local adapter <const> = require "makeparallel.luv"
  return {
    adapter = adapter,
    sleep = function(seconds)
      local co <const> = coroutine.running()
      local timer <const> = uv.new_timer()
      timer:start(math.ceil(seconds * 1000), 0, function()
        timer:close()
        assert(coroutine.resume(co))
      end)
      coroutine.yield()
    end,
    spawn = function(fn) assert(coroutine.resume(coroutine.create(fn))) end,
    run = function(done)
      local alarm <const> = uv.new_timer() -- the loop must wake to ask
      alarm:start(5, 5, function() end)
      while not done() do uv.run "once" end
      alarm:close()
      uv.run "nowait"
    end,
    attach = adapter.attach,
  }
end

local function cqueues_loop(cqueues)
  local adapter <const> = require "makeparallel.cqueues"
  local cq <const> = cqueues.new()
  return {
    adapter = adapter,
    sleep = cqueues.sleep,
    spawn = function(fn) cq:wrap(fn) end,
    run = function(done)
      while not done() do
        local ok, err = cq:step(0.005)
        if not ok then error(err, 0) end
      end
      cq:step(0)
    end,
    attach = function() adapter.attach(cq) end,
  }
end

local function copas_loop(copas)
  local adapter <const> = require "makeparallel.copas"
  local pause <const> = copas.pause or copas.sleep
  return {
    adapter = adapter,
    -- Copas 1 cannot sleep: it waits for something that is readable at once, so that the loop goes round
    sleep = pause or function()
      local asked = false
      copas.receive({
        getfd = function() return 0 end,
        close = function() end,
        dirty = function() return true end,
        receive = function()
          asked = not asked
          if asked then return nil, "timeout" end
          return true
        end,
      }, 1)
    end,
    spawn = function(fn) copas.addthread(fn) end,
    run = function(done)
      while not done() do copas.step(0.005) end
      copas.step(0)
    end,
    attach = adapter.attach,
    has_timers = pause ~= nil,
  }
end

for name, make in pairs { luv = luv_loop, cqueues = cqueues_loop, copas = copas_loop } do
  describe("makeparallel." .. name, function()
    local library, missing = try_require(name)
    if not library then
      it("drives makeparallel", function() pending(missing) end)
      return
    end
    local loop <const> = make(library)
    local has_timers <const> = loop.has_timers ~= false
    local adapter <const> = loop.adapter

    after_each(adapter.detach)

    it("delivers callbacks while it is attached", function()
      loop.attach()
      loop.attach()
      local calls, record = support.recorder()
      for i = 1, 5 do mp.parallel(math.abs, { on_complete = record })(-i) end
      loop.run(function() return calls.n == 5 end)
      adapter.detach()
      adapter.detach()
      mp.parallel(math.abs, { on_complete = record })(-6)
      local until_when <const> = mp.now() + 0.05
      loop.run(function() return mp.now() > until_when end)
      assert.equal(5, calls.n)
      mp.run()
      assert.equal(6, calls.n)
    end)

    it("delivers at once what was there before", function()
      local calls, record = support.recorder()
      mp.spawn(math.abs, -1):on_complete(record):wait()
      loop.attach()
      loop.run(function() return calls.n == 1 end)
    end)

    if name == "luv" then
      it("uses a timer again that has fired or is not needed", function()
        local function count()
          local n = 0
          library.walk(function() n = n + 1 end)
          return n
        end
        local before <const>, done = count(), false
        loop.spawn(function()
          for i = 1, 50 do adapter.await(mp.spawn(math.abs, -i), HANG) end
          done = true
        end)
        loop.run(function() return done end)
        assert.is_true(count() - before < 10)
      end)
    end

    it("awaits a handle in a coroutine while the others go on", function()
      local ticks, got = 0, nil
      loop.spawn(function()
        while not got do
          loop.sleep(0.002)
          ticks = ticks + 1
        end
      end)
      loop.spawn(function()
        got = table.pack(adapter.await(mp.spawn(function()
          mp.sleep(0.1)
          return 1, nil, "x"
        end)))
      end)
      loop.run(function() return got end)
      assert.same({ 1, nil, "x", n = 3 }, got)
      assert.is_true(ticks >= 5, ticks)
    end)

    it("gives a result that is there, and awaits one after the other, many at once", function()
      local sum, ended = 0, 0
      for i = 1, 20 do
        loop.spawn(function()
          for j = 1, 5 do
            local value <const> = adapter.await(mp.spawn(math.abs, -i * j))
            sum = sum + value
          end
          ended = ended + 1
        end)
      end
      loop.run(function() return ended == 20 end)
      assert.equal(210 * 15, sum)
    end)

    it("raises a task's error in the coroutine", function()
      local caught
      loop.spawn(function() caught = table.pack(pcall(adapter.await, mp.spawn(function()
        mp.sleep(0.01)
        error("there", 0)
      end))) end)
      loop.run(function() return caught end)
      assert.is_false(caught[1])
      assert.equal("there", caught[2].message)
    end)

    it("awaits handles of other pools, attached or not", function()
      local pool <close> = mp.pool { workers = 1 }
      loop.attach()
      local got
      loop.spawn(function() got = adapter.await(pool:spawn(function()
        mp.sleep(0.02)
        return 8
      end)) end)
      local started <const> = mp.now()
      loop.run(function() return got end)
      assert.equal(8, got)
      assert.is_true(mp.now() - started < HANG / 2)
    end)

    it("gives up after a timeout where the loop has timers, else says that it has none", function()
      local caught
      local h <const> = support.sleeper()
      loop.spawn(function() caught = table.pack(pcall(adapter.await, h, 0.02)) end)
      loop.run(function() return caught end)
      assert.is_false(caught[1])
      if has_timers then
        assert.equal("timeout", caught[2].kind)
        assert.equal("running", h:status())
      else
        assert.matches("this loop has no timers", caught[2], 1, true)
      end
      h:cancel()
    end)

    it("runs coroutines of mp.go, which may await here too", function()
      loop.attach()
      local got
      local r <const> = mp.go(function()
        if has_timers then mp.sleep(0.02) end
        local a <const> = adapter.await(mp.spawn(mp.sleep, 0.01))
        got = { a, mp.spawn(math.abs, -3):await(), adapter.await(mp.spawn(math.abs, -4)) }
      end)
      loop.run(function() return r:is_ready() end)
      r:get()
      assert.same({ nil, 3, 4 }, got)
    end)

    it("refuses what is no handle and no timeout, and to wait outside of a coroutine", function()
      local refused
      loop.spawn(function()
        refused = {
          (support.refusal(adapter.await, 5)), (support.refusal(adapter.await, mp.spawn(math.abs, 1), -1)),
        }
      end)
      loop.run(function() return refused end)
      assert.equal("bad argument #1 to 'await' (handle expected, got number)", refused[1])
      assert.matches("^timeout must be a finite number", refused[2])
    end)

    if has_timers then
      it("wakes sleepers when it was detached before their timer, and attached again", function()
        loop.attach()
        local slept
        mp.go(function()
          mp.sleep(0.05)
          slept = true
        end)
        adapter.detach()
        local until_when <const> = mp.now() + 0.1
        loop.run(function() return mp.now() > until_when end)
        loop.attach()
        local other <const> = mp.go(function() mp.sleep(0.05) end)
        loop.run(function() return slept and other:is_ready() end)
      end)
    end

    it("may be attached again after another pool took the default one's place", function()
      loop.attach()
      adapter.detach()
      loop.run(function() return true end)
      mp.configure { workers = 2 }
      loop.attach()
      local calls, record = support.recorder()
      mp.spawn(math.abs, -1):on_complete(record)
      loop.run(function() return calls.n == 1 end)
    end)
  end)
end

describe("an error that nobody awaited, of a coroutine of mp.go", function()
  local SOURCE <const> = [[
    local mp = require "makeparallel"
    package.path = package.path .. ";/usr/share/lua/5.2/?.lua"
    local function fail() mp.spawn(mp.sleep, 0.01):await() error("nobody's", 0) end
  ]]
  local RUN <const> = {
    luv = [[
      local uv = require "luv"
      require("makeparallel.luv").attach()
      mp.go(fail)
      uv.run()
    ]],
    cqueues = [[
      local cq = require "cqueues".new()
      require("makeparallel.cqueues").attach(cq)
      mp.go(fail)
      local ok, err = cq:loop()
      if not ok then error(err, 0) end
    ]],
    copas = [[
      local copas = require "copas"
      require("makeparallel.copas").attach()
      mp.go(fail)
      local deadline = mp.now() + 0.5
      while mp.now() < deadline do copas.step(0.01) end
    ]],
  }
  for name, run in pairs(RUN) do
    it("is reported by " .. name .. " as its own are", function()
      local library, missing = try_require(name)
      if not library then return pending(missing) end
      local child <const> = support.run_child(SOURCE .. run)
      assert.not_equal(124, child.code)
      assert.matches("nobody's", child.stderr .. child.stdout, 1, true)
    end)
  end
end)
