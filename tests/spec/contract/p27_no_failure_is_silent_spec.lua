-- Promise 27: an error in a callback, and a failed task that nobody looked at, are a line on stderr, unless `log` says otherwise.
_ENV = require("support").globals(_ENV)
local support <const> = require "support"

local HEAD <const> = [[
  local mp = require "makeparallel"
  local function fail(text) error(text or "disk full", 0) end
  mp.configure { workers = 2 }
]]

local function child_of(body, environment) return support.run_child(HEAD .. body, { environment = environment }) end

-- How the lines on stderr end, sorted.
local function lines_of(body)
  local lines <const> = {}
  for line in child_of(body).stderr:gmatch "[^\n]+" do lines[#lines + 1] = line:gsub("#%d+", "#"):gsub("%S*/lua_[^:]*:", "x:") end
  table.sort(lines)
  return lines
end

describe("promise 27: told in one line", function()
  local function it_tells(what, body, expected)
    it(what, function() assert.same(expected, lines_of(body)) end)
  end

  it_tells("is a failed task without a handle, when the program ends", "mp.spawn(fail) mp.sleep(0.1)",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: disk full" })
  it_tells("is one whose handle went before it ended",
    "mp.spawn(function() mp.sleep(0.05) error('late', 0) end) collectgarbage() mp.sleep(0.3)",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: late" })
  it_tells("is one that was waited for and not looked at", "local h = mp.spawn(fail, 'one\\ntwo') h:wait() print(h:is_ready(), h)",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: one two" })
  it_tells("is a task with a name, and with options", "mp.parallel(fail, { name = 'save', priority = 1 })():wait()",
    { "makeparallel: error: task: task 'save' (started at x:4) failed, and nobody looked: disk full" })
  it_tells("is a timeout", "mp.parallel(mp.sleep, { timeout = 0.01 })(5):wait()",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: timed out after 0.01 s" })
  it_tells("is, of tasks that depend on each other, the last", "local a = mp.spawn(fail) mp.spawn(print, a):wait()",
    { "makeparallel: error: task: task # (started at x:4) did not run, for one it depends on failed, and nobody looked: disk full" })
  it_tells("is a task of a task", "mp.spawn(function(fail) require('makeparallel').spawn(fail):wait() end, fail):get()",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: disk full" })
  it_tells("is an error in a callback", "mp.spawn(print):on_complete(function() fail 'typo' end):get()",
    { "makeparallel: error: callback: error in a callback of task #: typo" })
  it_tells("is a failure with no text", "mp.spawn(fail, {}):wait()",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: (error object is a table value)" })
  it_tells("are the failures that a context leaves in its handles",
    "do local ctx <close> = mp.context { on_error = 'none' } ctx:submit(fail) end",
    { "makeparallel: error: task: task # (started at x:4) failed, and nobody looked: disk full" })
end)

describe("promise 27: nothing is told of", function()
  for what, body in pairs {
    ["what was got"] = "pcall(function() mp.spawn(fail):get() end) mp.spawn(fail):pget()",
    ["what on_error was called with"] = "mp.spawn(fail):on_error(function() end):wait()",
    ["what was cancelled"] = [[local h = mp.spawn(fail) h:cancel() h:wait()
      local slow = mp.spawn(mp.sleep, 60) slow:cancel() slow:wait()]],
    ["what depends on a task that was cancelled"] = [[local a = mp.spawn(mp.sleep, 60) mp.spawn(print, a) a:cancel()
      local pool <close> = mp.pool { workers = 1 } pool:spawn(print, pool:spawn(mp.sleep, 60))]],
    ["a cancel that was passed on"] = [[local a = mp.spawn(mp.sleep, 60)
      local b = mp.spawn(function(list) list[1]:get() end, { a }) mp.sleep(0.05) a:cancel() b:wait()]],
    ["pieces that end with the one that failed"] = [[local numbers = {} for i = 1, 100 do numbers[i] = i end
      pcall(mp.map, fail, numbers, { chunk = 1 }) pcall(mp.each, 1, 100, fail, { chunk = 1 })
      pcall(mp.reduce, fail, fail, numbers, { chunk = 1 })
      pcall(function() for _ in mp.imap(fail, numbers, { chunk = 1 }) do end end)]],
    ["a list that was gathered"] = [[local function list() local l = {} for i = 1, 10 do l[i] = mp.spawn(fail) end return l end
      pcall(mp.gather, list()) mp.gather(list(), { on_error = "skip" })]],
    ["what a context raised"] = "pcall(function() local ctx <close> = mp.context() for _ = 1, 5 do ctx:submit(fail) end end)",
    ["what a graph raised"] = [[local g = mp.graph() g:add("a", fail) g:add("b", print, { after = { "a" } })
      g:add("c", fail) pcall(g.run, g)]],
    ["a retry that was got in the end"] = "pcall(mp.retry(function() mp.spawn(fail):get() end, 2))",
    ["an error passed on"] = "mp.spawn(function(f) require('makeparallel').spawn(f):get() end, fail):pget()",
    ["tasks that are done"] = "for i = 1, 100 do mp.spawn(math.abs, i) end",
  } do
    it(what, function() assert.same({}, lines_of(body)) end)
  end

  it("anything where MAKEPARALLEL_LOG or log says off", function()
    local body <const> = "mp.spawn(fail) mp.spawn(print):on_complete(function() fail() end):get()"
    assert.equal("", child_of(body, "MAKEPARALLEL_LOG=off").stderr)
    assert.equal("", child_of("mp.configure { log = 'off' } " .. body).stderr)
    assert.equal("", child_of("mp.configure { log = false } " .. body).stderr)
  end)
end)
