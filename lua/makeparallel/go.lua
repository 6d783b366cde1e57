-- Straight-line asynchronous code: coroutines of the main state (or of a task), started with mp.go, driven by mp.run and mp.poll.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local ready = require "makeparallel.ready"
local timers = require "makeparallel.timers"
local worlds = require "makeparallel.worlds"
local coroutine <const>, debug <const>, math <const>, table <const> = coroutine, debug, math, table

local go = {}

local routines = setmetatable({}, { __mode = "k" }) -- [coroutine] = routine: those that mp.go started

-- Those that have not ended: what is left when a task ends is closed.
local function routines_of(world)
  return worlds.table(world, "routines", true)
end

-- Routines of a task, or of the state, that failed while nobody awaited them, in order.
local function unclaimed_of(world)
  return worlds.table(world, "unclaimed")
end

-- Who is collected before somebody has claimed it says so.
local unclaimed_mt = {
  __gc = function(self)
    if self.claimed then return end
    local is_text, text = pcall(tostring, self.err)
    core.tell("go", "a coroutine failed, and nobody awaited it: " .. (is_text and text or type(self.err)))
  end,
}

local function add_unclaimed(world, err, routine)
  table.insert(unclaimed_of(world), setmetatable({ err = err, routine = routine, claimed = false }, unclaimed_mt))
end

local routine_methods = {}
local routine_mt = { __index = routine_methods, __name = "makeparallel.routine" }

--
-- Ending
--

-- A coroutine that mp.go did not start has died of its error.
local function note_failure(err, _, world)
  add_unclaimed(world, err)
end

local function finish(self, status, results, err)
  self.state, self.results, self.err = status, results, err
  routines[self.co] = nil
  routines_of(self.world)[self.co] = nil
  if status == "failed" and #self.waiting == 0 then add_unclaimed(self.world, err, self) end
  local waiting = self.waiting
  self.waiting = {}
  ready.resume(self.world, waiting, note_failure)
end

-- Does it run still? Somebody may have closed its coroutine behind our back.
local function runs(self)
  if self.state == "running" and coroutine.status(self.co) == "dead" then
    if self.timer then timers.drop(self.timer) end
    finish(self, "cancelled", nil, errors.new("cancelled", "the coroutine was closed"))
  end
  return self.state == "running"
end

local function is_error_object(value)
  return type(value) == "table" and getmetatable(value) == errors.metatable
end

-- In the place where it was raised: an error object as from a task, or the one of a task that was passed on.
local function to_error(value)
  if is_error_object(value) then return value end
  local is_text, text = type(value) == "string", value -- near the end of the C stack nothing can be called for it
  if not is_text then
    is_text, text = pcall(tostring, value)
  end
  local err = errors.new("error", is_text and text or ("(error object is a %s value)"):format(type(value)))
  err.value, err.traceback = value, debug.traceback(nil, 3)
  return err
end

-- The coroutine ends: if nobody has said how, somebody has closed it, not by cancel.
local guard_mt = {
  __close = function(guard, err)
    local self = guard.routine
    if self.state ~= "running" or self.cancelling then return end
    if self.timer then timers.drop(self.timer) end
    if err ~= nil then return finish(self, "failed", nil, to_error(err)) end
    finish(self, "cancelled", nil, errors.new("cancelled", "the coroutine was closed"))
  end,
}

local function body(self, fn, ...)
  local guard <close> = setmetatable({ routine = self }, guard_mt) -- luacheck: ignore
  local results = table.pack(xpcall(fn, to_error, ...))
  if results[1] then
    finish(self, "done", results)
  else
    finish(self, "failed", nil, results[2])
  end
end

-- Its error is somebody's now.
local function claim(self)
  local unclaimed = unclaimed_of(self.world)
  for i, other in ipairs(unclaimed) do
    if other.routine == self then
      table.remove(unclaimed, i).claimed = true
      return
    end
  end
end

local function outcome(self)
  if self.state == "done" then return table.unpack(self.results, 2, self.results.n) end
  claim(self)
  error(self.err, 0)
end

--
-- Driving
--

-- Lets what is due go on, then waits for the next thing to happen, but not past the deadline. False: nothing can happen any more.
-- Second: how many callbacks were delivered.
local function turn(deadline)
  if ready.pump() > 0 or timers.fire() > 0 then return true, 0 end
  local next_due = timers.next_due()
  local until_when = math.min(next_due or math.huge, deadline or math.huge)
  local delivered = core.next_mail(until_when < math.huge and until_when or nil)
  if delivered then return true, delivered end
  if not next_due then return false, 0 end
  core.sleep(math.max(0, until_when - core.now()))
  return true, 0
end

-- True when it has ended, false at the deadline. Raises when it waits for something that cannot happen.
local function drive(self, deadline)
  while runs(self) do
    if deadline and core.now() >= deadline then return false end
    if not turn(deadline) and runs(self) then
      if not deadline then error(errors.new("error", "the coroutine has not ended, and nothing is left that could resume it"), 0) end
      core.sleep(math.max(0, deadline - core.now()))
    end
  end
  return true
end

-- In a coroutine: until self has ended.
local function suspend(self)
  self.waiting[#self.waiting + 1] = coroutine.running()
  while runs(self) do
    coroutine.yield()
  end
end

local function check_not_self(self, what)
  if self.co == coroutine.running() then error(("%s: a coroutine cannot wait for itself"):format(what), 3) end
end

--- Raises, one at a time and in order, the errors of routines that nobody awaited.
function go.raise_unclaimed()
  local first = table.remove(unclaimed_of(core.world()), 1)
  if not first then return end
  first.claimed = true
  error(first.err, 0)
end

--
-- Methods
--

--- In a coroutine yields until it has ended, elsewhere runs what is to be run meanwhile; returns its results or raises its error.
function routine_methods:await()
  check_not_self(self, "await")
  if runs(self) then
    if coroutine.isyieldable() then
      suspend(self)
    else
      drive(self)
    end
  end
  return outcome(self)
end

--- As await, from anywhere: raises an error of kind "timeout" when it has not ended in time.
function routine_methods:get(timeout)
  check_not_self(self, "get")
  if not drive(self, check.deadline(timeout)) then errors.timeout("get", 1, timeout) end
  return outcome(self)
end

--- As pcall: true and the results, or false and the error.
function routine_methods:pget(timeout)
  check.deadline(timeout)
  return pcall(routine_methods.get, self, timeout)
end

--- Has it ended, at the latest after `timeout` seconds? Raises nothing.
function routine_methods:wait(timeout)
  check_not_self(self, "wait")
  return drive(self, check.deadline(timeout))
end

function routine_methods:is_ready()
  return not runs(self)
end

--- "running", "done", "failed" or "cancelled".
function routine_methods:status()
  runs(self)
  return self.state
end

--- Ends it where it waits, closing its variables; false if it had ended, or is not waiting but calling this.
function routine_methods:cancel()
  if self.state ~= "running" or coroutine.status(self.co) ~= "suspended" then return false end
  if self.timer then timers.drop(self.timer) end
  self.cancelling = true
  local ok, err = coroutine.close(self.co)
  if ok then
    finish(self, "cancelled", nil, errors.new("cancelled", "the coroutine was cancelled"))
  else
    finish(self, "failed", nil, to_error(err))
  end
  return ok
end

routine_mt.__close = routine_methods.cancel

function routine_mt.__tostring(self)
  return ("coroutine of mp.go (%s)"):format(self.state)
end

--
-- Functions
--

local function start(fn, ...)
  local co = coroutine.create(body)
  local self = setmetatable({ co = co, state = "running", waiting = {}, world = core.world() }, routine_mt)
  routines[co] = self
  routines_of(self.world)[co] = true
  local ok, err = coroutine.resume(co, self, fn, ...)
  -- body catches what fn raises; what is left is that there is no C stack for a coroutine more
  if not ok and self.state == "running" then finish(self, "failed", nil, to_error(err)) end
  return self
end

local function check_function(fn, what)
  local mt = type(fn) == "table" and getmetatable(fn)
  if type(fn) == "function" or type(mt) == "table" and mt.__call then return end
  error(("bad argument #1 to '%s' (function expected, got %s)"):format(what, type(fn)), 3)
end

--- Calls fn(...) in a coroutine, at once, up to where it first waits. An error is raised by whoever awaits it, else by mp.run.
function go.go(fn, ...)
  check_function(fn, "go")
  return start(fn, ...)
end

--- Runs callbacks and coroutines until nothing is left to wait for; with fn, which is called in a coroutine, returns what it returned.
-- Then raises the first error of a coroutine that nobody awaited. Without fn returns how many callbacks were delivered.
function go.run(fn, ...)
  local first
  if fn ~= nil then
    check_function(fn, "run")
    first = start(fn, ...)
  end
  local total = 0
  repeat
    local more, delivered = turn()
    total = total + delivered
  until not more
  if first and first.state == "running" then
    error(errors.new("error", "run: the function has not ended, and nothing is left that could resume it"), 0)
  end
  if first and first.state ~= "done" then return outcome(first) end
  go.raise_unclaimed()
  if first then return outcome(first) end
  return total
end

--- Delivers callbacks, and lets coroutines whose wait is over go on; begins no callback once `budget` seconds have passed.
function go.poll(budget)
  check.seconds(budget, "budget")
  local delivered, left = core.poll(budget)
  ready.pump()
  timers.fire()
  return delivered, left
end

--- For the running coroutine, if mp.go started it, else nil: wait(seconds), which yields until then (nil: for ever) or until somebody calls
-- wake(), which may happen earlier than it seems; and that.
function go.suspend()
  local co = coroutine.running()
  local routine = routines[co]
  if not routine then return nil end
  local function wake()
    ready.resume(routine.world, { co }, note_failure)
  end
  return function(seconds)
    routine.timer = seconds and timers.add(core.now() + seconds, wake, routine.world)
    coroutine.yield()
    if routine.timer then timers.drop(routine.timer) end
  end, wake
end

--- In a coroutine of mp.go yields; elsewhere sleeps: in a task until it is cancelled, outside of tasks callbacks and coroutines run.
function go.sleep(seconds)
  if seconds == nil then seconds = false end
  check.seconds(seconds, "sleep")
  local co = coroutine.running()
  local deadline = core.now() + seconds
  if routines[co] and coroutine.isyieldable() then
    local wait = go.suspend()
    repeat
      wait(math.max(0, deadline - core.now()))
    until core.now() >= deadline
    return
  end
  while core.now() < deadline do
    if ready.pump() == 0 and timers.fire() == 0 then
      local next_due = timers.next_due()
      if not next_due and not ready.is_pumping() then break end
      core.wait_mail(math.min(next_due or deadline, deadline))
    end
  end
  core.sleep(math.max(0, deadline - core.now()))
end

return go
