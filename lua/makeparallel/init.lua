-- makeparallel: Lua functions on all cores. This file only puts the module together; see README.md beside it.
local core = require "makeparallel.core"
local part = require "makeparallel.part"

-- A function of a module that is loaded when it is first called: a program, and each worker, pays for what it uses.
local function on_demand(module, name)
  return function(...)
    return part(module)[name](...)
  end
end

local map = on_demand("map", "map")
local context = on_demand("context", "context")

local mp = {
  _VERSION = "makeparallel " .. core.version,
  _DESCRIPTION = "Lua functions on all cores: tasks, dependencies, callbacks",
  _COPYRIGHT = "Copyright (c) 2026 the makeparallel authors (MIT)",

  -- tasks
  parallel = core.parallel,
  parallel_fast = core.parallel_fast,
  parallel_pool = core.parallel,
  parallel_priority = core.parallel_priority,
  parallel_with_deps = core.parallel_with_deps,
  spawn = core.spawn,
  source = core.source,
  class = core.class,

  -- many at once
  map = map,
  parallel_map = map,
  imap = on_demand("imap", "imap"),
  each = on_demand("each", "each"),
  reduce = on_demand("reduce", "reduce"),
  gather = on_demand("gather", "gather"),
  as_completed = on_demand("gather", "as_completed"),
  wait_any = on_demand("gather", "wait_any"),
  wait_all = on_demand("gather", "wait_all"),
  context = context,
  ParallelContext = context,
  graph = on_demand("graph", "graph"),

  -- wrappers
  timer = on_demand("timer", "timer"),
  CallCounter = on_demand("counter", "CallCounter"),
  retry = on_demand("retry", "retry"),
  retry_backoff = on_demand("retry", "retry_backoff"),
  retry_cached = on_demand("retry", "retry_cached"),
  memoize = on_demand("memoize", "memoize"),
  memoize_fast = on_demand("memoize_fast", "memoize_fast"),
  profiled = on_demand("profiled", "profiled"),
  get_metrics = on_demand("profiled", "get_metrics"),
  get_all_metrics = on_demand("profiled", "get_all_metrics"),
  reset_metrics = on_demand("profiled", "reset_metrics"),
  export_metrics = on_demand("profiled", "export_metrics"),

  -- inside a task
  report_progress = core.report_progress,
  cancelled = core.cancelled,
  sleep = on_demand("go", "sleep"),
  now = core.now,
  current = core.current,
  get_current_task_id = core.get_current_task_id,

  -- the main loop
  poll = on_demand("go", "poll"),
  run = on_demand("go", "run"),
  go = on_demand("go", "go"),
  fd = core.fd,
  progress = on_demand("progress", "progress"),

  -- pools
  configure = core.configure,
  configure_thread_pool = on_demand("pools", "configure_thread_pool"),
  pool = core.pool,
  get_thread_pool_info = core.get_thread_pool_info,
  get_active_task_count = core.get_active_task_count,
  set_max_concurrent_tasks = core.set_max_concurrent_tasks,
  configure_memory_limit = core.configure_memory_limit,
  shutdown = core.shutdown,
  reset_shutdown = core.reset_shutdown,
}

for _, name in ipairs { "parallel", "spawn", "map", "imap", "each", "reduce" } do
  core.pool_methods[name] = on_demand("pools", name)
end

return mp
