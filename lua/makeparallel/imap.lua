-- mp.imap: a function over whatever an iterator gives, for use in a loop: lazy, in order, reading a bounded number ahead.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local inworker = require "makeparallel.inworker"
local pace = require "makeparallel.pace"
local progress = require "makeparallel.progress"
local stream = require "makeparallel.stream"
local math <const>, table <const> = math, table

local imap = {}

local OPTIONS <const> = { "chunk", "window", "on_error", "unordered", "progress", "timeout", "seed", "name", "priority", "pool" }
local ON_ERROR <const> = { "raise", "skip", "none" }
local WINDOW_MAX <const> = 1 << 30

--
-- Sources (see stream.lua)
--

local list_methods = {}
local list_mt = { __index = list_methods }

local function list_source(list, n)
  return setmetatable({ list = list, n = n, taken = 0 }, list_mt)
end

function list_methods:left()
  return self.n - self.taken
end

function list_methods:take(wanted)
  local first, count = self.taken + 1, math.min(wanted, self.n - self.taken)
  self.taken = self.taken + count
  return self.list, first, count, count, 0
end

function list_methods.close() end

local iterator_methods = {}
local iterator_mt = { __index = iterator_methods }

local function iterator_source(fn, iterator, state, control, closing)
  return setmetatable({ fn = fn, iterator = iterator, state = state, control = control, closing = closing, taken = 0 }, iterator_mt)
end

function iterator_methods.left() end

-- Reads up to `wanted` items into the table. All have as many values as the first: one goes as it is, several go packed.
local function read(self, items, wanted)
  local iterator, state = self.iterator, self.state
  if self.several == nil then
    local first = table.pack(iterator(state, self.control))
    if first[1] == nil then return end
    self.control, self.several = first[1], first.n > 1
    if self.several then self.spread = inworker.spread(self.fn) end
    items[1] = self.several and first or first[1]
  end
  local deadline = self.deadline
  for i = #items + 1, wanted do
    local item, control
    if deadline and core.now() >= deadline then errors.timeout("imap", i - 1, self.timeout) end
    if self.several then
      item = table.pack(iterator(state, self.control))
      control = item[1]
    else
      item = iterator(state, self.control)
      control = item
    end
    if control == nil then return end
    self.control, items[i] = control, item
  end
end

function iterator_methods:take(wanted)
  if self.failure then error(self.failure.value, 0) end
  local items, n, offset = {}, 0, self.taken
  if not self.ended then
    local ok, err = pcall(read, self, items, wanted)
    n = #items
    if not ok then -- what it gave before it failed are items still
      if n == 0 then error(err, 0) end
      self.failure = { value = err }
    end
    self.ended = n < wanted -- an iterator that has given nil must not be called again
  end
  self.taken = offset + n
  return items, 1, n, n, offset, self.spread
end

-- What a generic `for` does with the iterator's fourth value.
function iterator_methods:close()
  local closing <close> = self.closing -- luacheck: ignore
  self.closing = nil
end

--
-- Arguments
--

local function callable(value)
  local mt = type(value) == "table" and getmetatable(value)
  return type(value) == "function" or type(mt) == "table" and mt.__call ~= nil
end

local function is_options(value)
  local mt = getmetatable(value)
  return type(value) == "table" and not (type(mt) == "table" and mt.__close)
end

-- A list, options; or what pairs, io.lines and others return, options.
local function read_arguments(fn, source, ...)
  if type(source) == "table" and not callable(source) then return list_source(source, check.list(source, "imap", 2, 4)), (...) end
  if not callable(source) and type(source) ~= "userdata" then
    error(("bad argument #2 to 'imap' (iterator or list expected, got %s)"):format(type(source)), 3)
  end
  local n, a, b, c, d = select("#", ...), ...
  if n <= 1 then return iterator_source(fn, source), a end
  if n == 3 and is_options(c) then return iterator_source(fn, source, a, b), c end
  return iterator_source(fn, source, a, b, c), d
end

--
-- The loop
--

local loop_methods = {}
local loop_mt = { __index = loop_methods }

function loop_methods:fail(err)
  self.stream:cancel()
  self.over = true
  error(err, 0)
end

-- Takes the next chunk; false at the end.
function loop_methods:advance()
  if self.failure then self:fail(self.failure) end
  if self.over then return false end
  local chunk, results, got, failures = self.stream:next(4)
  if not chunk then
    self.over = true
    return false
  end
  self.base, self.at, self.n = chunk.first - 1, 0, chunk.count
  self.failed = nil
  if not results then
    if self.on_error == "raise" or got.kind ~= "error" then self:fail(got) end
    self.results, self.failed = {}, {}
    for i = 1, chunk.count do -- it failed as a whole: the function could not be made there
      self.failed[chunk.first + i - 1] = got.message
    end
    return true
  end
  self.results = results
  if #failures > 0 and self.on_error == "raise" then
    self.n, self.failure = got - 1, errors.item(failures[1], self.name)
  elseif #failures > 0 then
    self.failed = {}
    for _, failure in ipairs(failures) do
      self.failed[failure.index] = failure.message
    end
  end
  return true
end

function loop_methods:report_progress()
  self.done = self.done + self.n
  self.report(self.done, self.total)
end

-- -> index, result [, message]
function loop_methods:next()
  if self.timed then self.stream:check_time() end
  while true do
    local at = self.at + 1
    if at > self.n then
      if self.report and self.at > 0 then self:report_progress() end
      self.at, self.n = 0, 0
      if not self:advance() then return nil end
    else
      self.at = at
      local index, failed = self.base + at, self.failed
      if not failed then return index, self.results[at] end
      local message = failed[index]
      if not message then return index, self.results[at] end
      if self.on_error == "none" then return index, nil, message end
    end
  end
end

local function start(pool, fn, source, ...)
  fn = check.callable(fn, "imap")
  local from, options = read_arguments(fn, source, ...)
  options = check.options(options, OPTIONS)
  local on_error = check.choice(options.on_error, "on_error", ON_ERROR)
  check.integer(options.chunk, "chunk", 1, pace.CHUNK_MAX)
  check.integer(options.window, "window", 1, WINDOW_MAX)
  check.integer(options.seed, "seed", math.mininteger, math.maxinteger)
  check.integer(options.priority, "priority", -(1 << 31), (1 << 31) - 1)
  check.string(options.name, "name")
  check.boolean(options.unordered, "unordered")
  check.pool(options.pool)
  check.progress(options.progress)
  local deadline = check.deadline(options.timeout)
  from.deadline, from.timeout = deadline, options.timeout
  local how = {
    chunk = options.chunk,
    window = options.window,
    timeout = options.timeout,
    seed = options.seed,
    name = options.name,
    priority = options.priority,
    pool = options.pool or pool,
  }
  local run = stream.new("imap", fn, from, on_error == "raise" and "keep" or on_error, not options.unordered, deadline, how)
  local total = from:left()
  local report, bar = progress.reporter(options.progress, total)
  local loop = {
    stream = run,
    on_error = on_error,
    name = options.name,
    at = 0,
    n = 0,
    done = 0,
    total = total,
    timed = deadline ~= nil,
    report = report,
  }
  setmetatable(loop, loop_mt)
  local closing = setmetatable({}, {
    __close = function()
      loop.over = true
      run:cancel()
      if bar then bar:close() end
    end,
  })
  return loop_methods.next, loop, nil, closing
end

--- For `for i, result in mp.imap(fn, iterator [, state, control, closing] or list, options) do`. The first result of fn for each item
-- (for all the values an iterator gives), in order, or with `unordered` as they come. Leaving the loop early cancels the rest.
function imap.imap(fn, source, ...)
  return start(nil, fn, source, ...)
end

--- The same in a pool, unless the options name another.
function imap.in_pool(pool, fn, source, ...)
  return start(pool, fn, source, ...)
end

return imap
