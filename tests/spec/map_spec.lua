_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local function double(n) return 2 * n end

local function odd_only(n)
  if n % 2 == 0 then error(("%d is even"):format(n), 0) end
  return n
end

local function numbers(n)
  local list <const> = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("mp.map", function()
  it("gives the results in order, with n", function()
    local results, errors = mp.map(double, { 5, 3, 4 })
    assert.same({ 10, 6, 8, n = 3 }, results)
    assert.same({}, errors)
  end)

  it("gives an empty list for an empty list", function()
    assert.same({ n = 0 }, mp.map(double, {}))
    assert.same({ n = 0 }, mp.map(double, {}, { on_error = "skip", progress = true, timeout = 0, chunk = 5 }))
  end)

  it("keeps items and results that are nil or false", function()
    assert.same({ "nil", "1", "nil", "false", n = 4 }, mp.map(tostring, { nil, 1, nil, false, n = 4 }))
    local results <const> = mp.map(function(i) if i ~= 2 then return i end end, { 1, 2, 3 })
    assert.equal(3, results.n)
    assert.same({ 1, nil, 3, n = 3 }, results)
  end)

  it("takes the first of several results, nil for none", function()
    assert.same({ 1, 2, n = 2 }, mp.map(function(i) return i, "more" end, { 1, 2 }))
    assert.same({ n = 2 }, mp.map(function() end, { 1, 2 }))
  end)

  for _, n in ipairs { 1, 2, 7, 100, support.scaled(20000) } do
    it(("covers a list of %d once, in chunks of whatever size"):format(n), function()
      for _, chunk in ipairs { false, 1, 3, 1000, 1 << 20 } do
        if n / (chunk or 10) < 3000 then
          local results <const> = mp.map(double, numbers(n), { chunk = chunk or nil })
          assert.equal(n, results.n)
          for i = 1, n do
            if results[i] ~= 2 * i then error(("chunk %s: result %d is %s"):format(chunk, i, results[i])) end
          end
        end
      end
    end)
  end

  it("keeps order when items take very different times", function()
    assert.same({ 3, 0, 1, 0, 2, n = 5 }, mp.map(function(ms)
      mp.sleep(ms / 1000)
      return ms
    end, { 3, 0, 1, 0, 2 }, { chunk = 1 }))
  end)

  it("runs functions by name, source, task objects and callable tables", function()
    assert.same({ "A", "B", n = 2 }, mp.map("string.upper", { "a", "b" }))
    assert.same({ 2, 3, n = 2 }, mp.map(mp.source "return 1 + ...", { 1, 2 }))
    assert.same({ 2, 4, n = 2 }, mp.map(mp.parallel(double), { 1, 2 }))
    assert.same({ 101, n = 1 }, mp.map(require("fixtures.counter").callable, { 1 }))
    assert.same({ 1, 2, n = 2 }, mp.parallel_map(math.abs, { -1, -2 }))
  end)

  it("sends items of every kind, which share within a chunk what they shared", function()
    local shared <const> = { "shared" }
    local list <const> = { { shared, shared }, "x", { n = { 1.0 } }, false, n = 4 }
    assert.is_true(support.equal(list, (mp.map(function(t) return t end, list, { chunk = 4 }))))
  end)

  it("keeps results of different calls apart", function()
    local t <const> = { 0 }
    local results <const> = mp.map(function(i)
      t[1] = i
      return t
    end, { 1, 2, 3 }, { chunk = 3 })
    assert.same({ { 1 }, { 2 }, { 3 }, n = 3 }, results)
    assert.is_false(results[1] == results[2])
  end)

  it("gives the error of an item that fails, and stops the others", function()
    local ok, err = pcall(mp.map, odd_only, { 1, 3, 4, 5 })
    assert.is_false(ok)
    assert.equal("error", err.kind)
    assert.equal("4 is even", err.message)
    assert.equal(3, err.index)
    assert.matches("traceback", err.traceback, 1, true)
    mp.run()
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("leaves failed ones out with skip, and tells which", function()
    local results, errors = mp.map(odd_only, numbers(6), { on_error = "skip" })
    assert.same({ 1, 3, 5, n = 3 }, results)
    for i, failure in ipairs(errors) do
      local message <const> = 2 * i .. " is even"
      assert.same({ 2 * i, message }, { failure.index, failure.message })
      local err = failure.error
      assert.same({ "error", message, 2 * i }, { err.kind, err.message, err.index })
      assert.matches("traceback", err.traceback, 1, true)
    end
    assert.equal(3, #errors)
  end)

  it("leaves nil in place of failed ones with none", function()
    local results, errors = mp.map(odd_only, numbers(6), { on_error = "none", chunk = 4 })
    assert.same({ 1, nil, 3, nil, 5, nil, n = 6 }, results)
    assert.equal(3, #errors)
    assert.equal(4, errors[2].index)
  end)

  it("keeps nothing of a result that could not be sent", function()
    local shared <const> = { "shared" }
    local results, errors = mp.map(function(i)
      if i % 2 == 1 then return { { i }, shared, io.stdout } end
      return { shared, shared, i }
    end, numbers(40), { on_error = "none", chunk = 40 })
    assert.equal(20, #errors)
    for i = 2, 40, 2 do
      assert.same({ { "shared" }, { "shared" }, i }, results[i])
      assert.equal(results[i][1], results[i][2])
    end
  end)

  it("skips failures and nothing else: results that are nil stay", function()
    local results <const> = mp.map(function(i)
      if i == 1 then error "x" end
      if i == 3 then return "three" end
    end, numbers(4), { on_error = "skip" })
    assert.equal(3, results.n)
    assert.is_nil(results[1])
    assert.equal("three", results[2])
  end)

  it("keeps what an item raised, whatever became of the others", function()
    local _, errors = mp.map(function(i) error { code = i } end, numbers(3), { on_error = "none", name = "codes" })
    for i, failure in ipairs(errors) do assert.same({ { code = i }, "codes" }, { failure.error.value, failure.error.task }) end
  end)

  it("tells an error of any type as text", function()
    local _, errors = mp.map(function(i) error(i == 1 and { 1 } or i == 2 and io.stdout or nil) end, numbers(3), { on_error = "none" })
    assert.equal(3, #errors)
    for _, failure in ipairs(errors) do assert.equal("string", type(failure.message)) end
  end)

  it("survives an item whose error has a __tostring that raises", function()
    local results, errors = mp.map(function(i)
      if i == 2 then error(setmetatable({}, { __tostring = function() error "again" end })) end
      return i
    end, numbers(3), { on_error = "none", chunk = 3 })
    assert.same({ 1, nil, 3, n = 3 }, results)
    assert.equal(1, #errors)
    assert.equal(2, errors[1].index)
  end)

  it("fails every item with one reason when the function cannot be made there", function()
    local results, errors = mp.map("no.such.fn", numbers(3), { on_error = "none" })
    assert.same({ n = 3 }, results)
    assert.equal(3, #errors)
    assert.matches("no function 'no.such.fn'", errors[1].message, 1, true)
    assert.has_error(function() mp.map("no.such.fn", { 1 }) end)
  end)

  it("gives up at its timeout with the rest cancelled", function()
    local started <const> = mp.now()
    local ok, err = pcall(mp.map, mp.sleep, { 0, support.HANG_SECONDS, support.HANG_SECONDS }, { timeout = 0.05, chunk = 1 })
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
    assert.matches("^map: %d not finished after 0.05 s$", err.message)
    assert.is_true(mp.now() - started < support.HANG_SECONDS / 2)
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("tells its progress to a function, up to the end", function()
    local calls, record = support.recorder()
    mp.map(double, numbers(20), { progress = record, chunk = 3 })
    local before = 0
    for i = 1, calls.n do
      local done, n = table.unpack(calls[i])
      assert.is_true(done > before and n == 20)
      before = done
    end
    assert.equal(20, before)
  end)

  it("lets an error of the progress function out, with nothing left running", function()
    assert.has_error(function() mp.map(double, numbers(100), { progress = function() error "enough" end, chunk = 1 }) end)
    support.wait_until(function() return mp.get_active_task_count() == 0 end)
  end)

  it("names its tasks and gives them priority", function()
    local names <const> = mp.map(function() return mp.current():name() end, numbers(2), { name = "chunk of work", priority = 5 })
    assert.same({ "chunk of work", "chunk of work", n = 2 }, names)
  end)

  it("works in a pool of its own and inside tasks", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.same({ 2, 4, n = 2 }, pool:map(double, { 1, 2 }))
    assert.same({ 2, 4, n = 2 }, mp.map(double, { 1, 2 }, { pool = pool }))
    assert.same({ 2, 4, n = 2 }, pool:spawn(function() return mp.map(double, { 1, 2 }) end):get())
    assert.same({ { 2, n = 1 }, { 4, n = 1 }, n = 2 }, mp.map(function(i) return mp.map(double, { i }) end, { 1, 2 }))
  end)

  it("reads the list without metamethods of items, and takes a list of handles as handles", function()
    local handles <const> = { mp.spawn(double, 1), mp.spawn(double, 2) }
    assert.same({ 2, 4, n = 2 }, mp.map(function(h) return h:get() end, handles))
  end)

  it("refuses a list that is none", function()
    for _, wrong in ipairs { 5, "x", true } do
      assert.equal(("bad argument #2 to 'map' (list expected, got %s)"):format(type(wrong)), (support.refusal(mp.map, double, wrong)))
    end
    assert.equal("bad argument #2 to 'map' (list expected, got nil)", (support.refusal(mp.map, double)))
    assert.equal("bad argument #2 to 'map' (its field n is -1)", (support.refusal(mp.map, double, { n = -1 })))
    for _, length in ipairs { -5, 2.5, "2", math.huge } do
      local list <const> = setmetatable({ 1, 2 }, { __len = function() return length end })
      for _, each in ipairs { mp.map, mp.imap } do
        local message <const> = support.refusal(each, double, list)
        assert.matches(("bad argument #2 to '.?map' (its length is %s)"):format(length):gsub("[()%-]", "%%%0"), message)
      end
    end
  end)

  it("may submit from the mapped function", function()
    assert.same({ 1, 2, 3, n = 3 }, mp.map(function(i) return mp.spawn(math.abs, -i):get() end, numbers(3), { chunk = 3 }))
  end)
end)
