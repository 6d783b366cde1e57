_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

-- Runs each with a function that appends what it is called with to a file, one line a call, and returns the lines sorted.
local function lines_of(...)
  local file <close> = support.temporary_file()
  local path <const> = file.path
  local arguments <const> = table.pack(...)
  local function note(...)
    local out <close> = assert(io.open(path, "a"))
    out:write(table.concat({ ... }, " "), "\n")
  end
  for i = 1, arguments.n do
    if arguments[i] == "note" then arguments[i] = note end
  end
  local total <const> = mp.each(table.unpack(arguments, 1, arguments.n))
  local lines <const> = {}
  for line in file:read():gmatch "[^\n]+" do lines[#lines + 1] = line end
  table.sort(lines, function(a, b) return tonumber(a:match "%S+") < tonumber(b:match "%S+") end)
  return lines, total
end

local function fail_at_three(i) if i == 3 then error("three", 0) end end

describe("mp.each", function()
  it("calls the function once for each number of the range", function()
    local lines, total = lines_of(1, 5, "note")
    assert.same({ "1", "2", "3", "4", "5" }, lines)
    assert.equal(5, total)
    assert.equal(0, mp.each(2, 1, print))
  end)

  it("goes in steps, also downwards", function()
    assert.same({ "1", "4", "7" }, (lines_of(1, 9, 3, "note")))
    assert.same({ "-2", "0", "2" }, (lines_of(2, -3, -2, "note")))
    assert.equal(0, mp.each(1, 9, -1, print))
  end)

  it("covers ranges of any length in chunks of any size", function()
    for _, n in ipairs { 1, 3, 1000 } do
      for _, chunk in ipairs { false, 1, 7, 5000 } do
        local _, total = lines_of(0, n - 1, "note", { chunk = chunk or nil })
        assert.equal(n, total)
      end
    end
    assert.equal(3, mp.each(math.maxinteger - 2, math.maxinteger, math.abs))
  end)

  it("gives whole ranges when asked: from, to and step", function()
    assert.same({ "1 4 1", "5 8 1", "9 9 1" }, (lines_of(1, 9, "note", { ranges = true, chunk = 4 })))
    assert.same({ "1 7 3", "10 10 3" }, (lines_of(1, 12, 3, "note", { ranges = true, chunk = 3 })))
    assert.equal(4, mp.each(1, 4, "math.abs", { ranges = true }))
  end)

  it("raises the error of one and cancels the rest", function()
    local ok, err = pcall(mp.each, 1, 1000, fail_at_three)
    assert.is_false(ok)
    assert.equal("three", err.message)
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("goes on with skip and tells which failed", function()
    local total, errors = mp.each(1, 10, function(i) if i % 4 == 0 then error({ i }) end end, { on_error = "skip", chunk = 3 })
    assert.equal(10, total)
    assert.same({ 4, 8 }, { errors[1].index, errors[2].index })
    assert.equal(2, #errors)
    local failure <const> = select(2, mp.each(1, 5, fail_at_three, { on_error = "skip" }))[1]
    assert.same({ 3, "three", "three" }, { failure.index, failure.message, failure.error.value })
  end)

  it("gives each number its own random numbers for a seed, whatever the workers and chunks", function()
    local function draws(options)
      local file <close> = support.temporary_file()
      local path <const> = file.path
      mp.each(1, 20, function(i)
        local out <close> = assert(io.open(path, "a"))
        out:write(i, " ", math.random(1 << 40), "\n")
      end, options)
      local seen <const> = {}
      for i, value in file:read():gmatch "(%d+) (%d+)" do seen[tonumber(i)] = value end
      return seen
    end
    local expected <const> = draws { seed = 3 }
    for _, workers in ipairs { 1, 3 } do
      local pool <close> = mp.pool { workers = workers }
      assert.same(expected, draws { seed = 3, pool = pool, chunk = workers })
    end
    assert.not_same(expected, draws { seed = 4 })
  end)

  it("gives up at its timeout", function()
    local ok, err = pcall(mp.each, 1, 2, function() mp.sleep(60) end, { timeout = 0.05, chunk = 1 })
    assert.is_false(ok)
    assert.equal("each: 2 not finished after 0.05 s", err.message)
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("names its tasks, gives them priority, tells its progress, and works in a pool", function()
    local pool <close> = mp.pool { workers = 1 }
    local calls, record = support.recorder()
    pool:each(1, 6, function() assert(mp.current():name() == "row") end, { name = "row", priority = 2, progress = record, chunk = 2 })
    assert.equal(3, pool:info().done)
    assert.same({ 6, 6, n = 2 }, calls[calls.n])
    mp.each(1, 2, math.abs, { pool = pool, chunk = 1 })
    assert.equal(5, pool:info().done)
  end)

  it("refuses wrong arguments, at the caller", function()
    local refusals <const> = {
      { "bad argument #1 to 'each' (integer expected, got nil)" },
      { "bad argument #2 to 'each' (integer expected, got float)", 1, 2.5, print },
      { "bad argument #3 to 'each' (integer expected, got float)", 1, 2, 0.5, print },
      { "bad argument #3 to 'each' (step must not be 0)", 1, 2, 0, print },
      { "bad argument #2 to 'each' (range too long)", math.mininteger, math.maxinteger, print },
      { "bad argument #3 to 'each' (function or module name expected, got nil)", 1, 2 },
      { "bad argument #4 to 'each' (function or module name expected, got table)", 1, 2, 1, {} },
      { "unknown option 'chnk' (did you mean 'chunk'?)", 1, 2, print, { chnk = 1 } },
      { "on_error must be 'raise', 'skip', got none", 1, 2, print, { on_error = "none" } },
      { "ranges must be true or false, got 1", 1, 2, print, { ranges = 1 } },
      { "seed cannot be used with ranges: which numbers share one depends on the workers", 1, 2, print, { ranges = true, seed = 1 } },
      { "on_error 'skip' cannot be used with ranges", 1, 2, print, { ranges = true, on_error = "skip" } },
      { "timeout must be a finite number of seconds from 0 to 1e9, got nan", 1, 2, print, { timeout = math.abs(0 / 0) } },
    }
    for _, case in ipairs(refusals) do
      local message, place = support.refusal(function() mp.each(table.unpack(case, 2, 6)) end)
      assert.equal(case[1], message)
      assert.equal(support.here(-2), place)
    end
  end)
end)
