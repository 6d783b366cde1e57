_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("mp.current", function()
  it("is the handle of the running task, with its name", function()
    local h <const> = mp.parallel(function() return mp.current():id(), mp.current():name(), mp.current():status() end, { name = "me" })()
    assert.same({ h:id(), "me", "running" }, { h:get() })
    assert.is_nil(mp.spawn(function() return mp.current():name() end):get())
  end)

  it("is nil outside of tasks, as is the id", function()
    assert.is_nil(mp.current())
    assert.is_nil(mp.get_current_task_id())
    local h <const> = mp.spawn(mp.get_current_task_id)
    assert.equal(h:id(), h:get())
  end)

  it("may be returned, and is then the caller's handle", function()
    local h <const> = mp.spawn(mp.current)
    assert.equal(h, h:get())
  end)

  it("waited for by itself is refused or ends at its timeout", function()
    assert.is_false(mp.spawn(function() return mp.current():wait(0.01) end):get())
  end)
end)

describe("mp.report_progress", function()
  it("is what handle:progress shows", function()
    local h <const> = mp.spawn(function()
      mp.report_progress(0.25)
      return mp.current():progress()
    end)
    assert.equal(0.25, h:get())
    assert.equal(0.25, h:progress())
    assert.equal(0.0, mp.spawn(math.abs, 1):progress())
  end)

  it("takes the task's id or a handle first", function()
    local a <const> = mp.spawn(function() mp.report_progress(mp.get_current_task_id(), 0.5) end)
    a:get()
    assert.equal(0.5, a:progress())
    local sleeper <const> = support.sleeper()
    mp.report_progress(sleeper, 0.5)
    assert.equal(0.5, sleeper:progress())
    mp.spawn(function(t) mp.report_progress(t[1], 0.75, "from elsewhere") end, { sleeper }):get()
    assert.equal(0.75, sleeper:progress())
    sleeper:cancel()
    local refused <const> = support.failure(mp.spawn(mp.report_progress, 123456, 0.5))
    assert.matches("no task with id 123456 runs on this worker", refused.message, 1, true)
  end)

  it("refuses what is no number from 0 to 1, and keeps the value", function()
    local h <const> = mp.spawn(function()
      mp.report_progress(0.5)
      local texts <const> = {}
      for _, wrong in ipairs { 0 / 0, 1 / 0, -1 / 0, -0.1, 1.1, "x", {}, true } do
        local ok, text = pcall(function() mp.report_progress(wrong) end)
        texts[#texts + 1] = ok and "accepted" or text
      end
      return texts
    end)
    local texts <const> = h:get()
    assert.equal(8, #texts)
    for i, got in ipairs { "%-?nan", "inf", "%-inf", "%-0.1", "1.1" } do
      assert.matches("bad argument #1 to 'report_progress' %(progress must be a number from 0 to 1, got " .. got, texts[i])
    end
    for i, got in ipairs { "string", "table", "boolean" } do
      assert.matches(("bad argument #1 to 'report_progress' (number expected, got %s)"):format(got), texts[5 + i], 1, true)
    end
    assert.equal(0.5, h:progress())
  end)

  it("names what is wrong of task and note", function()
    local texts <const> = mp.spawn(function()
      local all <const> = {}
      for i, arguments in ipairs { { 0.5, 42 }, { 0.5, {} }, { "x", 0.5 }, { io.stdout, 0.5 }, { 0.5, 0.5, 0.5 } } do
        local ok, text = pcall(function() mp.report_progress(table.unpack(arguments)) end)
        all[i] = ok and "accepted" or text:match ": (.*)"
      end
      return all
    end):get()
    assert.same({
      "bad argument #2 to 'report_progress' (a note, a string, expected, got number)",
      "bad argument #2 to 'report_progress' (a note, a string, expected, got table)",
      "bad argument #1 to 'report_progress' (handle or a task's id expected, got string)",
      "bad argument #1 to 'report_progress' (handle or a task's id expected, got FILE*)",
      "bad argument #2 to 'report_progress' (a note, a string, expected, got number)",
    }, texts)
  end)

  it("outside of a task is an error", function()
    assert.matches("report_progress: no task is running here", (support.refusal(function() mp.report_progress(0.5) end)), 1, true)
  end)

  it("has its last value when the task is over", function()
    local h <const> = mp.spawn(function()
      for i = 0, 1000 do mp.report_progress(i / 1000) end
    end)
    h:get()
    assert.equal(1.0, h:progress())
  end)
end)

describe("mp.cancelled", function()
  it("is false until the task is asked to stop, and outside of tasks", function()
    assert.is_false(mp.cancelled())
    assert.is_false(mp.spawn(mp.cancelled):get())
  end)

  it("seen true makes the task count as cancelled, however it ends", function()
    for _, finish in ipairs { function() return 1 end, function() error "stopped" end } do
      local h <const> = mp.spawn(function(f)
        while not mp.cancelled() do end
        return f()
      end, finish)
      support.wait_until(function() return h:status() == "running" end)
      h:cancel()
      assert.equal("cancelled", support.failure(h).kind)
    end
  end)

  it("is true at a task's deadline too, so that it can stop", function()
    local file <close> = support.temporary_file()
    local pool <close> = mp.pool { workers = 1, cancel_mode = "cooperative" }
    local task <const> = pool:parallel(function(path)
      while not mp.cancelled() do end
      local f <close> = assert(io.open(path, "w"))
      f:write "stopped"
    end)
    local timeout, h = 0.02
    repeat -- a busy machine may begin with it after its deadline only
      h = task:with { timeout = timeout }(file.path)
      assert.equal("timeout", support.failure(h).kind)
      timeout = timeout * 2
    until select(3, h:elapsed()) > 0
    support.wait_until(function() return file:read() == "stopped" end)
  end)
end)

describe("mp.sleep", function()
  it("takes as long as told", function()
    local started <const> = mp.now()
    mp.sleep(0.02)
    assert.is_true(mp.now() - started >= 0.02)
    local slept <const> = mp.spawn(function()
      local t <const> = mp.now()
      mp.sleep(0.02)
      return mp.now() - t
    end):get()
    assert.is_true(slept >= 0.02)
    mp.sleep(0)
  end)

  it("ends with an error when the task is cancelled", function()
    local h <const> = support.sleeper()
    local started <const> = mp.now()
    assert.is_true(h:cancel(support.HANG_SECONDS))
    assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
  end)

  it("cannot be slept through by a pcall", function()
    local h <const> = mp.spawn(function(seconds)
      pcall(mp.sleep, seconds)
      pcall(mp.sleep, seconds)
      return "slept on"
    end, support.HANG_SECONDS)
    support.wait_until(function() return h:status() == "running" end)
    h:cancel()
    assert.equal("cancelled", support.failure(h).kind)
  end)

  it("refuses what is no number of seconds", function()
    for _, wrong in ipairs { -1, 1 / 0, "1", {} } do
      assert.equal("sleep must be a finite number of seconds from 0 to 1e9, got " .. tostring(wrong):gsub("0x%x+", "0x"),
        ((support.refusal(mp.sleep, wrong)):gsub("0x%x+", "0x")))
    end
  end)
end)

describe("mp.now", function()
  it("is a monotonic time in seconds, the same in every worker", function()
    local before <const> = mp.now()
    local inside <const> = mp.spawn(mp.now):get()
    local after <const> = mp.now()
    assert.is_true(before <= inside and inside <= after)
    assert.equal("float", math.type(before))
  end)
end)
