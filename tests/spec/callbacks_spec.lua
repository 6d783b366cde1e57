_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local recorder <const> = support.recorder

local function failing() error("boom", 0) end

local function callback_errors() return mp.get_thread_pool_info().callback_errors end

describe("on_complete", function()
  it("is called once with what the task returned", function()
    local calls, record = recorder()
    local h <const> = mp.spawn(function() return 1, nil, "x", nil end):on_complete(record)
    h:get()
    mp.run()
    assert.equal(1, calls.n)
    assert.same({ 1, nil, "x", nil, n = 4 }, calls[1])
  end)

  it("is called when registered after the end, but not at once", function()
    local h <const> = mp.spawn(math.abs, -1)
    h:get()
    local calls, record = recorder()
    h:on_complete(record)
    assert.equal(0, calls.n)
    mp.run()
    assert.equal(1, calls.n)
    mp.run()
    assert.equal(1, calls.n)
  end)

  it("is called whether or not anybody keeps the handle or calls get", function()
    local calls, record = recorder()
    for i = 1, 50 do
      mp.spawn(math.abs, -i):on_complete(record)
    end
    collectgarbage()
    collectgarbage()
    mp.run()
    assert.equal(50, calls.n)
  end)

  it("is not called for a task that failed", function()
    local calls, record = recorder()
    mp.spawn(failing):on_complete(record)
    mp.run()
    assert.equal(0, calls.n)
  end)

  it("calls several in the order they were registered in", function()
    local order <const> = {}
    local h <const> = mp.parallel(math.abs, { on_complete = function() order[#order + 1] = 0 end })(1)
    for i = 1, 5 do
      h:on_complete(function() order[#order + 1] = i end)
    end
    mp.run()
    assert.same({ 0, 1, 2, 3, 4, 5 }, order)
  end)

  it("runs only while this state polls or waits", function()
    local calls, record = recorder()
    local h <const> = mp.spawn(math.abs, 1):on_complete(record)
    local started <const> = mp.now()
    while not h:is_ready() and mp.now() - started < support.HANG_SECONDS do end
    assert.equal(0, calls.n)
    for _ = 1, 1000 do
      h:status()
      h:try_get()
    end
    assert.equal(0, calls.n)
    mp.run()
    assert.equal(1, calls.n)
  end)

  for name, wait in pairs {
    get = function(h) h:get() end,
    pget = function(h) h:pget() end,
    wait = function(h) h:wait() end,
    gather = function(h) mp.gather { h } end,
    wait_all = function(h) mp.wait_all { h } end,
    wait_any = function(h) mp.wait_any { h } end,
    as_completed = function(h) for _ in mp.as_completed { h } do end end,
    map = function() mp.map(math.abs, { 1, 2, 3 }) end,
    sleep = function() mp.sleep(0.01) end,
    poll = function() mp.poll() end,
  } do
    it(("runs inside %s"):format(name), function()
      local calls, record = recorder()
      local first <const> = mp.spawn(math.abs, 1):on_complete(record)
      support.wait_until(function() return first:is_ready() and calls.n > 0 or mp.poll() > 0 end)
      local early <const> = mp.spawn(math.abs, 1)
      while not early:is_ready() do end
      early:on_complete(record)
      local before <const> = calls.n
      support.wait_until(function()
        wait(mp.spawn(mp.sleep, 0.001))
        return calls.n > before
      end)
      assert.equal(before + 1, calls.n)
    end)
  end
end)

describe("on_error", function()
  it("is called once with the error object, whatever the kind", function()
    local calls, record = recorder()
    local pool <close> = mp.pool { workers = 1 }
    local task <const> = pool:parallel(failing, { on_error = record })
    task():wait()
    local blocker <const> = support.sleeper(pool)
    local cancelled <const> = task()
    cancelled:cancel()
    task:with { timeout = 0.01 } ():wait()
    task:with { after = cancelled } ():wait()
    blocker:cancel()
    mp.run()
    local kinds <const> = {}
    for i, call in ipairs(calls) do kinds[i] = call[1].kind end
    table.sort(kinds)
    assert.same({ "cancelled", "dependency", "error", "timeout" }, kinds)
  end)

  it("is not called for a task that is done", function()
    local calls, record = recorder()
    mp.spawn(math.abs, 1):on_error(record)
    mp.run()
    assert.equal(0, calls.n)
  end)
end)

describe("on_progress", function()
  local EXPECTED <const> = { { 0.2 }, { 0.4 }, { 0.6 }, { 0.8 }, { 1.0, "last" }, { "end" } }

  local function reporting(_, n)
    for i = 1, n do mp.report_progress(i / n, i == n and "last" or nil) end
    return "end"
  end

  it("is called in order, before the end, with the note", function()
    local events <const> = {}
    local function record(...) events[#events + 1] = { ... } end
    local a_while <const> = mp.spawn(mp.sleep, support.sanitized and 1 or 0.05)
    local h <const> = mp.spawn(reporting, a_while, 5):on_progress(record):on_complete(record)
    h:get()
    mp.run()
    assert.same(EXPECTED, events)
    assert.equal(1.0, h:progress())
  end)

  it("given as an option misses nothing, however early the task reports", function()
    for _ = 1, support.scaled(100) do
      local events <const> = {}
      local function record(...) events[#events + 1] = { ... } end
      mp.parallel(reporting, { on_progress = record, on_complete = record })(nil, 5)
      mp.run()
      assert.same(EXPECTED, events)
    end
  end)

  it("is chainable, and only once told of each even with several functions", function()
    local calls, record = recorder()
    local h <const> = mp.parallel(function()
      while mp.current():progress() < 1 do mp.report_progress(1) end
    end, { on_progress = record })()
    assert.equal(h, h:on_progress(record):on_complete(record):on_error(record))
    mp.run()
    assert.is_true(calls.n >= 1 and calls.n <= 3)
  end)

  it("is called once with the last value when registered at the end", function()
    local calls, record = recorder()
    local h <const> = mp.spawn(mp.report_progress, 0.5)
    h:wait()
    h:on_progress(record)
    mp.run()
    assert.same({ { 0.5, n = 1 }, n = 1 }, calls)
    assert.equal(0.5, h:progress())
  end)

  it("is counted, not waited for, when nobody polls", function()
    local pool <close> = mp.pool { workers = 1 }
    local calls, record = recorder()
    local n <const> = 70000
    local h <const> = pool:parallel(function(times)
      for i = 1, times do mp.report_progress(i / times) end
      return true
    end, { on_progress = record })(n)
    support.wait_until(function() return pool:info().finished == 1 or mp.poll(0) < 0 end)
    assert.is_true(h:get())
    mp.run()
    assert.equal(n, calls.n + pool:info().messages_dropped)
  end)
end)

describe("an error in a callback", function()
  it("is counted, and stops neither the later ones nor the caller", function()
    local calls, record = recorder()
    local before <const> = callback_errors()
    local h <const> = mp.spawn(math.abs, -1)
    h:on_complete(failing):on_complete(record):on_complete(function() error {} end):on_complete(record)
    h:on_complete(function() error(nil) end)
    assert.equal(1, h:get())
    mp.run()
    assert.equal(2, calls.n)
    assert.equal(before + 3, callback_errors())
  end)

  it("may come from a progress or an error callback too", function()
    local before <const> = callback_errors()
    local h <const> = mp.parallel(function()
      mp.report_progress(0.5)
      error "x"
    end, { on_progress = failing, on_error = failing })()
    h:wait()
    mp.run()
    assert.equal(before + 2, callback_errors())
  end)

  it("may have a __tostring that raises, or be deep in recursion", function()
    local before <const> = callback_errors()
    local h <const> = mp.spawn(math.abs, 1)
    h:on_complete(function() error(setmetatable({}, { __tostring = failing })) end)
    local function forever() return 1 + forever() end
    h:on_complete(forever)
    mp.run()
    assert.equal(before + 2, callback_errors())
    assert.equal(1, mp.spawn(math.abs, 1):get())
  end)
end)

describe("a callback", function()
  it("may register another on its own handle, which is called as well", function()
    local order <const> = {}
    local h <const> = mp.spawn(math.abs, 1)
    h:on_complete(function()
      order[#order + 1] = "outer"
      h:on_complete(function()
        order[#order + 1] = "inner"
        h:on_complete(function() order[#order + 1] = "innermost" end)
      end)
    end)
    mp.run()
    assert.same({ "outer", "inner", "innermost" }, order)
  end)

  local matrix <const> = {
    ["get its own result"] = function(h) return h:get() == 5 end,
    ["get another's result"] = function() return mp.spawn(math.abs, -7):get() == 7 end,
    ["wait for one that still runs"] = function() return mp.spawn(mp.sleep, 0.01):wait() end,
    ["cancel its own task"] = function(h) return h:cancel() == false end,
    ["cancel another"] = function() return support.sleeper():cancel(support.HANG_SECONDS) end,
    ["poll"] = function() return mp.poll() >= 0 end,
    ["run"] = function() return mp.run() >= 0 end,
    ["map"] = function() return mp.map(math.abs, { -1, -2 })[2] == 2 end,
    ["gather"] = function() return mp.gather({ mp.spawn(math.abs, -3) })[1] == 3 end,
    ["sleep"] = function()
      mp.sleep(0.001)
      return true
    end,
    ["make and close a pool"] = function()
      local pool <close> = mp.pool { workers = 1 }
      return pool:spawn(math.abs, -1):get() == 1
    end,
    ["ask for information"] = function(h)
      return mp.get_thread_pool_info().workers > 0 and h:status() == "done" and h:elapsed() >= 0 and h:id() > 0
    end,
    ["collect garbage"] = function()
      collectgarbage()
      collectgarbage()
      return true
    end,
    ["use a coroutine"] = function()
      return coroutine.wrap(function() return mp.spawn(math.abs, -2):get() end)() == 2
    end,
  }
  for what, act in pairs(matrix) do
    it(("may %s"):format(what), function()
      local seen
      local before <const> = callback_errors()
      local h <const> = mp.spawn(math.abs, -5)
      h:on_complete(function() seen = act(h) end)
      mp.run()
      assert.equal(before, callback_errors())
      assert.is_true(seen)
    end)

    it(("of progress may %s"):format(what), function()
      local seen
      local before <const> = callback_errors()
      local h <const> = mp.parallel(function()
        mp.report_progress(0.5)
        mp.sleep(0.001)
        return 5
      end)()
      h:on_progress(function() seen = act(h) or true end)
      mp.run()
      h:wait()
      assert.equal(before, callback_errors())
      assert.is_true(seen == true or h:progress() == 0.5)
    end)
  end

  it("may start a chain of thousands, each from the one before", function()
    local n, left = 0, support.scaled(3000)
    local function next_one()
      n = n + 1
      if n < left then mp.spawn(math.abs, n):on_complete(next_one) end
    end
    mp.spawn(math.abs, 0):on_complete(next_one)
    mp.run()
    assert.equal(left, n)
  end)

  it("may wait in the callback of what is waited for in a callback", function()
    local deepest = 0
    local function nest(level)
      deepest = math.max(deepest, level)
      if level == 20 then return end
      local h <const> = mp.spawn(mp.sleep, 0)
      h:on_complete(function() nest(level + 1) end)
      local again <const> = mp.spawn(mp.sleep, 0.001)
      again:get()
      h:get()
    end
    nest(1)
    mp.run()
    assert.equal(20, deepest)
  end)

  it("runs in the worker whose task asked for it, while it waits or when it is done", function()
    local inside <const> = mp.spawn(function()
      local seen = 0
      mp.spawn(math.abs, -1):on_complete(function(v) seen = seen + v end)
      local last <const> = mp.spawn(math.abs, -1)
      last:on_complete(function(v) seen = seen + v end)
      mp.run()
      return seen
    end)
    assert.equal(2, inside:get())
  end)

  it("must be a function", function()
    local h <const> = mp.spawn(math.abs, 1)
    for _, wrong in ipairs { 1, "x", {}, false } do
      assert.matches("function expected", (support.refusal(h.on_complete, h, wrong)), 1, true)
      assert.equal("on_error must be a function, got " .. type(wrong), (support.refusal(mp.parallel, math.abs, { on_error = wrong })))
    end
  end)
end)

describe("mp.poll", function()
  -- One worker takes one task after the other: once it is at this one, the news of those before are there. Nothing is polled meanwhile.
  local function await_news(pool)
    local last <const> = pool:spawn(math.abs, 0)
    while not last:is_ready() do end
  end

  it("tells how many it delivered and how many are left", function()
    mp.run()
    assert.same({ 0, 0 }, { mp.poll() })
    local calls, record = recorder()
    local pool <close> = mp.pool { workers = 1 }
    for i = 1, 10 do pool:spawn(math.abs, i):on_complete(record) end
    await_news(pool)
    local delivered, left = mp.poll(0)
    assert.equal(10, delivered + left)
    assert.equal(delivered, calls.n)
    mp.poll()
    assert.equal(10, calls.n)
  end)

  it("keeps to its budget", function()
    local pauses = 0
    local function pause()
      pauses = pauses + 1
      local until_when <const> = mp.now() + 0.01
      while mp.now() < until_when do end
    end
    local pool <close> = mp.pool { workers = 1 }
    for _ = 1, 5 do pool:spawn(math.abs, 1):on_complete(pause) end
    await_news(pool)
    local delivered, left = mp.poll(0.005)
    assert.is_true(delivered < 5 and left > 0 and delivered == pauses)
    mp.run()
    assert.equal(5, pauses)
  end)

  it("refuses a budget that is no number of seconds", function()
    assert.matches("^budget must be a finite number of seconds from 0 to 1e9, got %-1$", (support.refusal(mp.poll, -1)))
    assert.matches("^budget must be a finite number of seconds", (support.refusal(mp.poll, "x")))
  end)
end)

describe("mp.run", function()
  it("returns at once when there is nothing to call", function()
    mp.run()
    assert.equal(0, mp.run())
    local h <const> = support.sleeper() -- nobody listens to it
    assert.equal(0, mp.run())
    h:cancel()
  end)

  it("ends when callbacks stop starting new tasks", function()
    local n = 0
    local function again()
      n = n + 1
      if n < 10 then mp.spawn(mp.sleep, 0.001):on_complete(again) end
    end
    mp.spawn(mp.sleep, 0.001):on_complete(again)
    mp.run()
    assert.equal(10, n)
  end)
end)

describe("mp.fd", function()
  it("is a descriptor of this process, the same each time", function()
    local fd <const> = mp.fd()
    assert.equal("integer", math.type(fd))
    assert.is_true(fd > 2)
    assert.equal(fd, mp.fd())
  end)

  it("is readable exactly when poll has work", function()
    local ok, system = pcall(require, "cqueues")
    if not ok then return pending "needs cqueues" end
    mp.run()
    local pollable <const> = { pollfd = mp.fd(), events = "r" }
    assert.is_nil((system.poll(pollable, 0)) == pollable or nil)
    local calls, record = recorder()
    mp.spawn(math.abs, 1):on_complete(record)
    assert.equal(pollable, (system.poll(pollable, support.HANG_SECONDS)))
    mp.poll()
    assert.equal(1, calls.n)
    assert.is_nil((system.poll(pollable, 0)) == pollable or nil)
  end)
end)

describe("a callback given after its pool is gone", function()
  local function check(finish)
    local pool <const> = mp.pool { workers = 1, log = "off" }
    local h <const> = pool:parallel(function() mp.report_progress(0.5) return "result", 2 end)()
    local failed <const> = pool:spawn(error, "boom")
    mp.wait_all { h, failed }
    finish(pool)
    local order <const> = {}
    local function note(what) return function(...) order[#order + 1] = { what, ... } end end
    assert.equal(h, h:on_complete(note "complete"):on_error(note "never"))
    h:on_progress(note "progress")
    failed:on_error(function(err) order[#order + 1] = { "error", err.message } end):on_complete(note "never")
    assert.same({}, order)
    mp.poll()
    assert.same({ { "complete", "result", 2 }, { "progress", 0.5 }, { "error", "boom" } }, order)
    assert.same({ 0, 0 }, { mp.poll() })
  end

  it("is called by the next poll if the task had ended", function()
    check(function(pool) pool:shutdown() end)
    check(function() end)
  end)

  it("is called before a wait returns, and by mp.run, in a program without any pool", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      local h = mp.spawn(math.abs, -1)
      h:wait()
      mp.configure { workers = 1 } -- another pool than that of the handle, once there is one
      h:on_progress(function() print "never" end)
      h:on_complete(function(r) print("first", r) h:on_complete(function(again) print("second", again) end) end)
      h:get()
      print "got"
      h:on_complete(function() print "third" end)
      mp.run()
    ]]
    assert.equal("first\t1\nsecond\t1\ngot\nthird\n", child.stdout)
    assert.equal("", child.stderr)
  end)
end)
