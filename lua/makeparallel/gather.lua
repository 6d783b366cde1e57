-- Waiting for many handles: all in order, whichever comes first, one after the other as they end.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local math <const>, table <const> = math, table

local gather = {}

local ON_ERROR <const> = { "raise", "skip", "none" }
-- How often a wait for all looks whether one of the later ones has failed already.
local LOOK_EVERY <const> = 0.005
local LOOK_SECONDS <const> = 1 -- the same for as_completed, which is told

-- The last first: ending one that runs would let the next one begin.
local function cancel_all(handles, first)
  for i = #handles, first, -1 do
    handles[i]:cancel()
  end
end

local function remaining(deadline)
  return deadline and math.max(0, deadline - core.now())
end

local function failed(handle)
  local status = handle:status()
  return status == "failed" or status == "cancelled" or status == "timeout"
end

-- The first failed one from index `first` on, or nil.
local function find_failed(handles, first)
  for i = first, #handles do
    if failed(handles[i]) then return handles[i] end
  end
end

-- Waits for handles[i], but not past the failure of a later one. True: it has ended. False: the deadline. Or the failed handle.
local function wait_unless_failed(handles, i, deadline)
  local handle = handles[i]
  while not handle:is_ready() do
    local left = remaining(deadline) or math.huge
    if left <= 0 then return false end
    if core.get_current_task_id() then return core.wait_own(handle, remaining(deadline)) end -- in a task: may run it in place
    if not handle:wait(math.min(left, LOOK_EVERY)) then
      local other = find_failed(handles, i + 1)
      if other then return other end
    end
  end
  return true
end

local function add_result(results, errors_found, on_error, i, ok, value, ...)
  if not ok and on_error == "raise" then error(value, 0) end
  if ok then
    local n = results.n + 1
    results.n = n
    if select("#", ...) == 0 then
      results[n] = value
    else
      results[n] = table.pack(value, ...)
    end
  else
    errors_found[#errors_found + 1] = { index = i, error = value }
    if on_error == "none" then results.n = results.n + 1 end
  end
end

--- Waits for all; returns their results in order (with `n`), and a list of {index, error} of those that failed.
-- A task that returned several values gives a packed table. on_error: "raise" (default) raises the first failure seen and
-- cancels the rest; "skip" leaves failed ones out; "none" leaves nil in their place. timeout: seconds for all together.
function gather.gather(handles, options)
  check.handles(handles, "gather")
  options = check.options(options, { "on_error", "timeout" })
  local on_error = check.choice(options.on_error, "on_error", ON_ERROR)
  local deadline = check.deadline(options.timeout)
  local results, errors_found, at = { n = 0 }, {}, 1
  local stop <close> = setmetatable({}, { -- luacheck: ignore
    __close = function(_, err)
      if err ~= nil then cancel_all(handles, at) end
    end,
  })
  for i, handle in ipairs(handles) do
    at = i
    local ended
    if on_error == "raise" then
      ended = wait_unless_failed(handles, i, deadline)
    else
      ended = core.wait_own(handle, remaining(deadline))
    end
    if not ended then errors.timeout("gather", #handles - i + 1, options.timeout) end
    local bad = ended ~= true and ended or failed(handle) and handle
    if bad and on_error == "raise" then bad:get() end
    add_result(results, errors_found, on_error, i, handle:pget())
  end
  return results, errors_found
end

--- Waits until all have ended, however; returns true, or false at the timeout.
function gather.wait_all(handles, timeout)
  check.handles(handles, "wait_all")
  local deadline = check.deadline(timeout)
  for _, handle in ipairs(handles) do
    if not handle:wait(remaining(deadline)) then return false end
  end
  return true
end

--- Waits until one has ended; returns it and its index, or nil at the timeout or for an empty list.
function gather.wait_any(handles, timeout)
  local n = check.handles(handles, "wait_any")
  local kept = table.move(handles, 1, n, 1, {}) -- a callback may change the list
  local index = core.wait_any(kept, n, check.deadline(timeout))
  if index then return kept[index], index end
  return nil
end

--- For `for handle, index in mp.as_completed(handles) do`: each once, as they end. Leaving the loop early cancels the rest.
function gather.as_completed(handles, timeout)
  local n = check.handles(handles, "as_completed")
  local deadline = check.deadline(timeout)
  handles = table.move(handles, 1, n, 1, {}) -- a callback may change the list
  local ended, known, taken, added = {}, {}, 0, 0
  local function add(i)
    if known[i] then return end
    added = added + 1
    ended[added], known[i] = i, true
  end
  local function add_ready()
    for i, handle in ipairs(handles) do
      if handle:is_ready() then add(i) end
    end
  end
  for i, handle in ipairs(handles) do
    if handle:is_ready() then -- its pool may be gone, and bring no news
      add(i)
    else
      core.watch(handle, function() add(i) end)
    end
  end
  local function next_handle()
    local look_at = core.get_current_task_id() == nil and core.now() + LOOK_SECONDS or math.huge
    if taken == n then return nil end
    while taken == added do
      -- A debug hook, or a signal handler, may have heard the news just now, or shut the pool down: so it is looked again. Not in a
      -- task: a wait that comes to an end by itself runs nothing meanwhile, and a thousand such waits would need a thousand threads.
      local till = math.min(deadline or math.huge, look_at)
      core.wait_mail(till < math.huge and till or nil)
      if core.now() >= look_at then
        add_ready()
        look_at = core.now() + LOOK_SECONDS
      end
      if taken == n then return nil end -- a callback has taken the last
      if taken == added and deadline and core.now() >= deadline then errors.timeout("as_completed", n - taken, timeout) end
    end
    taken = taken + 1
    local i = ended[taken]
    handles[i]:wait() -- it has ended: for its callbacks
    return handles[i], i
  end
  local closing = setmetatable({}, {
    __close = function()
      if taken < n then cancel_all(handles, 1) end
    end,
  })
  return next_handle, nil, nil, closing
end

return gather
