-- mp.map: a function over a list, in chunks that take about a millisecond each, results in order.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local pace = require "makeparallel.pace"
local progress = require "makeparallel.progress"
local math <const> = math

local map = {}

map.OPTIONS = { "chunk", "on_error", "progress", "timeout", "seed", "name", "priority", "pool" }
local ON_ERROR <const> = { "raise", "skip", "none" }

local run_methods = {}
local run_mt = { __index = run_methods }

function run_methods:time_out()
  errors.timeout("map", self.n - self.done, self.options.timeout)
end

function run_methods:submit()
  local first, count = self.sent + 1, self.pace:next_size(self.n - self.sent)
  local options = self.options
  local handle, refusal =
    core.map_chunk(self.fn, self.list, first, count, options.seed, self.wire, options.name, options.priority or 0, options.pool, nil,
      self.deadline)
  if not handle then
    if check.is_over(self.deadline) then self:time_out() end
    error(refusal, 4)
  end
  self.sent = first + count - 1
  local slot = #self.handles + 1
  self.handles[slot], self.firsts[slot], self.counts[slot] = handle, first, count
end

-- When all is over there is nothing left to cancel.
function run_methods:cancel()
  for i = #self.handles, 1, -1 do -- the last first: ending one that runs would let the next one begin
    self.handles[i]:cancel()
  end
end

run_mt.__close = run_methods.cancel

-- Takes the results of the chunk in `slot`; the last one moves into its place.
function run_methods:collect(slot)
  local handles, firsts, counts = self.handles, self.firsts, self.counts
  local handle, first, count = handles[slot], firsts[slot], counts[slot]
  local last = #handles
  handles[slot], firsts[slot], counts[slot] = handles[last], firsts[last], counts[last]
  handles[last], firsts[last], counts[last] = nil, nil, nil
  local failures = self.failures
  local ok, failure = core.collect_chunk(handle, self.results, first, failures)
  if not ok then
    if self.on_error ~= "raise" and failure.kind == "error" then -- the chunk as a whole failed: its function could not be made
      for i = first, first + count - 1 do
        failures[#failures + 1] = { index = i, message = failure.message, value = failure.value, traceback = failure.traceback }
      end
    else
      error(failure, 0)
    end
  elseif self.on_error == "raise" and failures[1] then
    error(errors.item(failures[1], self.options.name), 0)
  end
  self.pace:learn(handle, count)
  self.done = self.done + count
end

function run_methods:advance()
  while self.sent < self.n and #self.handles < 2 * self.workers + 1 do
    self:submit()
  end
  local slot = core.wait_any(self.handles, #self.handles, self.deadline)
  if not slot then self:time_out() end
  self:collect(slot)
end

local function drop_failed(results, failed)
  local is_failed, kept = {}, { n = 0 }
  for _, failure in ipairs(failed) do
    is_failed[failure.index] = true
  end
  for i = 1, results.n do
    if not is_failed[i] then
      kept.n = kept.n + 1
      kept[kept.n] = results[i]
    end
  end
  return kept
end

--- Calls fn(item) for each item of the list, on all workers. Returns the results in order, with `n`, and a list of {index, message, error}
-- of those that failed (for on_error "skip", which leaves them out, and "none", which leaves nil; "raise" is the default).
function map.map(fn, list, options)
  local n = check.list(list, "map", 2)
  options = check.options(options, map.OPTIONS)
  local on_error = check.choice(options.on_error, "on_error", ON_ERROR)
  local chunk = check.integer(options.chunk, "chunk", 1, pace.CHUNK_MAX)
  check.integer(options.seed, "seed", math.mininteger, math.maxinteger)
  check.integer(options.priority, "priority", -(1 << 31), (1 << 31) - 1)
  check.string(options.name, "name")
  check.pool(options.pool)
  check.progress(options.progress)
  fn = check.callable(fn, "map")
  local workers = (options.pool and options.pool:info() or core.get_thread_pool_info()).workers
  local run = setmetatable({
    fn = fn,
    list = list,
    n = n,
    options = options,
    on_error = on_error,
    wire = on_error == "raise" and "keep" or on_error, -- which tells the index; "raise" does not
    pace = pace.new(chunk, workers),
    deadline = check.deadline(options.timeout),
    workers = workers,
    sent = 0,
    done = 0,
    handles = {},
    firsts = {},
    counts = {},
    results = { n = n },
    failures = {},
  }, run_mt)
  local stop <close> = run -- luacheck: ignore
  local report, bar = progress.reporter(options.progress, n)
  local closing <close> = bar -- luacheck: ignore
  while run.done < n do
    run:advance()
    if report then report(run.done, n) end
  end
  local failed = errors.list(run.failures, options.name)
  if on_error == "skip" then return drop_failed(run.results, failed), failed end
  return run.results, failed
end

return map
