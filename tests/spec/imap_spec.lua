_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local HANG <const> = support.HANG_SECONDS

local function double(n) return 2 * n end

local function fail_at_three(n)
  if n == 3 then error({ code = 3 }) end
  return n
end

local function count_to(n, after)
  local i = 0
  return function()
    i = i + 1
    if i <= n then return i end
    if after then after() end
  end
end

-- What the loop gives: {index, result}, ...
local function collect(...)
  local seen <const> = {}
  for i, result in mp.imap(...) do seen[#seen + 1] = { i, result } end
  return seen
end

local function assert_idle()
  support.wait_until(function() return mp.get_active_task_count() == 0 end)
end

describe("mp.imap", function()
  it("gives indices and results in order, of a list", function()
    assert.same({ { 1, 10 }, { 2, 6 }, { 3, 8 } }, collect(double, { 5, 3, 4 }))
    assert.same({}, collect(double, {}))
  end)

  it("gives them of an iterator", function()
    assert.same({ { 1, 2 }, { 2, 4 }, { 3, 6 } }, collect(double, count_to(3)))
    assert.same({}, collect(double, count_to(0)))
  end)

  it("takes what io.lines, ipairs, pairs and gmatch return, with all their values", function()
    local file <close> = support.temporary_file "a\nbc\n"
    assert.same({ { 1, "A" }, { 2, "BC" } }, collect(string.upper, io.lines(file.path)))
    local function join(...) return table.concat({ ... }, ",") end
    assert.same({ { 1, "1,x" }, { 2, "2,y" } }, collect(join, ipairs { "x", "y" }))
    assert.same({ { 1, "k,v" } }, collect(join, pairs { k = "v" }))
    assert.same({ { 1, "a,1" }, { 2, "b,2" } }, collect(join, ("a=1 b=2"):gmatch "(%w+)=(%w+)"))
  end)

  it("takes options behind a list, an iterator, or an iterator with its state", function()
    for _, seen in ipairs {
      collect(double, { 1, 2 }, { chunk = 1 }), collect(double, count_to(2), { chunk = 1 }),
      collect(function(_, v) return double(v) end, next, { 1, 2 }, nil, { chunk = 1 }),
    } do
      assert.same({ { 1, 2 }, { 2, 4 } }, seen)
    end
    for _, call in ipairs {
      function() return mp.imap(double, {}, { chnk = 1 }) end,
      function() return mp.imap(double, count_to(1), { chnk = 1 }) end,
      function() return mp.imap(double, next, {}, nil, { chnk = 1 }) end,
      function() return mp.imap(double, next, {}, nil, nil, { chnk = 1 }) end,
    } do
      assert.equal("unknown option 'chnk' (did you mean 'chunk'?)", (support.refusal(call)))
    end
  end)

  it("keeps results that are nil or false, and items that are", function()
    assert.same({ { 1, nil }, { 2, false } }, collect(function(i) if i == 2 then return false end end, { 1, 2 }))
    assert.same({ { 1, "nil" }, { 2, "false" } }, collect(tostring, { nil, false, n = 2 }))
  end)

  it("runs functions by name, source, tasks and callable tables", function()
    assert.same({ { 1, "A" } }, collect("string.upper", { "a" }))
    assert.same({ { 1, 2 } }, collect(mp.source "return 1 + ...", count_to(1)))
    assert.same({ { 1, 2 } }, collect(mp.parallel(double), { 1 }))
    assert.same({ { 1, "1,x" } }, collect("fixtures.counter.join", ipairs { "x" }))
  end)

  it("reads nothing before the loop, and no more than its window ahead", function()
    local read = 0
    local function source()
      read = read + 1
      return read <= 1000 and read or nil
    end
    for _, window in ipairs { 1, 7, 100 } do
      read = 0
      local step, state, control, closing = mp.imap(double, source, { window = window })
      assert.equal(0, read)
      local given = 0
      while given < 500 do
        control = step(state, control)
        given = given + 1
        -- the chunk that is given out is read beside the window
        assert.is_true(read - given <= 2 * window, ("%d read, %d given"):format(read, given))
      end
      getmetatable(closing).__close(closing)
    end
  end)

  it("takes chunks of the size asked for, and larger ones by itself", function()
    local function where() return mp.get_current_task_id() end
    local sizes <const> = {}
    for _, id in mp.imap(where, count_to(20), { chunk = 4 }) do sizes[id] = (sizes[id] or 0) + 1 end
    for _, size in pairs(sizes) do assert.equal(4, size) end
    local ids, tasks = {}, 0
    for _, id in mp.imap(where, count_to(20000)) do
      if not ids[id] then tasks = tasks + 1 end
      ids[id] = true
    end
    assert.is_true(tasks < 2000, tasks)
  end)

  it("gives what is ready first when unordered, with the index of its item", function()
    local pool <close> = mp.pool { workers = 2 }
    local order <const> = {}
    for i, result in mp.imap(function(s)
      mp.sleep(s)
      return s
    end, { 0.2, 0, 0.01 }, { unordered = true, chunk = 1, pool = pool }) do
      order[#order + 1] = i
      assert.equal(({ 0.2, 0, 0.01 })[i], result)
    end
    assert.equal(1, order[3])
  end)

  it("raises an item's error in its place, after the results before it", function()
    for _, chunk in ipairs { 1, 3, 10 } do
      local seen <const> = {}
      local ok, err = pcall(function()
        for i, result in mp.imap(fail_at_three, count_to(10), { chunk = chunk }) do seen[i] = result end
      end)
      assert.is_false(ok)
      assert.same({ 1, 2 }, seen)
      assert.equal("error", err.kind)
      assert.same({ code = 3 }, err.value)
      assert.equal(3, err.index)
      assert.matches("imap_spec.lua:10:", err.traceback, 1, true)
    end
    assert_idle()
  end)

  it("raises an error whose value cannot travel as its text", function()
    local ok, err = pcall(collect, function() error(io.stdout) end, { 1 })
    assert.is_false(ok)
    assert.is_nil(err.value)
    assert.matches("^file %(", err.message)
  end)

  it("leaves failed items out with skip, and gives nil and the message with none", function()
    assert.same({ { 1, 1 }, { 2, 2 }, { 4, 4 } }, collect(fail_at_three, count_to(4), { on_error = "skip" }))
    local messages <const> = {}
    for i, result, message in mp.imap(function(i) return i ~= 2 and i or error("two", 0) end, { 1, 2, 3 }, { on_error = "none" }) do
      messages[i] = message or result
    end
    assert.same({ 1, "two", 3 }, messages)
  end)

  it("fails every item when the function cannot be made there", function()
    local n = 0
    for _, result, message in mp.imap("no.such.fn", { 1, 2 }, { on_error = "none" }) do
      n = n + 1
      assert.is_nil(result)
      assert.matches("no function 'no.such.fn'", message, 1, true)
    end
    assert.equal(2, n)
    assert.has_error(function() collect("no.such.fn", { 1 }) end)
  end)

  it("raises the iterator's error after the results of what it gave before", function()
    local seen <const> = {}
    local ok, err = pcall(function()
      for i, result in mp.imap(double, count_to(3, function() error("source", 0) end)) do seen[i] = result end
    end)
    assert.same({ false, "source" }, { ok, err })
    assert.same({ 2, 4, 6 }, seen)
  end)

  it("raises what cannot be sent in its place, at the loop", function()
    local seen <const> = {}
    local place
    local ok, err = pcall(function()
      place = support.here(1)
      for i, result in mp.imap(type, { 1, 2, io.stdout, 4 }, { chunk = 4 }) do seen[i] = result end
    end)
    assert.is_false(ok)
    assert.same({ "number", "number" }, seen)
    assert.matches(place .. ": list[3] (userdata", err, 1, true)
  end)

  it("waits for room in a pool that takes only so many, and says so if there is none", function()
    local pool <close> = mp.pool { workers = 1, max_queue = 1, full_timeout = 0 }
    local n = 0
    for i, result in pool:imap(double, count_to(200), { chunk = 3 }) do
      assert.equal(2 * i, result)
      n = n + 1
    end
    assert.equal(200, n)
    local running, queued = support.sleeper(pool), pool:spawn(mp.sleep, HANG)
    assert.matches("full", (support.refusal(function() for _ in pool:imap(double, count_to(5)) do error "never" end end)), 1, true)
    queued:cancel()
    running:cancel()
  end)

  it("does not call an iterator again that has ended", function()
    local ended = 0
    collect(double, count_to(5, function() ended = ended + 1 end))
    assert.equal(1, ended)
  end)

  it("closes the iterator's closing value at the end, on leaving early, and on an error", function()
    local closed = 0
    local closing <const> = setmetatable({}, { __close = function() closed = closed + 1 end })
    collect(double, count_to(3), nil, nil, closing)
    assert.equal(1, closed)
    for i in mp.imap(double, count_to(3), nil, nil, closing) do
      if i == 1 then break end
    end
    assert.equal(2, closed)
    pcall(collect, fail_at_three, count_to(5), nil, nil, closing)
    assert.equal(3, closed)
  end)

  it("cancels the rest when the loop is left early", function()
    local pool <close> = mp.pool { workers = 1 }
    for i in mp.imap(function(i) if i > 1 then mp.sleep(HANG) end end, count_to(100), { chunk = 1, pool = pool }) do
      if i == 1 then break end
    end
    support.wait_until(function() return pool:info().finished == pool:info().submitted end)
    assert.equal(1, pool:info().done) -- whatever else was on its way is cancelled
  end)

  it("gives up at its timeout with the rest cancelled", function()
    local ok, err = pcall(collect, mp.sleep, { HANG, HANG }, { timeout = 0.05, chunk = 1 })
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
    assert.equal("imap: 2 not finished after 0.05 s", err.message)
    assert_idle()
  end)

  it("gives a result that is there although the source is slow", function()
    local read = 0
    local function slow()
      read = read + 1
      if read > 1 then mp.sleep(0.02) end
      return read <= 20 and read or nil
    end
    for i in mp.imap(double, slow) do
      if i == 1 then break end
    end
    assert.is_true(read < 10, read)
  end)

  it("gives the same random numbers for a seed as map, at any number of workers and size of chunk", function()
    local function draw() return math.random(1 << 40) end
    local expected <const> = mp.map(draw, { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { seed = 7 })
    for _, workers in ipairs { 1, 3 } do
      local pool <close> = mp.pool { workers = workers }
      for _, chunk in ipairs { false, 1, 4 } do
        for i, value in pool:imap(draw, count_to(9), { seed = 7, chunk = chunk or nil }) do assert.equal(expected[i], value) end
      end
    end
  end)

  it("names its tasks, gives them priority, and works in a pool of its own and inside tasks", function()
    local pool <close> = mp.pool { workers = 1 }
    local function name() return mp.current():name() end
    assert.same({ { 1, "row" } }, collect(name, { 1 }, { name = "row", priority = 3, pool = pool }))
    assert.equal(1, pool:info().done)
    for _, result in pool:imap(double, { 4 }) do assert.equal(8, result) end
    assert.equal(2, pool:info().done)
    assert.equal(6, mp.spawn(function()
      local sum = 0
      for _, result in mp.imap(double, { 1, 2 }) do sum = sum + result end
      return sum
    end):get())
  end)

  it("tells its progress, with the total of a list and without that of an iterator", function()
    local calls, record = support.recorder()
    collect(double, { 1, 2, 3 }, { progress = record, chunk = 1 })
    assert.same({ 3, 3, n = 2 }, calls[calls.n])
    local others, record_others = support.recorder()
    collect(double, count_to(3), { progress = record_others })
    assert.same({ 3, nil, n = 2 }, others[others.n])
  end)

  it("holds a window of a long file, not the file", function()
    if support.sanitized then return pending "a sanitizer keeps freed memory" end
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      local path = os.tmpname()
      local file = io.open(path, "w")
      for i = 1, 300000 do file:write("line ", i, (" and some more"):rep(5), "\n") end
      file:close()
      local function resident()
        for line in io.lines "/proc/self/status" do
          local kb = line:match "^VmRSS:%s*(%d+)"
          if kb then return tonumber(kb) end
        end
      end
      local n, most = 0, 0
      for i, length in mp.imap(function(line) return #line end, io.lines(path)) do
        n = n + 1
        if i % 20000 == 0 then most = math.max(most, resident()) end
      end
      os.remove(path)
      print(n, most)
    ]]
    local n, most = child.stdout:match "(%d+)%s+(%d+)"
    assert.equal("300000", n, child.stderr)
    assert.is_true(tonumber(most) < 20000, most) -- kB; the file has 24 MB
  end)

  it("gives out all results before it raises what closing the iterator raised", function()
    local got <const> = {}
    local closing <const> = setmetatable({}, { __close = function() error("closing", 0) end })
    local ok <const>, err <const> = pcall(function()
      for i, result in mp.imap(double, count_to(5), nil, nil, closing) do got[i] = result end
    end)
    assert.same({ false, "closing" }, { ok, err })
    assert.same({ 2, 4, 6, 8, 10 }, got)
  end)

  it("refuses wrong arguments, at the caller", function()
    local refusals <const> = {
      { "bad argument #1 to 'imap' (function or module name expected, got nil)", nil, {} },
      { "bad argument #2 to 'imap' (iterator or list expected, got nil)", double },
      { "bad argument #2 to 'imap' (iterator or list expected, got number)", double, 5 },
      { "bad argument #2 to 'imap' (its field n is -1)", double, { n = -1 } },
      { "options must be a table, got number", double, {}, 5 },
      { "window must be an integer from 1 to 1073741824, got 0", double, {}, { window = 0 } },
      { "chunk must be an integer from 1 to 1048576, got 1.5", double, {}, { chunk = 1.5 } },
      { "on_error must be 'raise', 'skip', 'none', got bogus", double, {}, { on_error = "bogus" } },
      { "unordered must be true or false, got yes", double, {}, { unordered = "yes" } },
      { "timeout must be a finite number of seconds from 0 to 1e9, got -1", double, {}, { timeout = -1 } },
      { "progress must be true, 'plain' or a function, got 5", double, {}, { progress = 5 } },
      { "name must be a string, got boolean", double, {}, { name = true } },
      { "pool must be a pool, got table", double, {}, { pool = {} } },
    }
    for _, case in ipairs(refusals) do
      local message, place = support.refusal(function() mp.imap(case[2], case[3], case[4]) end)
      assert.equal(case[1], message)
      assert.equal(support.here(-2), place)
    end
    for _, name in ipairs { "seed", "priority" } do
      assert.matches("^" .. name .. " must be an integer", (support.refusal(mp.imap, double, {}, { [name] = "x" })))
    end
  end)
end)
