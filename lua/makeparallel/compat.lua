-- makeparallel.compat: the module under the spellings of the Python package makeParallel, where they differ. Everything else is as in
-- `makeparallel` itself.
local core = require "makeparallel.core"
local mp = require "makeparallel"

local compat = setmetatable({}, { __index = mp })

--- ParallelContext(timeout)
function compat.ParallelContext(timeout)
  local ok, context = pcall(mp.context, type(timeout) == "number" and { timeout = timeout } or timeout)
  if not ok then error(context, 2) end
  return context
end

-- What is called with the options of a decorator, not with a function, returns what wraps a function. Whatever can be run in a worker is a
-- function: also a name, "module.fn", or an mp.source.
local function decorator(wrapper, options_of)
  return function(fn, ...)
    if core.function_of(fn) ~= nil or (type(fn) == "table" and getmetatable(fn) ~= nil) then return wrapper(fn, ...) end
    local options <const> = options_of and options_of(fn) or fn
    return function(wrapped)
      return wrapper(wrapped, options)
    end
  end
end

compat.retry = decorator(mp.retry, function(options)
  return type(options) == "table" and options.max_retries or options
end)
compat.retry_backoff = decorator(mp.retry_backoff)
compat.retry_cached = decorator(mp.retry_cached)
compat.parallel = decorator(mp.parallel)
compat.parallel_pool = compat.parallel
compat.parallel_fast = decorator(mp.parallel_fast)
compat.parallel_priority = decorator(mp.parallel_priority)
compat.parallel_with_deps = decorator(mp.parallel_with_deps)
compat.memoize = decorator(mp.memoize)
compat.memoize_fast = decorator(mp.memoize_fast)

--- gather(handles, on_error, timeout)
function compat.gather(handles, on_error, timeout)
  local options = type(on_error) == "table" and on_error or { on_error = on_error, timeout = timeout }
  return mp.gather(handles, options)
end

local configured = false

--- configure_thread_pool(num_threads, stack_size)
function compat.configure_thread_pool(workers, stack_size)
  local options = type(workers) == "table" and workers or { workers = workers, stack_size = stack_size }
  local ok, refusal = pcall(mp.configure_thread_pool, options)
  if not ok then error(refusal, 2) end
  configured = true
end

--- With the package's fields, too: configured, current_num_threads.
function compat.get_thread_pool_info()
  local info = mp.get_thread_pool_info()
  info.configured, info.current_num_threads = configured, info.workers
  return info
end

--- shutdown(timeout_secs, cancel_pending): whether all tasks have ended, and the report; with a table, mp.shutdown.
function compat.shutdown(timeout, cancel_pending)
  local by_name <const> = type(timeout) == "table"
  local ok, report = pcall(mp.shutdown, by_name and timeout or { timeout = timeout, cancel_pending = cancel_pending })
  if not ok then error(report, 2) end
  if by_name then return report end
  return report.stuck == 0, report
end

--- report_progress(fraction, task_id): without an id that of the task that runs here
function compat.report_progress(fraction, task)
  if task == nil then return mp.report_progress(fraction) end
  return mp.report_progress(task, fraction)
end

--- Priorities are always on; these two are accepted and do nothing.
function compat.start_priority_worker() end
function compat.stop_priority_worker() end

local METRICS <const> = {
  total_tasks = "total",
  completed_tasks = "completed",
  failed_tasks = "failed",
  total_execution_time_ms = "total_ms",
  average_execution_time_ms = "average_ms",
}

local function with_python_names(metrics)
  if metrics then
    for theirs, ours in pairs(METRICS) do metrics[theirs] = metrics[ours] end
  end
  return metrics
end

function compat.get_metrics(name)
  return with_python_names(mp.get_metrics(name))
end

--- With the package's counts of all: _global_total, _global_completed, _global_failed.
function compat.get_all_metrics()
  local all = mp.get_all_metrics()
  for _, metrics in pairs(all) do with_python_names(metrics) end
  local whole = mp.get_metrics()
  all._global_total, all._global_completed, all._global_failed = whole.total, whole.completed, whole.failed
  return all
end

return compat
