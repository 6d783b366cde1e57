-- Error objects made by the Lua side; those of tasks are made by the core and have the same fields and metatable.
local core = require "makeparallel.core"

local errors = {}

errors.metatable = getmetatable(core.new_error("error", ""))

--- {kind =, message =} with the metatable that all error objects share.
function errors.new(kind, message)
  return core.new_error(kind, message)
end

--- Raises a "timeout" for a call that waited in vain.
function errors.timeout(what, unfinished, seconds)
  error(errors.new("timeout", ("%s: %d not finished after %g s"):format(what, unfinished, seconds)), 0)
end

return errors
