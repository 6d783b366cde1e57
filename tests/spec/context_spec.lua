_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local refusal <const> = support.refusal

describe("mp.context", function()
  it("waits for all when it is left", function()
    local handles <const> = {}
    do
      local ctx <close> = mp.context()
      for i = 1, 5 do handles[i] = ctx:submit(function(x) mp.sleep(0.01) return x, nil end, i) end
    end
    for i, handle in ipairs(handles) do
      assert.is_true(handle:is_ready())
      assert.same({ i, nil, n = 2 }, table.pack(handle:get()))
    end
    assert.equal(mp.context, mp.ParallelContext)
  end)

  it("raises the first error and cancels the rest", function()
    local rest
    local err <const> = select(2, pcall(function()
      local ctx <close> = mp.context()
      rest = ctx:submit(mp.sleep, support.HANG_SECONDS)
      ctx:submit(error, { code = 7 })
    end))
    assert.same({ "error", 7 }, { err.kind, err.value.code })
    assert.equal("cancelled", rest:status())
  end)

  it("raises the cause, not what depends on it", function()
    local err <const> = select(2, pcall(function()
      local ctx <close> = mp.context()
      ctx:submit(math.abs, ctx:submit(error, "cause"))
    end))
    assert.same({ "error", "cause" }, { err.kind, err.message })
  end)

  it("lets an error that is on its way win, and cancels all", function()
    local mine <const> = {}
    local handle
    local ok, err = pcall(function()
      local ctx <close> = mp.context()
      handle = ctx:submit(mp.sleep, support.HANG_SECONDS)
      ctx:submit(error, "another"):wait()
      error(mine)
    end)
    assert.is_false(ok)
    assert.equal(mine, err)
    assert.equal("cancelled", handle:status())
  end)

  it("does not take a task for failed that its user has cancelled", function()
    local ctx <close> = mp.context()
    ctx:submit(mp.sleep, support.HANG_SECONDS):cancel(support.HANG_SECONDS)
  end)

  it("leaves failures in their handles with on_error = 'none'", function()
    local failed, other
    do
      local ctx <close> = mp.context { on_error = "none" }
      failed, other = ctx:submit(error, "x"), ctx:submit(math.abs, -1)
    end
    assert.equal("x", support.failure(failed).message)
    assert.equal(1, other:get())
  end)

  it("has one timeout for everything", function()
    local started <const> = mp.now()
    local err = select(2, pcall(function()
      local ctx <close> = mp.context { timeout = 0.1 }
      ctx:submit(mp.sleep, 0.05):get()
      ctx:submit(mp.sleep, support.HANG_SECONDS)
    end))
    assert.equal("timeout", err.kind)
    assert.is_true(mp.now() - started < 10)
    err = select(2, pcall(function()
      local ctx <close> = mp.context { timeout = 0.1 }
      ctx:submit(mp.sleep, support.HANG_SECONDS):get() -- inside the block, too
    end))
    assert.equal("timeout", err.kind)
    err = select(2, pcall(function()
      local ctx <close> = mp.context { timeout = 0.1 }
      ctx:map(mp.sleep, { support.HANG_SECONDS })
    end))
    assert.equal("timeout", err.kind)
  end)

  it("never makes a task's own timeout longer", function()
    local ctx <close> = mp.context { timeout = support.HANG_SECONDS, on_error = "none" }
    local handle <const> = ctx:submit(mp.parallel(mp.sleep, { timeout = 0.02, name = "own" }), support.HANG_SECONDS)
    assert.equal("own", handle:name())
    assert.equal("timeout", support.failure(handle).kind)
    assert.is_true(ctx:submit(math.abs, 1):timeout() <= support.HANG_SECONDS)
  end)

  it("submits to its pool, but for tasks that have one", function()
    local pool <close> = mp.pool { workers = 1 }
    local other <close> = mp.pool { workers = 1 }
    do
      local ctx <close> = mp.context { pool = pool }
      ctx:submit(math.abs, 1)
      ctx:submit(mp.parallel(math.abs), 1)
      ctx:map(math.abs, { 1 })
      ctx:submit(other:parallel(math.abs), 1)
    end
    assert.equal(3, pool:info().done)
    assert.equal(1, other:info().done)
  end)

  it("maps with map's options", function()
    local ctx <close> = mp.context { timeout = support.HANG_SECONDS }
    local results, errors = ctx:map(function(x) return assert(x ~= 2 and x) end, { 1, 2, 3 }, { on_error = "none", timeout = 50 })
    assert.same({ 1, nil, 3, n = 3 }, results)
    assert.equal(2, errors[1].index)
  end)

  it("takes whatever a task can run, and handles as dependencies", function()
    local ctx <close> = mp.context()
    assert.equal(3, ctx:submit("math.abs", ctx:submit(mp.source "return -3")):get())
  end)

  it("can be cancelled and closed before its end", function()
    local ctx <const> = mp.context()
    local handle <const> = ctx:submit(mp.sleep, support.HANG_SECONDS)
    ctx:cancel()
    ctx:close()
    assert.equal("cancelled", handle:status())
    for name, fn in pairs { submit = ctx.submit, map = ctx.map, cancel = ctx.cancel, close = ctx.close } do
      local message, place = refusal(function() fn(ctx, math.abs, {}) end)
      assert.equal(name .. ": the context is closed", message)
      assert.matches("context_spec%.lua:%d+$", place)
    end
  end)

  it("forgets what has ended well: a million tasks in flat memory", function()
    local ctx <close> = mp.context()
    for _ = 1, support.scaled(5000) do ctx:submit(math.abs, 1):get() end
    assert.is_true(#ctx.handles < 200)
  end)

  it("works inside a task", function()
    assert.equal(6, mp.spawn(function()
      local ctx <close> = mp.context()
      local a, b = ctx:submit(math.abs, -2), ctx:submit(math.abs, -4)
      return a:get() + b:get()
    end):get())
    local err <const> = support.failure(mp.spawn(function()
      local ctx <close> = mp.context()
      ctx:submit(mp.sleep, 50)
      ctx:submit(error, "inside")
    end))
    assert.matches("^inside", err.message)
  end)

  it("refuses wrong arguments at the caller", function()
    local ctx <close> = mp.context()
    for _, call in ipairs {
      { "options must be a table, got number", function() mp.context(1) end },
      { "unknown option 'timeut' (did you mean 'timeout'?)", function() mp.context { timeut = 1 } end },
      { "timeout must be a finite number of seconds from 0 to 1e9, got -1", function() mp.context { timeout = -1 } end },
      { "pool must be a pool, got number", function() mp.context { pool = 1 } end },
      { "on_error must be 'raise', 'none', got skip", function() mp.context { on_error = "skip" } end },
      { "bad argument #1 to 'submit' (function or module name expected, got nil)", function() ctx:submit() end },
      { "bad argument #1 to 'submit' (context expected, got number)", function() ctx.submit(1, print) end },
      { "unknown option 'chunks' (did you mean 'chunk'?)", function() ctx:map(print, {}, { chunks = 1 }) end },
      { "bad argument #2 to 'map' (list expected, got nil)", function() ctx:map(print) end },
      { "timeout must be a finite number of seconds from 0 to 1e9, got x", function() ctx:map(print, {}, { timeout = "x" }) end },
    } do
      local message, place = refusal(call[2])
      assert.equal(call[1], message)
      assert.matches("context_spec%.lua:%d+$", place or "(nowhere)", nil, nil, call[1])
    end
    local message, place = refusal(function() ctx:submit(print, io.stdout) end)
    assert.matches("^args%[1%] %(userdata 'FILE%*'%) cannot be sent to a worker", message)
    assert.matches("context_spec%.lua:%d+$", place)
  end)

  it("left by an error that is nil, or with its coroutine, cancels as by any other", function()
    local function leave_by_nil()
      local ctx <close> = mp.context()
      ctx:submit(mp.sleep, support.HANG_SECONDS)
      error()
    end
    local started <const> = mp.now()
    assert.same({ false, n = 2 }, table.pack(pcall(leave_by_nil)))
    assert.same({ false, n = 2 }, table.pack(coroutine.wrap(pcall)(leave_by_nil)))
    assert.same({ false, n = 2 }, table.pack(mp.spawn(function() return pcall(leave_by_nil) end):get()))
    local co <const> = coroutine.create(function()
      local ctx <close> = mp.context()
      ctx:submit(mp.sleep, support.HANG_SECONDS)
      coroutine.yield()
    end)
    coroutine.resume(co)
    assert.is_true((coroutine.close(co)))
    assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
  end)

  it("left by return, break or goto waits", function()
    local done <const> = {}
    local function submit(name)
      local ctx <const> = mp.context()
      done[#done + 1] = ctx:submit(function(n) mp.sleep(0.02) return n end, name)
      return ctx
    end
    for _ = 1, 1 do -- luacheck: ignore
      local ctx <close> = submit "break" -- luacheck: ignore
      break
    end
    do
      local ctx <close> = submit "goto" -- luacheck: ignore
      goto out
    end
    ::out::
    local function return_from()
      local ctx <close> = submit "return" -- luacheck: ignore
      return 1
    end
    assert.equal(1, return_from())
    coroutine.wrap(function() local ctx <close> = submit "coroutine" end)() -- luacheck: ignore
    for i, name in ipairs { "break", "goto", "return", "coroutine" } do assert.same({ true, name }, { done[i]:pget(0) }) end
  end)
end)
