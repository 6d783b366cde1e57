-- Arguments are checked before anything happens; the error is raised where our function was called.
local core = require "makeparallel.core"
local math <const>, table <const> = math, table

local check = {}

-- The level of whoever called the public function, seen from a function here that it called.
local CALLER <const> = 3

--- Raises unless `options` is nil or a table whose keys are all in `names`. Returns the table, an empty one for nil.
function check.options(options, names)
  if options == nil then return {} end
  if type(options) ~= "table" then error(("options must be a table, got %s"):format(type(options)), CALLER) end
  local unknown = core.unknown_option(options, names)
  if unknown then error(unknown, CALLER) end
  return options
end

--- Raises unless `value` is one of `choices`, or nil, which means the first.
function check.choice(value, name, choices)
  if value == nil then return choices[1] end
  for _, choice in ipairs(choices) do
    if value == choice then return value end
  end
  error(("%s must be '%s', got %s"):format(name, table.concat(choices, "', '"), tostring(value)), CALLER)
end

--- Raises unless `value` is nil or an integer from `low` to `high`.
function check.integer(value, name, low, high)
  if value == nil then return nil end
  if math.type(value) == "integer" and value >= low and value <= high then return value end
  error(("%s must be an integer from %d to %d, got %s"):format(name, low, high, tostring(value)), CALLER)
end

--- Raises unless `value` is nil or a number from `low` to `high`.
function check.number(value, name, low, high)
  if value == nil then return nil end
  if math.type(value) and value >= low and value <= high then return value end
  error(("%s must be a number from %g to %g, got %s"):format(name, low, high, tostring(value)), CALLER)
end

--- Raises unless `value` is nil or a number of seconds from 0 to 1e9.
function check.seconds(value, name)
  if value == nil then return nil end
  if math.type(value) and value >= 0 and value <= 1e9 then return value end
  error(("%s must be a finite number of seconds from 0 to 1e9, got %s"):format(name, tostring(value)), CALLER)
end

--- Raises unless `value` is nil or a boolean.
function check.boolean(value, name)
  if value == nil or type(value) == "boolean" then return value end
  error(("%s must be true or false, got %s"):format(name, tostring(value)), CALLER)
end

--- Raises unless `value` is a string, or nil.
function check.string(value, name)
  if value == nil or type(value) == "string" then return end
  error(("%s must be a string, got %s"):format(name, type(value)), CALLER)
end

--- Raises unless `value` says how to show progress: true, "plain", a function of (done, total), or nil or false for not at all.
function check.progress(value)
  if not value or value == true or value == "plain" or type(value) == "function" then return end
  error(("progress must be true, 'plain' or a function, got %s"):format(tostring(value)), CALLER)
end

--- Raises unless `value` is a pool, or nil.
function check.pool(value)
  if value == nil or core.is_pool(value) then return end
  error(("pool must be a pool, got %s"):format(type(value)), CALLER)
end

--- Is that time (core.now) over? Not if there is none.
function check.is_over(deadline)
  return deadline ~= nil and core.now() >= deadline
end

--- The seconds until the deadline, at least 0, rounded up to milliseconds: they are read in messages. nil for nil.
function check.left(deadline)
  return deadline and math.max(0, math.ceil((deadline - core.now()) * 1000) / 1000)
end

--- The absolute time (core.now) at which `timeout` seconds from now end; nil for nil.
function check.deadline(timeout)
  local ok, deadline = pcall(core.deadline, timeout)
  if not ok then error(deadline, CALLER) end
  return deadline
end

--- Raises unless `fn`, argument `index` (default 1) of `what`, can be run in a worker. Returns what will run: a task's function, else fn.
function check.callable(fn, what, index)
  local runs = core.function_of(fn)
  if runs ~= nil then return runs end
  error(("bad argument #%d to '%s' (function or module name expected, got %s)"):format(index or 1, what, type(fn)), CALLER)
end

--- Raises unless `list` is a table; `what` is the function's name, `index` the argument's, `level` that of whoever called it. Returns how
-- long it is: its field `n`, as table.pack sets it, or else what `#` says.
function check.list(list, what, index, level)
  level = level or CALLER
  if type(list) ~= "table" then error(("bad argument #%d to '%s' (list expected, got %s)"):format(index, what, type(list)), level) end
  local n, said = list.n, "field n"
  if math.type(n) ~= "integer" then
    n, said = #list, "length"
  end
  if math.type(n) == "integer" and n >= 0 then return n end
  error(("bad argument #%d to '%s' (its %s is %s)"):format(index, what, said, tostring(n)), level)
end

--- Raises unless `list` holds handles only; returns how many.
function check.handles(list, what)
  if type(list) ~= "table" then
    error(("bad argument #1 to '%s' (list of handles expected, got %s)"):format(what, type(list)), CALLER)
  end
  local n <const> = #list
  if math.type(n) ~= "integer" or n < 0 then
    error(("bad argument #1 to '%s' (its length is %s)"):format(what, tostring(n)), CALLER)
  end
  for i = 1, n do
    if not core.is_handle(list[i]) then
      error(("bad argument #1 to '%s' (handle expected at [%d], got %s)"):format(what, i, type(list[i])), CALLER)
    end
  end
  return n
end

return check
