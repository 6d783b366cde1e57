-- Items from a source, in chunks, through a function on all workers: a bounded number ahead of whoever takes the results.
--
-- A source has `left()`, how many items come, or nil if nobody knows; `take(n)`, which returns
--   list, first, length: the items for one task,  count: how many of the whole they are,
--   offset: list[i] is item `i + offset` of the whole,  fn: another function for these, or nil
-- with a count of 0 at the end; and `close()`.
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local pace = require "makeparallel.pace"
local math <const>, table <const> = math, table

local stream = {}

local WINDOW <const> = 1 << 15
local READ_SECONDS <const> = 0.005 -- how long to read ahead while a result is there to be given out

local stream_methods = {}
local stream_mt = { __index = stream_methods }

--- what: the public function's name; wire: on_error as the worker sees it; options: chunk, window, timeout, seed, name, priority, pool,
-- checked; deadline: of `timeout`; ordered: give chunks out in order.
function stream.new(what, fn, source, wire, ordered, deadline, options)
  local workers = (options.pool and options.pool:info() or core.get_thread_pool_info()).workers
  local window = options.window or WINDOW
  return setmetatable({
    what = what,
    fn = fn,
    source = source,
    wire = wire,
    ordered = ordered,
    deadline = deadline,
    options = options,
    window = window,
    chunks_max = 2 * workers + 1,
    chunk_max = math.max(1, window // (2 * workers + 1)), -- so that the window holds enough chunks for all
    pace = pace.new(options.chunk, workers),
    ahead = 0, -- items taken from the source and not yet given out
    handles = {},
    chunks = {}, -- beside handles: {first index of the whole, count, seconds it took to read}
    held = nil, -- the chunk to send next: what `take` returned, seconds it took to read, whether to send its items singly
    refusal = nil, -- why no more is sent, raised when all before it is given out
    exhausted = false,
  }, stream_mt)
end

-- Has the next chunk in `held`; false when there is none, or the source failed.
function stream_methods:read()
  if self.held then return true end
  local started = core.now()
  local size = self.pace:next_size(self.source:left())
  if not self.options.chunk then size = math.min(size, self.chunk_max) end
  local ok, list, first, length, count, offset, fn = pcall(self.source.take, self.source, math.min(size, self.window - self.ahead))
  if not ok then
    self.refusal, self.refusal_level = list, 0
    return false
  end
  if count == 0 then
    self.exhausted = true
    local closed, err = pcall(self.source.close, self.source)
    if not closed then -- as a `for` does: when all has been given out
      self.refusal, self.refusal_level = err, 0
    end
    return false
  end
  self.ahead = self.ahead + count
  self.held = { list = list, first = first, length = length, count = count, offset = offset, fn = fn, read = core.now() - started }
  return true
end

-- Reads one chunk and sends it, or one item of it; false when there is none, or it is refused.
function stream_methods:send()
  if not self:read() then return false end
  local held, handles, options = self.held, self.handles, self.options
  local first, length, count = held.first, held.length, held.count
  if held.singly then
    length, count = 1, 1
  end
  local handle, refusal = core.map_chunk(held.fn or self.fn, held.list, first, length, options.seed, self.wire, options.name,
    options.priority or 0, options.pool, held.offset, self.deadline)
  if handle then
    local slot = #handles + 1
    handles[slot], self.chunks[slot] = handle, { first = first + held.offset, count = count, read = held.read }
    held.first, held.length, held.count = first + length, held.length - length, held.count - count
    if held.length == 0 then self.held = nil end
    return true
  end
  if #handles > 0 then return false end -- the queue may be full: again when something has ended
  if held.length > 1 and not held.singly then -- an item may be unfit to travel: those before it are not lost
    held.singly = true
    return self:send()
  end
  self:check_time() -- waiting for room takes time, too
  self.refusal = refusal
  return false
end

-- Reads ahead, but lets a result that is there wait only so long for a slow source.
function stream_methods:fill()
  local handles, started = self.handles, core.now()
  while not self.exhausted and not self.refusal and #handles < self.chunks_max and (self.ahead < self.window or self.held) do
    if not self:send() then return end
    if #handles > 0 and handles[1]:is_ready() and core.now() - started > READ_SECONDS then return end
  end
end

-- The slot of the chunk to give out next: the first that has ended, or with `ordered` the oldest; or, where failures are not to wait for
-- their turn (`wire` is "raise"), one that has failed as a whole. Nil at the deadline.
function stream_methods:wait()
  local handles = self.handles
  if not self.ordered then return core.wait_any(handles, #handles, self.deadline) end
  if self.wire ~= "raise" then return core.wait_any(handles, 1, self.deadline) end
  local pending = table.move(handles, 1, #handles, 1, {})
  while true do
    local slot = core.wait_any(pending, #handles, self.deadline)
    if not slot or slot == 1 or handles[slot]:status() ~= "done" then return slot end
    pending[slot] = false
  end
end

local function time_out(self)
  local unfinished = self.ahead
  self:cancel()
  errors.timeout(self.what, unfinished, self.options.timeout)
end

--- Raises if the time for all is over, and not all is done. Whoever gives out results may look more often than it takes chunks.
function stream_methods:check_time()
  if not self.deadline or core.now() < self.deadline then return end
  if #self.handles > 0 or self.held or not self.exhausted then time_out(self) end
end

-- Sends what may be sent and waits: the slot of the chunk to give out next, or nil when none is on its way any more.
local function advance(self)
  self:fill()
  if #self.handles == 0 then return nil end
  self:check_time() -- reading from the source takes time, too
  return self:wait() or time_out(self)
end

--- The next chunk {first, count, ...}, its results (indices from 1), how many, and {index, message, value, traceback} of those that failed;
-- or the chunk, nil and the error with which it failed as a whole. Nil at the end. level: as for error, of who is told what cannot be sent.
function stream_methods:next(level)
  if self.busy then error(("%s: its iterator was called inside of itself"):format(self.what), level) end
  self.busy = true -- the source is the program's, and callbacks run while something is waited for
  local advanced, slot = pcall(advance, self)
  self.busy = false
  if not advanced then error(slot, 0) end
  local handles = self.handles
  if not slot then
    if not self.refusal then return nil end
    self:cancel()
    error(self.refusal, self.refusal_level or level)
  end
  local handle, chunk = table.remove(handles, slot), table.remove(self.chunks, slot)
  self.ahead = self.ahead - chunk.count
  local results, failures = {}, {}
  local ok, got = core.collect_chunk(handle, results, 1, failures)
  self.pace:learn(handle, chunk.count, chunk.read)
  if ok then return chunk, results, got, failures end
  return chunk, nil, got
end

--- Cancels what is on its way and lets go of the source. May be called again.
function stream_methods:cancel()
  for _, handle in ipairs(self.handles) do
    handle:cancel()
  end
  self.handles, self.chunks = {}, {}
  self.exhausted = true
  self.source:close()
end

stream_mt.__close = stream_methods.cancel

return stream
