-- mp.context: tasks that do not outlive a block. `local ctx <close> = mp.context{timeout = 10}`.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local gather = require "makeparallel.gather"
local map = require "makeparallel.map"
local wrap = require "makeparallel.wrap"
local debug <const>, math <const> = debug, math

local context = {}

local OPTIONS <const> = { "timeout", "pool", "on_error" }
local ON_ERROR <const> = { "raise", "none" }

local context_methods = {}
local context_mt = { __index = context_methods, __name = "makeparallel.Context" }

local function check_open(self, what)
  if getmetatable(self) ~= context_mt then
    error(("bad argument #1 to '%s' (context expected, got %s)"):format(what, type(self)), 3)
  end
  if self.closed then error(("%s: the context is closed"):format(what), 3) end
end

-- What was submitted and has ended well is of no interest any more.
local function forget_done(self)
  local kept = {}
  for _, handle in ipairs(self.handles) do
    if handle:status() ~= "done" then kept[#kept + 1] = handle end
  end
  self.handles, self.look_at = kept, 2 * #kept + 64
end

--- Submits fn(...), a function or a task; its timeout is at most what the context has left.
function context_methods:submit(fn, ...)
  check_open(self, "submit")
  local runs = check.callable(fn, "submit")
  local task = core.is_task(fn) and fn or core.parallel(runs)
  local within = { what = "context", unfinished = #self.handles + 1, timeout = self.timeout, deadline = self.deadline }
  local handle = wrap.checked(pcall(wrap.submit, within, core.rework(task, nil, check.left(self.deadline), self.pool), ...))
  if self.closed then -- by a callback, while it waited for room
    handle:cancel()
    check_open(self, "submit")
  end
  self.handles[#self.handles + 1] = handle
  if #self.handles >= self.look_at then forget_done(self) end
  return handle
end

--- mp.map in the context's pool, within its time.
function context_methods:map(fn, list, options)
  check_open(self, "map")
  local copy = { pool = self.pool }
  for name, value in pairs(check.options(options, map.OPTIONS)) do copy[name] = value end
  local left = check.left(self.deadline)
  local wanted = check.seconds(copy.timeout, "timeout")
  copy.timeout = left and wanted and math.min(left, wanted) or left or wanted
  return map.map(fn, list, copy)
end

--- Asks all that has not ended to stop.
function context_methods:cancel()
  check_open(self, "cancel")
  for _, handle in ipairs(self.handles) do handle:cancel() end
end

-- The first failure, or nil; what a user of the handle has cancelled is none. A failure cancels the rest: as_completed does on leaving.
local function first_failure(self)
  for handle in gather.as_completed(self.handles) do
    local status = handle:status()
    if status ~= "done" and status ~= "cancelled" and self.on_error == "raise" then
      local _, err = handle:pget()
      return err
    end
  end
  return nil
end

local function leave(self, failing)
  if self.closed then return end
  if failing then self:cancel() end
  self.closed = true
  local failure = not failing and first_failure(self) or nil
  gather.wait_all(self.handles)
  self.handles = {}
  if failure ~= nil then error(failure, 0) end
end

-- error() raises nil, which __close is also given when nothing is raised. But then the block's own function calls us; else it is gone
-- already, and whoever caught the error does, a function in C.
local function is_unwound()
  local caller = debug.getinfo(3, "S")
  return not caller or caller.what == "C"
end

-- An error that is on its way already is left alone: raising here would take its place.
function context_mt:__close(err)
  local failing <const> = err ~= nil or is_unwound()
  leave(self, failing)
end

--- Leaves the context before its block ends: waits for all, raises the first failure.
function context_methods:close()
  check_open(self, "close")
  leave(self, false)
end

--- timeout: seconds for all that is submitted, and for what waits for it; pool; on_error: "raise" the first failure on leaving and cancel
-- the rest, or "none": failures stay in their handles.
function context.context(options)
  options = check.options(options, OPTIONS)
  check.pool(options.pool)
  return setmetatable({
    on_error = check.choice(options.on_error, "on_error", ON_ERROR),
    timeout = options.timeout,
    deadline = check.deadline(options.timeout),
    pool = options.pool,
    handles = {},
    look_at = 64,
    closed = false,
  }, context_mt)
end

return context
