-- What can be done with a pool beside the default one, and the latter's configuration under the name known from makeParallel.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local map = require "makeparallel.map"

local pools = {}

-- What pcall returned: an error of the core is raised where our function, which ends by calling this, was called.
local function at_caller(ok, result, ...)
  if ok then return result, ... end
  error(result, 2)
end

--- configure_thread_pool(n) or configure_thread_pool{workers = n, ...}
function pools.configure_thread_pool(options)
  if type(options) == "number" then options = { workers = options } end
  if type(options) ~= "table" then
    error(("bad argument #1 to 'configure_thread_pool' (number of workers or table expected, got %s)"):format(type(options)), 2)
  end
  return at_caller(pcall(core.configure, options))
end

local TASK_OPTIONS <const> =
  { "name", "timeout", "priority", "after", "on_complete", "on_error", "on_progress", "metadata", "memory_limit", "retry" }

local function with_pool(pool, options)
  local copy = { pool = pool }
  for name, value in pairs(options) do
    copy[name] = value
  end
  return copy
end

--- pool:parallel(fn, options)
function pools.parallel(pool, fn, options)
  check.callable(fn, "parallel")
  options = check.options(options, TASK_OPTIONS)
  return at_caller(pcall(core.parallel, fn, with_pool(pool, options)))
end

--- pool:spawn(fn, ...)
function pools.spawn(pool, fn, ...)
  check.callable(fn, "spawn")
  return at_caller(pcall(core.parallel(fn, { pool = pool }), ...))
end

--- pool:map(fn, list, options)
function pools.map(pool, fn, list, options)
  options = check.options(options, map.OPTIONS)
  check.pool(options.pool)
  return map.map(fn, list, with_pool(pool, options))
end

--- pool:imap(fn, iterator or list, options)
function pools.imap(pool, fn, ...)
  return require("makeparallel.imap").in_pool(pool, fn, ...)
end

--- pool:each(first, last, [step,] fn, options)
function pools.each(pool, first, last, ...)
  return require("makeparallel.each").in_pool(pool, first, last, ...)
end

--- pool:reduce(map, combine, list, options)
function pools.reduce(pool, map_item, combine, list, options)
  local reduce = require "makeparallel.reduce"
  options = check.options(options, reduce.OPTIONS)
  check.pool(options.pool)
  return reduce.reduce(map_item, combine, list, with_pool(pool, options))
end

return pools
