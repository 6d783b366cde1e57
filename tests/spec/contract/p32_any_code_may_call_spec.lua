_ENV = require("support").globals(_ENV)
local support <const> = require "support"

-- What is called, in `mp`; `h` is a handle of a task that has ended, `pool` a pool of its own.
local calls <const> = {
  "mp.spawn(math.abs, -1):get()", "mp.spawn(math.abs, -1):wait(1)", "mp.spawn(math.abs, -1):on_complete(print)",
  "mp.map(math.abs, { 1, 2, 3 })", "mp.each(1, 3, math.abs)", "mp.reduce(math.abs, math.max, { 1, 2 })",
  "for _ in mp.imap(math.abs, { 1, 2 }) do end", "mp.gather { mp.spawn(math.abs, 1) }", "mp.wait_any { mp.spawn(math.abs, 1) }",
  "for _ in mp.as_completed { mp.spawn(math.abs, 1) } do end", "mp.sleep(0.001)", "mp.poll()", "mp.run()",
  "mp.go(function() mp.sleep(0.001) end)", "mp.run(function() mp.sleep(0.001) return 1 end)",
  "mp.get_active_task_count()", "mp.get_thread_pool_info()", "mp.fd()", "mp.set_max_concurrent_tasks(4)",
  "mp.configure_memory_limit { max_memory_percent = 99 }", "mp.configure { workers = 2 }", "mp.retry(math.abs, 2)(1)",
  "mp.memoize(math.abs)(1)", "mp.memoize_fast(math.abs)(1)", "mp.timer(math.abs)(1)",
  "mp.graph():add('x', math.abs, { args = { 1 } }):run()",
  "do local ctx <close> = mp.context() ctx:submit(math.abs, 1) end", "mp.class('p32.' .. tostring({}), {})", "mp.report_progress(0.5)",
  "mp.current()", "mp.cancelled()", "mp.get_current_task_id()", "h:get()", "h:cancel()", "h:on_complete(print)", "h:await()",
  "mp.pool { workers = 1 }", "pool:spawn(math.abs, 1):get()", "pool:shutdown()", "pool:info()", "mp.shutdown { timeout = 1 }",
  "mp.reset_shutdown()", "mp.get_metrics()",
}

-- Where: %s is the call, run as `try(function() ... end)`.
local places <const> = {
  ["a finaliser"] = [[
    setmetatable({}, { __gc = call })
    collectgarbage()
    mp.spawn(math.abs, 1):get()
  ]],
  ["a finaliser while a task is submitted"] = [[
    collectgarbage("generational")
    for i = 1, 30 do
      setmetatable({}, { __gc = i % 10 == 0 and call or nil })
      local ok, handle = pcall(mp.spawn, function(t) return #t end, { {}, {}, {}, ("x"):rep(i * 1000) })
      if ok then handle:wait(5) end
    end
  ]],
  ["__close"] = [[
    do local guard <close> = setmetatable({}, { __close = call }) end
    pcall(function() local guard <close> = setmetatable({}, { __close = call }) error "x" end)
  ]],
  ["__mp_pack"] = [[
    local C = mp.class("p32.packed", { __mp_pack = function() call() return 1 end, __mp_unpack = function() return 1 end })
    pcall(function() mp.spawn(type, setmetatable({}, C)):wait(5) end)
  ]],
  ["a callback"] = [[
    local done
    local handle = mp.spawn(math.abs, 1):on_complete(function() call() done = true end)
    pcall(handle.wait, handle, 5)
    pcall(mp.poll)
  ]],
  ["a coroutine"] = [[
    coroutine.wrap(call)()
    local co = coroutine.create(function() coroutine.yield() call() end)
    while coroutine.status(co) ~= "dead" do coroutine.resume(co) end
  ]],
  ["a coroutine of mp.go"] = [[
    pcall(mp.go, call)
    pcall(mp.run)
  ]],
  ["a hook"] = [[
    local n = 0
    debug.sethook(function() n = n + 1 if n == 3 then debug.sethook() call() end end, "l")
    local a = 1
    a = 2
    a = 3
    debug.sethook()
  ]],
  ["a sort"] = [[ pcall(table.sort, { 3, 2, 1 }, function(a, b) call() return a < b end) ]],
  ["the end of the program"] = [[ _G.at_exit = setmetatable({}, { __gc = call }) ]],
  ["the end of the program, before the pool's"] = [[
    mp.shutdown()
    _G.at_exit = setmetatable({}, { __gc = call })
  ]],
  ["a task"] = [[ pcall(function() mp.spawn(call):wait(5) end) ]],
  ["a finaliser in a task"] = [[
    pcall(function()
      mp.spawn(function()
        setmetatable({}, { __gc = call })
        collectgarbage()
        _G.kept = setmetatable({}, { __gc = call })
      end):wait(5)
    end)
  ]],
  ["a task that is cancelled"] = [[
    pcall(function()
      local handle = mp.spawn(function()
        local guard <close> = setmetatable({}, { __close = call })
        mp.report_progress(1)
        while true do end
      end)
      while handle:progress() ~= 1 and not handle:is_ready() do end
      handle:cancel()
      handle:wait(5)
    end)
  ]],
  ["setup"] = [[ pcall(function() mp.pool({ workers = 1, setup = call, log = "off" }):spawn(math.abs, 1):wait(5) end) ]],
  ["main, after shutdown"] = [[ mp.shutdown() call() mp.reset_shutdown() call() ]],
  ["main, before all else"] = [[ call() ]],
}

describe("promise 32: any code may call us,", function()
  for place, body in pairs(places) do
    it(place .. ": no call crashes or hangs", function()
      -- All calls in one process: only where that fails a process each, to tell which.
      local function source(list)
        local lines <const> = {}
        for _, call in ipairs(list) do
          lines[#lines + 1] = ([[
            do
              local mp = require "makeparallel"
              pcall(mp.reset_shutdown)
              local ok, pool = pcall(mp.pool, { workers = 1, log = "off" })
              local h = ok and pool:spawn(math.abs, 1)
              if not ok then pool, h = nil, nil end
              local function call() local mp = require "makeparallel" pcall(function() %s end) end
              pcall(function()
                %s
              end)
            end]]):format(call, body)
        end
        return table.concat(lines, "\n")
      end
      local child = support.run_child(source(calls), { environment = "MAKEPARALLEL_LOG=off" })
      if child.code == 0 then return end
      for _, call in ipairs(calls) do
        child = support.run_child(source { call }, { environment = "MAKEPARALLEL_LOG=off" })
        assert.equal(0, child.code, call .. ": " .. child.stderr)
      end
      error("only all calls together fail: " .. child.stderr)
    end)
  end
end)
