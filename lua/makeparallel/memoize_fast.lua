-- mp.memoize_fast: a function whose results are remembered once for all states: the main one and every worker it travels to.
--
-- The cache is the engine's (engine/cache.c) and holds encoded messages, so a result is a fresh copy each time. One that cannot be encoded,
-- or that only refers to something (a handle, a function by value), is not kept.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local limits = require("makeparallel.memoize").limits
local wrap = require "makeparallel.wrap"
local coroutine <const>, package <const> = coroutine, package

local memoize_fast = {}

local OPTIONS <const> = { "max", "max_bytes", "ttl" }
local SLICE <const> = 0.02 -- seconds of waiting for another state without a look for a cancel or callbacks
local WAIT_MAX <const> = 30 -- seconds after which this state computes the result itself

local memo_methods = {}
local memo_mt = { __index = memo_methods, __name = "makeparallel.SharedMemo" }
memoize_fast.memo_mt = memo_mt

local function keep(self, key, ...)
  core.cache_put(self.cache, key, ...)
  return ...
end

local function call_and_keep(self, key, ...)
  return keep(self, key, self.fn(...))
end

-- Between two looks at what another state computes: lets other coroutines of mp.go run, or hears of a cancel and delivers callbacks.
-- Returns how long the next look may wait.
local function rest()
  local go = package.loaded["makeparallel.go"]
  if go and coroutine.isyieldable() then
    go.sleep(SLICE / 10)
    return 0
  end
  core.sleep(0)
  return SLICE
end

-- As core.cache_get, but never nil.
local function look(self, key)
  local found, grant = core.cache_get(self.cache, key, 0)
  local deadline = found == nil and core.now() + WAIT_MAX
  while found == nil and core.now() < deadline do
    found, grant = core.cache_get(self.cache, key, rest())
  end
  return found or false, grant
end

function memo_mt:__call(...)
  local key, why = core.key(true, ...)
  if not key then error("this call cannot be memoized among workers: " .. why, 2) end
  local found, grant = look(self, key)
  if found then return core.cache_values(grant) end
  return wrap.call(grant, call_and_keep, self, key, ...)
end

--- As that of mp.memoize, for all states together; bytes count everything the cache holds.
function memo_methods:cache_info()
  local info = core.cache_info(self.cache)
  info.max, info.max_bytes, info.ttl = self.max, self.max_bytes, self.ttl
  return info
end

--- Forgets all results.
function memo_methods:cache_clear()
  core.cache_clear(self.cache)
end

local function configure(options)
  local memo = wrap.checked(pcall(limits, check.options(options, OPTIONS)))
  memo.cache = core.cache_create(memo.max, memo.max_bytes, memo.ttl)
  return memo
end

--- A callable like `fn`, with one cache wherever it goes.
function memoize_fast.memoize_fast(fn, options)
  wrap.check(fn, "memoize_fast")
  if core.is_task(fn) then
    error("bad argument #1 to 'memoize_fast' (function expected, got a task: wrap its function instead)", 2)
  end
  local memo = wrap.checked(pcall(configure, options))
  memo.fn = fn
  return setmetatable(memo, memo_mt)
end

return memoize_fast
