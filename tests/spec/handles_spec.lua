_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local sleeper <const> = support.sleeper

local function failing() error("boom", 0) end

describe("a handle", function()
  it("gives the same values at every get, from wherever", function()
    local h <const> = mp.spawn(function() return 1, nil, { 2 }, nil end)
    local first <const> = table.pack(h:get())
    for _ = 1, 3 do
      local again <const> = table.pack(h:get())
      assert.is_true(support.equal(first, again))
      assert.is_false(first[3] == again[3]) -- a copy: nobody can spoil another's
    end
    assert.same({ 1, nil, { 2 }, nil }, mp.spawn(function(t) return { t[1]:get() } end, { h }):get())
  end)

  it("raises an equal error at every get", function()
    local h <const> = mp.spawn(failing)
    local first <const> = support.failure(h)
    for _ = 1, 3 do
      local ok, err = pcall(h.get, h)
      assert.is_false(ok)
      assert.is_true(support.equal(first, err))
    end
  end)

  it("tells with pget like pcall", function()
    assert.same({ true, 1, 2 }, { mp.spawn(function() return 1, 2 end):pget() })
    local ok, err = mp.spawn(failing):pget()
    assert.is_false(ok)
    assert.equal("boom", err.message)
  end)

  it("gives false from try_get until it is over, then true and the values", function()
    local h <const> = sleeper()
    assert.same({ false, n = 1 }, table.pack(h:try_get()))
    h:cancel(support.HANG_SECONDS)
    assert.has_error(function() h:try_get() end)
    local done <const> = mp.spawn(function() return nil, false end)
    assert.is_true(done:wait())
    assert.same({ true, nil, false, n = 3 }, table.pack(done:try_get()))
  end)

  it("waits no longer than told, and consumes nothing", function()
    local h <const> = sleeper()
    local started <const> = mp.now()
    assert.is_false(h:wait(0.02))
    assert.is_false(h:wait(0))
    assert.is_true(mp.now() - started >= 0.02)
    local err <const> = select(2, h:pget(0.01))
    assert.equal("timeout", err.kind)
    assert.matches("^task #%d+ is not finished after 0.01 s$", err.message)
    assert.has_error(function() h:get(0) end)
    assert.equal("running", h:status())
    h:cancel()
    assert.is_true(h:wait(support.HANG_SECONDS))
    assert.is_true(h:wait(0))
  end)

  it("returns from a long wait as soon as the task is over", function()
    local started <const> = mp.now()
    assert.is_true(mp.spawn(mp.sleep, 0.01):wait(support.HANG_SECONDS))
    assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
  end)

  it("knows its status from waiting to its end", function()
    local pool <close> = mp.pool { workers = 1 }
    local running <const> = sleeper(pool)
    local queued <const> = pool:spawn(math.abs, 1)
    local waiting <const> = pool:spawn(math.abs, queued)
    assert.same({ "running", "queued", "waiting" }, { running:status(), queued:status(), waiting:status() })
    assert.same({ false, false, false }, { running:is_ready(), queued:is_ready(), waiting:is_ready() })
    running:cancel()
    assert.equal(1, waiting:get())
    assert.same({ "cancelled", "done", "done" }, { running:status(), queued:status(), waiting:status() })
    assert.same({ true, true, true }, { running:is_ready(), queued:is_ready(), waiting:is_ready() })
    assert.same({ true, false }, { running:is_cancelled(), queued:is_cancelled() })
    local failed <const> = pool:spawn(failing)
    failed:wait()
    assert.equal("failed", failed:status())
    local late <const> = pool:parallel(mp.sleep, { timeout = 0.01 })(support.HANG_SECONDS)
    late:wait()
    assert.equal("timeout", late:status())
  end)

  it("has an id of its own and a name if it was given one", function()
    local a, b = mp.spawn(math.abs, 1), mp.parallel(math.abs):with { name = "absolute" } (2)
    assert.equal("integer", math.type(a:id()))
    assert.not_equal(a:id(), b:id())
    assert.is_nil(a:name())
    assert.equal("absolute", b:name())
  end)

  it("shows task and status as text", function()
    local a, b = mp.spawn(math.abs, 1), mp.parallel(math.abs):with { name = "absolute" } (2)
    mp.wait_all { a, b }
    assert.equal(("handle of task #%d (done)"):format(a:id()), tostring(a))
    assert.equal("handle of task 'absolute' (done)", tostring(b))
  end)

  it("counts the time in the queue and the time it ran, and stops at the end", function()
    local h <const> = mp.spawn(mp.sleep, 0.02)
    h:get()
    local all, queued, ran = h:elapsed()
    assert.is_true(ran >= 0.02 and ran < support.HANG_SECONDS)
    assert.is_true(queued >= 0 and math.abs(all - queued - ran) < 1e-6)
    mp.sleep(0.01)
    assert.equal(all, (h:elapsed()))
  end)

  it("tells the timeout it was given", function()
    assert.is_nil(mp.spawn(math.abs, 1):timeout())
    for _, seconds in ipairs { 12.5, 60, 1.001, 0.29, 9.7, 1e9 } do
      assert.equal(seconds, mp.parallel(math.abs, { timeout = seconds })(1):timeout())
    end
  end)

  it("is over at its deadline whatever the task does", function()
    local path <const> = os.tmpname()
    local h <const> = mp.parallel(function(until_gone)
      repeat
        local file <const> = io.open(until_gone)
        if file then file:close() end
      until not file
    end, { timeout = 0.02, name = "busy" })(path)
    local err <const> = support.failure(h)
    os.remove(path)
    assert.equal("timeout", err.kind)
    assert.equal("task 'busy' timed out after 0.02 s", err.message)
    assert.equal("timeout", h:status())
    assert.is_false(h:cancel())
  end)

  it("times out in the queue and while it waits for another", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = sleeper(pool)
    local task <const> = pool:parallel(math.abs, { timeout = 0.01 })
    local queued, waiting = task(1), task(blocker)
    assert.equal("timeout", support.failure(queued).kind)
    assert.equal("timeout", support.failure(waiting).kind)
    blocker:cancel()
  end)

  it("may be dropped without effect on the task", function()
    local pool <close> = mp.pool { workers = 1 }
    for _ = 1, 100 do
      pool:spawn(math.abs, 1)
    end
    collectgarbage()
    collectgarbage()
    support.wait_until(function() return pool:info().finished == 100 end)
    assert.equal(100, pool:info().done)
  end)

  it("lets go of the result when dropped, even after a finaliser that had no stack left to run on", function()
    local pool <close> = mp.pool { workers = 1 }
    local function forever() return 1 + forever() end
    local function collect_to_the_end() return collectgarbage() + collect_to_the_end() end
    assert.is_false(xpcall(forever, collect_to_the_end))
    local function drop(size) pool:spawn(string.rep, "x", size):wait() end
    for _ = 1, 100 do drop(1 << 20) end
    support.wait_until(function()
      collectgarbage()
      return pool:info().bytes < 4 << 20
    end)
  end)

  it("equals another handle of the same task only", function()
    local h <const> = mp.spawn(math.abs, 1)
    assert.is_true(support.round_trip({ h })[1] == h)
    assert.is_false(mp.spawn(math.abs, 1) == h)
    assert.is_false(h == 1)
  end)

  it("keeps its metatable to itself and has no fields", function()
    local h <const> = mp.spawn(math.abs, 1)
    assert.is_false(getmetatable(h))
    assert.is_nil(h.nothing)
    assert.has_error(function() h.field = 1 end)
  end)

  it("keeps metadata on this side", function()
    local h <const> = mp.parallel(math.abs, { metadata = { colour = "red" } })(1)
    assert.equal("red", h:get_metadata "colour")
    assert.equal(h, h:set_metadata("size", { 3 }):set_metadata(io.stdout, true))
    assert.same({ colour = "red", size = { 3 }, [io.stdout] = true }, h:metadata())
    h:set_metadata("colour", nil)
    assert.is_nil(h:get_metadata "colour")
    assert.same({}, mp.spawn(math.abs, 1):metadata())
    assert.has_error(function() h:set_metadata(nil, 1) end)
    assert.equal("bad argument #1 to 'set_metadata' (a key expected, got NaN)", (support.refusal(function() h:set_metadata(0 / 0, 1) end)))
  end)

  it("shares no metadata with other handles of its task object", function()
    local task <const> = mp.parallel(math.abs, { metadata = { n = 0 } })
    local a, b = task(1), task(2)
    a:set_metadata("n", 1)
    assert.same({ 1, 0 }, { a:get_metadata "n", b:get_metadata "n" })
  end)

  it("refuses a timeout that is no finite number of seconds", function()
    local h <const> = mp.spawn(math.abs, 1)
    local function text(value) return ("timeout must be a finite number of seconds from 0 to 1e9, got %s"):format(tostring(value)) end
    for _, wrong in ipairs { 1 / 0, -1, -1e-9, 1e300, 1.1e9, "5", true, {} } do
      for _, method in ipairs { "get", "pget", "wait" } do
        assert.equal(text(wrong), (support.refusal(h[method], h, wrong)))
      end
    end
    assert.matches("from 0 to 1e9, got %-?nan$", (support.refusal(h.get, h, 0 / 0)))
    assert.matches("^grace must be a finite number of seconds", (support.refusal(h.cancel, h, -1)))
  end)

  it("refuses to be something else", function()
    local h <const> = mp.spawn(math.abs, 1)
    for _, method in ipairs { "get", "wait", "status", "cancel", "on_complete" } do
      assert.matches("makeparallel.handle expected", (support.refusal(h[method], {}, print)), 1, true)
    end
  end)
end)

describe("cancel", function()
  it("is true and final for a task that has not started", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = sleeper(pool)
    local queued <const> = pool:spawn(math.abs, 1)
    assert.is_true(queued:cancel())
    assert.is_true(queued:cancel())
    local err <const> = support.failure(queued)
    assert.equal("cancelled", err.kind)
    assert.equal(("task #%d was cancelled"):format(queued:id()), err.message)
    blocker:cancel()
  end)

  it("is false for a task that is over, whose outcome stays", function()
    local h <const> = mp.spawn(math.abs, -1)
    h:wait()
    assert.is_false(h:cancel())
    assert.equal(1, h:get())
  end)

  it("ends a running task at once", function()
    local h <const> = mp.spawn(function()
      while true do end
    end)
    support.wait_until(function() return h:status() == "running" end)
    assert.is_true(h:cancel())
    assert.equal("cancelled", h:status())
    assert.is_true(h:cancel())
    assert.equal("cancelled", support.failure(h).kind)
  end)

  it("with a grace lets a task that is cooperative end by itself", function()
    local pool <close> = mp.pool { workers = 1, cancel_mode = "cooperative" }
    local polite <const> = pool:spawn(function()
      while not mp.cancelled() do end
      return "was polite"
    end)
    support.wait_until(function() return polite:status() == "running" end)
    assert.is_true(polite:cancel(support.HANG_SECONDS))
    assert.equal("cancelled", support.failure(polite).kind)

    local deaf <const> = pool:spawn(function(seconds)
      local until_when <const> = mp.now() + seconds
      while mp.now() < until_when do end
      return "done all the same"
    end, 0.05)
    support.wait_until(function() return deaf:status() == "running" end)
    assert.is_false(deaf:cancel(support.HANG_SECONDS))
    assert.equal("done all the same", deaf:get())
    assert.is_false(deaf:is_cancelled())
  end)

  it("waits as long as the grace given for the task to stop", function()
    local h <const> = sleeper()
    assert.is_true(h:cancel(support.HANG_SECONDS))
    assert.equal("cancelled", h:status())
  end)

  it("is what leaving the scope of a <close> handle does, and waits", function()
    local kept
    do
      local h <close> = sleeper()
      kept = h
    end
    assert.equal("cancelled", kept:status())
    pcall(function()
      local h <close> = sleeper()
      kept = h
      error "out"
    end)
    assert.equal("cancelled", kept:status())
    do
      local h <close> = mp.spawn(math.abs, 1)
      h:get()
      kept = h
    end
    assert.equal(1, kept:get())
  end)

  it("tells the truth in every race with a task's end", function()
    local pool <close> = mp.pool { workers = 2 }
    local handles, cancelled = {}, 0
    for i = 1, support.scaled(3000) do
      handles[i] = pool:spawn(math.abs, -i)
      if i % 3 > 0 then
        local early <const> = handles[i - 1] or handles[i]
        if early:cancel() then assert.equal("cancelled", early:status()) end
      end
    end
    for i, h in ipairs(handles) do
      h:wait()
      if h:is_cancelled() then
        cancelled = cancelled + 1
        assert.is_true(h:cancel())
        assert.equal("cancelled", support.failure(h).kind)
      else
        assert.is_false(h:cancel())
        assert.equal(i, h:get())
      end
    end
    assert.equal(cancelled, pool:info().cancelled)
    assert.equal(#handles - cancelled, pool:info().done)
  end)
end)

describe("a task object", function()
  it("submits when called and gives a handle at once", function()
    assert.equal(3, mp.parallel(math.max)(1, 3, 2):get())
  end)

  it("submits and waits with call, results and errors included", function()
    local task <const> = mp.parallel(function(...) return select("#", ...), ... end)
    assert.same({ 3, 1, nil, 3, n = 4 }, table.pack(task:call(1, nil, 3)))
    assert.has_error(function() mp.parallel(failing):call() end)
  end)

  it("makes another with other options and stays itself", function()
    local a <const> = mp.parallel(math.abs, { name = "a", timeout = 5, metadata = { x = 1 } })
    local b <const> = a:with { name = "b", priority = 9 }
    local from_a, from_b = a(1), b(2)
    assert.same({ "a", 5.0, 1 }, { from_a:name(), from_a:timeout(), from_a:get_metadata "x" })
    assert.same({ "b", 5.0, 1 }, { from_b:name(), from_b:timeout(), from_b:get_metadata "x" })
    local c <const> = b:with { metadata = { y = 2 } }(1)
    assert.same({ "b", nil, 2 }, { c:name(), c:get_metadata "x", c:get_metadata "y" })
  end)

  it("shows its name as text", function()
    assert.equal("task 'a'", tostring(mp.parallel(math.abs, { name = "a" })))
    assert.matches("^task: ", tostring(mp.parallel(math.abs)))
  end)

  it("refuses to be something else", function()
    local task <const> = mp.parallel(math.abs)
    assert.matches("task expected, got", (support.refusal(task.with, {}, {})), 1, true)
    assert.matches("task expected, got", (support.refusal(task.call, {}, {})), 1, true)
  end)

  it("with the presets of makeParallel", function()
    assert.equal(1, mp.parallel_fast(math.abs)(-1):get())
    assert.equal(1, mp.parallel_pool(math.abs)(-1):get())
    assert.equal(1, mp.parallel_priority(math.abs)(100, -1):get())
    assert.equal(-5, mp.parallel_priority(function(...) return ... end):call(1, -5))
    assert.same({ 0, 7 }, { mp.parallel_with_deps(function(deps, n) return deps.n, n end):call(7) })
    assert.matches("number expected", (support.refusal(mp.parallel_priority(math.abs), "x")), 1, true)
    assert.matches("priority out of range", (support.refusal(mp.parallel_priority(math.abs), 1 << 40)), 1, true)
  end)

  it("runs by priority, the same priority in order", function()
    local pool <close> = mp.pool { workers = 1 }
    local blocker <const> = sleeper(pool)
    local order <const> = {}
    local function note(h) order[#order + 1] = h:get_metadata "n" end
    local handles <const> = {}
    for n, priority in ipairs { 0, 5, -5, 5, 0, 9 } do
      handles[n] = pool:parallel(math.abs, { priority = priority, metadata = { n = n } })(1)
      handles[n]:on_complete(function() note(handles[n]) end)
    end
    blocker:cancel()
    mp.wait_all(handles)
    mp.run()
    assert.same({ 6, 2, 4, 1, 5, 3 }, order)
  end)
end)
