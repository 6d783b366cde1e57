-- What the wrappers of functions share. A wrapper is a table that can be called: so it can be a method, has methods of its own, and travels
-- to a worker as its fields, its metatable found by name in the module that made it.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local errors = require "makeparallel.errors"
local coroutine <const>, debug <const> = coroutine, debug

local wrap = {}

--- Raises, at the caller of the caller, unless `fn` can be called here.
function wrap.check(fn, what)
  if type(fn) == "function" then return end
  local metatable = debug.getmetatable(fn)
  if metatable and rawget(metatable, "__call") then return end
  error(("bad argument #1 to '%s' (function expected, got %s)"):format(what, type(fn)), 3)
end

--- What pcall returned for something that checks options: the result, or the error raised at the caller of the caller.
function wrap.checked(ok, result)
  if ok then return result end
  error(result, 3)
end

local function submitted(within, ok, handle, refusal)
  if not ok then error(handle, 0) end
  if not handle and check.is_over(within.deadline) then errors.timeout(within.what, within.unfinished, within.timeout) end
  return handle or error(errors.new("full", refusal), 0)
end

--- The handle of task(...), for whoever needs one: that the pool is full is raised, or where it was full until the time for all was over,
-- that. Texts are raised without a place. within: {what, unfinished, timeout: as for errors.timeout; deadline: of that, or nil}.
function wrap.submit(within, task, ...)
  return submitted(within, pcall(task, ...))
end

--- Around a function: make(fn). Around a task: a task like it that runs make(its function).
function wrap.around(fn, make)
  if core.is_task(fn) then return core.rework(fn, make(core.function_of(fn))) end
  return make(fn)
end

--- The function that a task runs may be named: "module.fn".
function wrap.callable(fn)
  return type(fn) == "string" and core.named(fn) or fn
end

local function landed(closing, ok, ...)
  debug.getmetatable(closing).__close(closing, not ok and (...) or nil)
  if ok then return ... end
  error((...), 0)
end

-- Closes what it holds, once.
local once_mt = {
  __close = function(once, err)
    local closing = once.closing
    once.closing = nil
    if closing then debug.getmetatable(closing).__close(closing, err) end
  end,
}

--- fn(...); `closing`, a value to be closed or nil, is closed when that has ended, however. Errors keep their traceback, but not in a
-- coroutine: one that dies closes nothing, so there they are caught and raised again. Where the metatable says `even_closed`, it is closed
-- with a coroutine that somebody closes, too.
function wrap.call(closing, fn, ...)
  if closing and coroutine.isyieldable() then
    if not debug.getmetatable(closing).even_closed then return landed(closing, pcall(fn, ...)) end
    local once <close> = setmetatable({ closing = closing }, once_mt)
    return landed(once, pcall(fn, ...))
  end
  local guard <close> = closing -- luacheck: ignore 211
  return fn(...)
end

return wrap
