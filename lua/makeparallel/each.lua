-- mp.each: a function for each number of a range, in chunks, for what it does rather than for what it returns.
local check = require "makeparallel.check"
local errors = require "makeparallel.errors"
local inworker = require "makeparallel.inworker"
local pace = require "makeparallel.pace"
local progress = require "makeparallel.progress"
local stream = require "makeparallel.stream"
local math <const> = math

local each = {}

local OPTIONS <const> = { "chunk", "ranges", "on_error", "progress", "timeout", "seed", "name", "priority", "pool" }
local ON_ERROR <const> = { "raise", "skip" }

-- A source (see stream.lua) of one {from, count} a task.
local range_methods = {}
local range_mt = { __index = range_methods }

function range_methods:left()
  return self.n
end

function range_methods:take(wanted)
  local from, count = self.from, math.min(wanted, self.n)
  self.from, self.n = from + count * self.step, self.n - count
  return { { from, count } }, 1, 1, count, 0
end

function range_methods.close() end

local function check_number(value, index)
  if math.type(value) == "integer" then return end
  error(("bad argument #%d to 'each' (integer expected, got %s)"):format(index, type(value) == "number" and "float" or type(value)), 3)
end

-- How many numbers the range has.
local function count_of(first, last, step)
  if step == 0 then error("bad argument #3 to 'each' (step must not be 0)", 3) end
  if step > 0 and first > last or step < 0 and first < last then return 0 end
  local span = step > 0 and last - first or first - last
  if span < 0 or step == math.mininteger then error("bad argument #2 to 'each' (range too long)", 3) end
  return span // math.abs(step) + 1
end

-- What runs for one {from, count}.
local function worker_function(fn, step, on_error, options)
  if options.ranges then return inworker.whole_range(fn, step) end
  return inworker.range(fn, step, options.seed, on_error == "skip")
end

local function add_failures(all, chunk_failures)
  for _, failure in ipairs(chunk_failures) do
    all[#all + 1] = failure
  end
end

local function start(pool, first, last, ...)
  check_number(first, 1)
  check_number(last, 2)
  local step, at = 1, 3
  local fn, options
  if type((...)) == "number" then
    step, fn, options = ...
    check_number(step, 3)
    at = 4
  else
    fn, options = ...
  end
  local total = count_of(first, last, step)
  fn = check.callable(fn, "each", at)
  options = check.options(options, OPTIONS)
  local on_error = check.choice(options.on_error, "on_error", ON_ERROR)
  check.integer(options.chunk, "chunk", 1, pace.CHUNK_MAX)
  check.integer(options.seed, "seed", math.mininteger, math.maxinteger)
  check.integer(options.priority, "priority", -(1 << 31), (1 << 31) - 1)
  check.string(options.name, "name")
  check.boolean(options.ranges, "ranges")
  check.pool(options.pool)
  check.progress(options.progress)
  if options.ranges and options.seed then error("seed cannot be used with ranges: which numbers share one depends on the workers", 2) end
  if options.ranges and on_error == "skip" then error("on_error 'skip' cannot be used with ranges", 2) end
  local source = setmetatable({ from = first, n = total, step = step }, range_mt)
  local how = {
    chunk = options.chunk,
    window = math.maxinteger,
    timeout = options.timeout,
    name = options.name,
    priority = options.priority,
    pool = options.pool or pool,
  }
  local run = stream.new("each", worker_function(fn, step, on_error, options), source, "raise", false, check.deadline(options.timeout), how)
  local stop <close> = run -- luacheck: ignore
  local report, bar = progress.reporter(options.progress, total)
  local closing <close> = bar -- luacheck: ignore
  local done, failures = 0, {}
  while done < total do
    local chunk, results, failure = run:next(3)
    if not results then error(failure, 0) end
    if on_error == "skip" then add_failures(failures, results[1]) end
    done = done + chunk.count
    if report then report(done, total) end
  end
  return total, errors.list(failures, options.name)
end

--- Calls fn(i) for i = first, last, step on all workers and waits. With `ranges` fn(from, to, step) once a task instead. Returns how many
-- numbers there were, and a list of {index, message, error} of those that failed (for on_error "skip"; "raise", the default, raises).
function each.each(first, last, ...)
  return start(nil, first, last, ...)
end

--- The same in a pool, unless the options name another.
function each.in_pool(pool, first, last, ...)
  return start(pool, first, last, ...)
end

return each
