-- What the adapters for event loops share: callbacks are delivered when a pool's descriptor is readable, while somebody needs it.
--
-- A loop is a table of functions:
--   watch(fd, ready, ...) -> watcher   calls ready() in the loop whenever fd is readable; `...` is what attach was given
--   unwatch(watcher)                   ends that
--   later(seconds, fn)                 calls fn() in the loop once; nil: the loop has no timers
--   raise(err)                         lets the loop report an error as it does its own
--   suspend() -> wait, wake            for the running coroutine: wait(seconds) yields to the loop until then (nil: for ever), or until
--                                      somebody calls wake(); it may return earlier
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local go = require "makeparallel.go"
local timers = require "makeparallel.timers"
local coroutine <const>, math <const> = coroutine, math

local adapter = {}

--- The functions of an adapter: attach, detach, await.
function adapter.new(loop)
  local watchers = {} -- [fd] = {watcher, users}
  local attached -- the descriptor that attach watches
  local armed -- when the loop's timer for sleeping coroutines is due

  local ready

  -- Sleeping coroutines of mp.go are woken by a timer of the loop.
  local function arm(at)
    if not loop.later or armed and armed <= at then return end
    armed = at
    loop.later(math.max(0, at - core.now()), function()
      if armed == at then armed = nil end
      if attached then ready() end
    end)
  end

  -- News of any pool is delivered, whichever descriptor woke us.
  function ready()
    go.poll()
    local due = timers.next_due()
    if attached and due then arm(due) end
    local ok, err = pcall(go.raise_unclaimed)
    if not ok then loop.raise(err) end
  end

  local function use(fd, ...)
    local entry = watchers[fd]
    if not entry then
      entry = { watcher = loop.watch(fd, ready, ...), users = 0 }
      watchers[fd] = entry
    end
    entry.users = entry.users + 1
  end

  local function leave(fd)
    local entry = watchers[fd]
    entry.users = entry.users - 1
    if entry.users > 0 then return end
    watchers[fd] = nil
    loop.unwatch(entry.watcher)
  end

  local module = {}

  --- From now on the loop delivers callbacks of the default pool, and does not end by itself. Attaching again changes nothing.
  function module.attach(...)
    if attached then return end
    local fd = core.fd()
    use(fd, ...)
    attached = fd
    timers.listen(arm)
    ready()
  end

  --- Ends that. Before the default pool is configured anew or shut down.
  function module.detach()
    if not attached then return end
    leave(attached)
    attached, armed = nil, nil -- the timer is the old loop's
    timers.listen(nil)
  end

  local function wait_for(handle, deadline, timeout)
    local wait, wake = go.suspend()
    if not wait then
      wait, wake = loop.suspend()
    end
    local fd = core.fd(handle)
    use(fd)
    local left <close> = setmetatable({}, { __close = function() leave(fd) end }) -- luacheck: ignore
    core.watch(handle, wake)
    while not handle:is_ready() do
      if deadline and core.now() >= deadline then errors.timeout("await", 1, timeout) end
      wait(deadline and math.max(0, deadline - core.now()))
    end
  end

  --- In a coroutine of the loop: lets the others go on until the handle's task has ended, then returns its results or raises its error; one
  -- of kind "timeout" after `timeout` seconds. For handles of any pool, attached or not.
  function module.await(handle, timeout)
    if not core.is_handle(handle) then
      error(("bad argument #1 to 'await' (handle expected, got %s)"):format(type(handle)), 2)
    end
    local ok, deadline = pcall(core.deadline, timeout)
    if not ok then error(deadline, 2) end
    if deadline and not loop.later then error("await: this loop has no timers, so no timeout", 2) end
    if not coroutine.isyieldable() then error("await: not inside a coroutine of the loop", 2) end
    if not handle:is_ready() then wait_for(handle, deadline, timeout) end
    return handle:get()
  end

  return module
end

return adapter
