_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local HANG <const> = support.HANG_SECONDS

local function failing(text) error(text or "boom", 0) end

local function handles_of(n)
  local handles <const> = {}
  for i = 1, n do handles[i] = mp.spawn(math.abs, -i) end
  return handles
end

local function assert_cancelled(...)
  for _, h in ipairs { ... } do
    h:wait(HANG)
    assert.equal("cancelled", h:status())
  end
end

describe("mp.gather", function()
  it("gives all results in order, with n", function()
    local results, errors = mp.gather(handles_of(3))
    assert.same({ 1, 2, 3, n = 3 }, results)
    assert.same({}, errors)
    assert.same({ n = 0 }, mp.gather {})
  end)

  it("keeps nil, packs several values", function()
    local results <const> = mp.gather {
      mp.spawn(function() end), mp.spawn(function() return nil end), mp.spawn(function() return 1, nil, 3 end), mp.spawn(math.abs, -4),
    }
    assert.same({ nil, nil, { 1, nil, 3, n = 3 }, 4, n = 4 }, results)
  end)

  it("takes the same handle twice, and done ones again", function()
    local h <const> = mp.spawn(math.abs, -1)
    assert.same({ 1, 1, n = 2 }, mp.gather { h, h })
    assert.same({ 1, n = 1 }, mp.gather { h })
  end)

  it("raises the first failure and cancels the rest", function()
    local pool <close> = mp.pool { workers = 2 }
    local slow <const> = support.sleeper(pool)
    local bad <const> = pool:spawn(failing)
    local ok, err = pcall(mp.gather, { slow, bad })
    assert.is_false(ok)
    assert.equal("boom", err.message)
    assert.equal(bad:id(), err.task_id)
    assert_cancelled(slow)
  end)

  it("does not wait for earlier ones when a later one fails", function()
    local pool <close> = mp.pool { workers = 1 }
    local a <const> = support.sleeper(pool)
    local b <const> = pool:spawn(math.abs, 1)
    local c <const> = mp.spawn(failing)
    assert.has_error(function() mp.gather { a, b, c } end)
    assert_cancelled(a, b)
  end)

  it("leaves failed ones out with skip", function()
    local results, errors = mp.gather({ mp.spawn(failing, "a"), mp.spawn(math.abs, -2), mp.spawn(failing, "b") }, { on_error = "skip" })
    assert.same({ 2, n = 1 }, results)
    assert.equal(2, #errors)
    assert.same({ 1, 3 }, { errors[1].index, errors[2].index })
    assert.same({ "a", "b" }, { errors[1].error.message, errors[2].error.message })
  end)

  it("leaves nil in their place with none", function()
    local results, errors = mp.gather({ mp.spawn(failing), mp.spawn(math.abs, -2), mp.spawn(failing) }, { on_error = "none" })
    assert.same({ nil, 2, nil, n = 3 }, results)
    assert.equal(2, #errors)
  end)

  it("tells cancelled and timed out ones like failed ones", function()
    local h <const> = support.sleeper()
    h:cancel()
    local _, errors = mp.gather({ h, mp.parallel(mp.sleep, { timeout = 0.01 })(HANG) }, { on_error = "none" })
    assert.same({ "cancelled", "timeout" }, { errors[1].error.kind, errors[2].error.kind })
    assert.has_error(function() mp.gather { h } end)
  end)

  for _, on_error in ipairs { "raise", "skip", "none" } do
    it(("gives up at its timeout and cancels the rest, with on_error %s"):format(on_error), function()
      local a, b = mp.spawn(math.abs, 1), support.sleeper()
      local ok, err = pcall(mp.gather, { a, b }, { timeout = 0.02, on_error = on_error })
      assert.is_false(ok)
      assert.equal("timeout", err.kind)
      assert.equal("gather: 1 not finished after 0.02 s", err.message)
      assert_cancelled(b)
      assert.equal(1, a:get())
    end)
  end

  it("works inside a task, with errors and timeouts", function()
    assert.same({ 1, 2, n = 2 }, mp.spawn(function() return (mp.gather { mp.spawn(math.abs, -1), mp.spawn(math.abs, -2) }) end):get())
    assert.equal("boom", support.failure(mp.spawn(function(f) return mp.gather { mp.spawn(f) } end, failing)).cause.message)
    assert.equal("timeout", mp.spawn(function(seconds)
      local h <close> = mp.spawn(mp.sleep, seconds)
      return select(2, pcall(mp.gather, { h }, { timeout = 0.01 })).kind
    end, HANG):get())
  end)

  it("takes handles of several pools", function()
    local a <close> = mp.pool { workers = 1 }
    local b <close> = mp.pool { workers = 1 }
    assert.same({ 1, 2, 3, n = 3 }, mp.gather { a:spawn(math.abs, -1), b:spawn(math.abs, -2), mp.spawn(math.abs, -3) })
  end)

  it("refuses an on_error that is none", function()
    assert.equal("on_error must be 'raise', 'skip', 'none', got bogus", (support.refusal(mp.gather, {}, { on_error = "bogus" })))
  end)

  it("refuses what is no list of handles", function()
    assert.equal("bad argument #1 to 'gather' (list of handles expected, got nil)", (support.refusal(mp.gather)))
    assert.equal("bad argument #1 to 'gather' (handle expected at [2], got string)",
      (support.refusal(mp.gather, { mp.spawn(math.abs, 1), "x" })))
    assert.equal("bad argument #1 to 'gather' (handle expected at [1], got userdata)", (support.refusal(mp.gather, { io.stdout })))
  end)
end)

describe("mp.wait_all", function()
  it("waits for all, however they end", function()
    local list <const> = { mp.spawn(failing), mp.spawn(mp.sleep, 0.01), mp.spawn(math.abs, 1) }
    assert.is_true(mp.wait_all(list))
    for _, h in ipairs(list) do assert.is_true(h:is_ready()) end
    assert.is_true(mp.wait_all {})
  end)

  it("is false at its timeout and cancels nothing", function()
    local h <const> = support.sleeper()
    assert.is_false(mp.wait_all({ mp.spawn(math.abs, 1), h }, 0.01))
    assert.is_false(mp.wait_all({ h }, 0))
    assert.equal("running", h:status())
    h:cancel()
  end)
end)

describe("mp.wait_any", function()
  it("gives the first to end, and its index", function()
    local slow <const> = support.sleeper()
    local quick <const> = mp.spawn(math.abs, 1)
    local h, i = mp.wait_any { slow, quick }
    assert.equal(quick, h)
    assert.equal(2, i)
    slow:cancel()
  end)

  it("gives a failed one as well", function()
    local h <const> = mp.wait_any { mp.spawn(failing) }
    assert.equal("failed", h:status())
  end)

  it("is nil for an empty list and at its timeout", function()
    assert.is_nil(mp.wait_any {})
    local h <const> = support.sleeper()
    assert.is_nil((mp.wait_any({ h }, 0.01)))
    assert.is_nil((mp.wait_any({ h }, 0)))
    h:cancel()
  end)

  it("takes hundreds", function()
    local list <const> = {}
    for i = 1, 300 do list[i] = mp.spawn(mp.sleep, 0.001) end
    local seen = 0
    while #list > 0 do
      local _, i = mp.wait_any(list, HANG)
      table.remove(list, i)
      seen = seen + 1
    end
    assert.equal(300, seen)
  end)

  it("takes handles of several pools", function()
    local pool <close> = mp.pool { workers = 1 }
    local slow <const> = support.sleeper(pool)
    local quick <const> = mp.spawn(mp.sleep, 0.01)
    assert.equal(quick, (mp.wait_any({ slow, quick }, HANG)))
    assert.equal(quick, (mp.wait_any({ quick, slow }, HANG)))
    local late <const> = mp.spawn(mp.sleep, 0.01)
    assert.equal(late, (mp.wait_any({ late, slow }, HANG)))
    slow:cancel()
  end)
end)

describe("mp.as_completed", function()
  it("gives each once with its index, as they end", function()
    local slow <const> = mp.spawn(mp.sleep, 0.05)
    local list <const> = { slow, table.unpack(handles_of(5)) }
    local seen, order = {}, {}
    for h, i in mp.as_completed(list) do
      assert.equal(list[i], h)
      assert.is_true(h:is_ready())
      assert.is_nil(seen[i])
      seen[i] = true
      order[#order + 1] = i
    end
    assert.equal(6, #order)
    assert.equal(1, order[6])
  end)

  it("is over at once for an empty list", function()
    for _ in mp.as_completed {} do error "there is none" end
  end)

  it("gives those that were done before, and the same handle twice if it is there twice", function()
    local h <const> = mp.spawn(math.abs, 1)
    h:wait()
    local n = 0
    for each in mp.as_completed { h, h } do
      assert.equal(h, each)
      n = n + 1
    end
    assert.equal(2, n)
  end)

  it("cancels the rest when the loop is left by break, by error or by return", function()
    local leave <const> = {
      ["break"] = function(list)
        for h in mp.as_completed(list) do
          if h:is_ready() then break end
        end
      end,
      ["error"] = function(list)
        pcall(function()
          for h in mp.as_completed(list) do error(h) end
        end)
      end,
      ["return"] = function(list)
        for h in mp.as_completed(list) do
          if h:is_ready() then return h end
        end
      end,
    }
    for name, fn in pairs(leave) do
      local slow <const> = support.sleeper()
      fn { slow, mp.spawn(math.abs, 1) }
      slow:wait(HANG)
      assert.equal("cancelled", slow:status(), name)
    end
  end)

  it("cancels nothing when the loop ends by itself", function()
    local list <const> = handles_of(3)
    for _ in mp.as_completed(list) do end
    for _, h in ipairs(list) do assert.equal("done", h:status()) end
  end)

  it("raises at its timeout, which cancels the rest", function()
    local slow <const> = support.sleeper()
    local ok, err = pcall(function() for _ in mp.as_completed({ mp.spawn(math.abs, 1), slow }, 0.02) do end end)
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
    assert.equal("as_completed: 1 not finished after 0.02 s", err.message)
    assert_cancelled(slow)
  end)

  it("takes handles whose pool is gone, as gather, wait_any and wait_all do", function()
    local h
    do
      local pool <close> = mp.pool { workers = 1 }
      h = pool:spawn(math.abs, -7)
      h:wait()
    end
    local n = 0
    for each in mp.as_completed { h } do n = n + each:get() end
    assert.equal(7, n)
    assert.same({ 7, n = 1 }, mp.gather { h })
    assert.equal(h, (mp.wait_any { h }))
    assert.is_true(mp.wait_all { h })
  end)

  it("has no options but the list and the timeout", function()
    assert.equal("timeout must be a finite number of seconds from 0 to 1e9, got table",
      (support.refusal(mp.as_completed, {}, {}):gsub("table: 0x%x+", "table")))
  end)

  it("may be nested, and used in a task", function()
    local n = 0
    for outer in mp.as_completed(handles_of(3)) do
      for inner in mp.as_completed(handles_of(3)) do n = n + outer:get() * inner:get() end
    end
    assert.equal(36, n)
    assert.equal(6, mp.spawn(function()
      local sum = 0
      for h in mp.as_completed { mp.spawn(math.abs, -1), mp.spawn(math.abs, -2), mp.spawn(math.abs, -3) } do sum = sum + h:get() end
      return sum
    end):get())
  end)

  it("takes handles of several pools", function()
    local a <close> = mp.pool { workers = 1 }
    local b <close> = mp.pool { workers = 1 }
    local n = 0
    for h in mp.as_completed({ a:spawn(mp.sleep, 0.01), b:spawn(mp.sleep, 0.02), mp.spawn(math.abs, 1) }, HANG) do
      assert.is_true(h:is_ready())
      n = n + 1
    end
    assert.equal(3, n)
  end)

  it("takes thousands", function()
    local n <const> = support.scaled(5000)
    local sum = 0
    for h in mp.as_completed(handles_of(n)) do sum = sum + h:get() end
    assert.equal(n * (n + 1) // 2, sum)
  end)
end)
