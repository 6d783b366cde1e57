_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local has_cjson <const>, cjson = pcall(require, "cjson")

-- What a pool with the options wrote while `use(pool)` ran: a list of events.
local function traced(options, use)
  local file <close> = support.temporary_file()
  options.trace = file.path
  do
    local pool <close> = mp.pool(options)
    use(pool)
  end
  return cjson.decode(support.read(file.path))
end

local function tasks_of(events)
  local found <const> = {}
  for _, event in ipairs(events) do
    if event.ph == "X" then found[#found + 1] = event end
  end
  return found
end

describe("trace", function()
  if not has_cjson then return pending "needs cjson" end

  it("has an event for each task: its name, thread, times and end", function()
    local id
    local events <const> = tasks_of(traced({ workers = 1 }, function(pool)
      local nap <const> = pool:parallel(mp.sleep, { name = "nap" })(0.01)
      nap:get()
      id = nap:id()
    end))
    assert.equal(1, #events)
    local event <const> = events[1]
    assert.same({ "nap", 1, id, "done" }, { event.name, event.tid, event.args.id, event.args.state })
    assert.is_true(event.ts >= 0 and event.dur >= 10000 and event.args.queued_us > 0)
  end)

  it("tells how tasks ended", function()
    local states <const> = {}
    local events <const> = tasks_of(traced({ workers = 1 }, function(pool)
      pool:parallel(error, { name = "fails" })("x"):pget()
      pool:parallel(function() while true do end end, { name = "late", timeout = 0.05 })():pget()
      local goes <const> = pool:parallel(function()
        mp.report_progress(0.5)
        while true do end
      end, { name = "goes" })()
      while goes:progress() == 0 do mp.sleep(0.001) end
      goes:cancel()
    end))
    for _, event in ipairs(events) do states[event.name] = event.args.state end
    assert.same({ fails = "failed", late = "timeout", goes = "cancelled" }, states)
  end)

  it("names what has no name by its function", function()
    local names <const> = {}
    local events <const> = tasks_of(traced({ workers = 2 }, function(pool)
      pool:spawn(function() end):get()
      pool:spawn("string.rep", "x", 3):get()
      pool:map(function(x) return x end, { 1, 2, 3 }, { chunk = 3 })
    end))
    for _, event in ipairs(events) do names[#names + 1] = event.name end
    assert.matches("^function <.*trace_spec.lua:%d+>$", names[1])
    assert.equal("string.rep", names[2])
    assert.matches("^function <.*trace_spec.lua:%d+>$", names[3])
  end)

  it("is JSON whatever a task is called", function()
    local long <const> = ("\u{e9}"):rep(300)
    local odd <const> = { 'a "quoted" \\ name', "two\nlines\0", "h\u{e9}llo \u{1F600}", "\xff\xc0\x80\xed\xa0\x80", long, "" }
    local events <const> = tasks_of(traced({ workers = 1 }, function(pool)
      for _, name in ipairs(odd) do pool:parallel(math.abs, { name = name })(1):get() end
    end))
    assert.equal("a 'quoted' ? name", events[1].name)
    assert.matches("^two%?lines", events[2].name)
    assert.equal(odd[3], events[3].name)
    assert.equal("??????", events[4].name)
    assert.equal(long:sub(1, #events[5].name), events[5].name)
    assert.is_true(utf8.len(events[5].name) > 20)
  end)

  it("shows tasks that run while another waits inside it, and names each thread once", function()
    local events <const> = traced({ workers = 1 }, function(pool)
      pool:parallel(function(n)
        return require("makeparallel").parallel(math.abs, { name = "inner" })(n):get()
      end, { name = "outer" })(-1):get()
    end)
    local inner <const>, outer <const> = table.unpack(tasks_of(events))
    assert.same({ "inner", "outer" }, { inner.name, outer.name })
    assert.is_true(outer.ts <= inner.ts and inner.ts + inner.dur <= outer.ts + outer.dur)
    local threads <const> = {}
    for _, event in ipairs(events) do
      if event.name == "thread_name" then
        assert.is_nil(threads[event.tid])
        threads[event.tid] = event.args.name
      end
    end
    assert.equal("worker 0", threads[inner.tid])
  end)

  it("keeps up with many workers: every line is whole", function()
    local events <const> = tasks_of(traced({ workers = 4 }, function(pool)
      local tiny <const> = pool:parallel(math.abs)
      local handles <const> = {}
      for i = 1, 2000 do handles[i] = tiny(i) end
      mp.gather(handles)
    end))
    local seen <const> = {}
    for _, event in ipairs(events) do seen[event.args.id] = true end
    assert.equal(2000, #events)
    for i = 1, 2000 do assert.is_true(seen[i]) end
  end)

  -- What a program wrote that was given the file's name.
  local function traced_child(source, options)
    local file <close> = support.temporary_file()
    local child <const> = support.run_child(("local path <const> = %q\n"):format(file.path) .. source, options)
    assert.same({ 0, "" }, { child.code, child.stderr })
    return support.read(file.path)
  end

  it("is left alone by a child of fork, which has no workers", function()
    local text <const> = traced_child([[
      local mp, process = require "makeparallel", require "process"
      mp.configure { workers = 1, trace = path }
      mp.spawn(math.abs, 1):get()
      local child = process.fork()
      if child == 0 then os.exit(pcall(mp.spawn, math.abs, 2) and 1 or 0, true) end
      assert(process.wait(child) == 0)
      mp.spawn(math.abs, 3):get()
    ]], { environment = "ASAN_OPTIONS=detect_leaks=0" }) -- LeakSanitizer looks for the parent's threads in the child
    assert.equal(2, #tasks_of(cjson.decode(text)))
  end)

  it("survives a process that ends without ending the pool", function()
    local text <const> = traced_child [[
      local mp = require "makeparallel"
      mp.configure { workers = 1, trace = path }
      mp.spawn(math.abs, 1):get()
      require("process").exit(0)
    ]]
    assert.equal(1, #tasks_of(cjson.decode((text:gsub(",\n$", "]")))))
  end)

  it("is whole after a shutdown; a worker that is stuck ends it when it comes back", function()
    local text <const> = traced_child [[
      local mp = require "makeparallel"
      mp.configure { workers = 2, trace = path }
      local stuck = mp.parallel(os.execute, { name = "stuck" })("sleep 0.3")
      while stuck:status() ~= "running" do mp.sleep(0.001) end
      assert(mp.shutdown({ timeout = 0 }).stuck == 1)
      stuck = nil
      collectgarbage()
      mp.reset_shutdown() -- nothing holds the pool any more but the worker
      assert(not io.open(path):read("a"):find("]", 1, true))
      while not io.open(path):read("a"):find("]", 1, true) do os.execute "sleep 0.01" end
    ]]
    local tasks <const> = tasks_of(cjson.decode(text))
    assert.same({ 1, "stuck", "cancelled" }, { #tasks, tasks[1].name, tasks[1].args.state })
  end)
end)

describe("trace refuses", function()
  it("what is no name of a file", function()
    assert.matches("trace must be the name of a file to write, got table", support.refusal(mp.pool, { trace = {} }), 1, true)
    assert.matches("trace must be the name of a file to write, got boolean", support.refusal(mp.configure, { trace = true }), 1, true)
  end)

  it("a file that cannot be written, and says why", function()
    local text <const> = support.refusal(mp.pool, { trace = "/nowhere/at/all.json" })
    assert.matches("trace: cannot write to /nowhere/at/all.json: No such file or directory", text, 1, true)
  end)
end)
