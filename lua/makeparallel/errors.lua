-- Error objects made by the Lua side; those of tasks are made by the core and have the same fields and metatable.
local core = require "makeparallel.core"
local table <const> = table

local errors = {}

errors.metatable = getmetatable(core.new_error("error", ""))

--- {kind =, message =} with the metatable that all error objects share.
function errors.new(kind, message)
  return core.new_error(kind, message)
end

--- The error of one item of a whole, {index, message, value, traceback} as the worker tells it, in the form that handle:get() raises.
function errors.item(failure, task)
  local err = errors.new("error", failure.message)
  err.value, err.traceback, err.index, err.task = failure.value, failure.traceback, failure.index, task
  return err
end

--- {index, message, error} of each, by index: what a caller gets beside the results.
function errors.list(failures, task)
  local list = {}
  for i, failure in ipairs(failures) do
    list[i] = { index = failure.index, message = failure.message, error = errors.item(failure, task) }
  end
  table.sort(list, function(a, b)
    return a.index < b.index
  end)
  return list
end

--- Raises a "timeout" for a call that waited in vain.
function errors.timeout(what, unfinished, seconds)
  error(errors.new("timeout", ("%s: %d not finished after %g s"):format(what, unfinished, seconds)), 0)
end

return errors
