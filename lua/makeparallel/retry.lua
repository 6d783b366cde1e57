-- mp.retry, mp.retry_backoff, mp.retry_cached and the option `retry` of tasks: a function that is called again when it fails.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local wrap = require "makeparallel.wrap"
local coroutine <const>, math <const>, package <const>, string <const>, table <const> = coroutine, math, package, string, table

local retry = {}

local OPTIONS <const> = { "max_attempts", "backoff", "initial_delay", "max_delay", "jitter", "retry_if" }
local BACKOFF <const> = { "exponential", "fixed", "linear" }
local ATTEMPTS_MAX <const> = 1000000
local RETRIES <const> = 3 -- unless told otherwise

local retry_mt = { __name = "makeparallel.Retry" }
retry.retry_mt = retry_mt

-- Numbers of our own: math.random's stream is the program's, and may be seeded.
local random_state
local function random()
  random_state = (random_state or string.unpack("i8", string.pack("d", core.now()))) * 6364136223846793005 + 1442695040888963407
  return (random_state >> 11) * 0x1p-53
end

local growth = {
  fixed = function(first) return first end,
  linear = function(first, attempt) return first * attempt end,
  exponential = function(first, attempt) return first * 2.0 ^ (attempt - 1) end,
}

local function delay_after(self, attempt)
  local delay = math.min(growth[self.backoff](self.initial_delay, attempt), self.max_delay)
  return delay * (1 - self.jitter * random())
end

-- A task that is cancelled, or a pool that has ended, will not do better the next time.
local function is_final(err)
  return type(err) == "table" and (rawget(err, "kind") == "cancelled" or rawget(err, "kind") == "shutdown")
end

-- A coroutine of mp.go yields; a worker lets another take its seat meanwhile.
local function pause(seconds)
  local go = package.loaded["makeparallel.go"]
  if go and (coroutine.isyieldable() or not core.get_current_task_id()) then
    go.sleep(seconds)
  else
    core.pause(seconds)
  end
end

local function log_failure(self, attempt, err, delay)
  local ok, text = pcall(tostring, err)
  text = ok and text:match "^[^\n]*" or "(an error without a text)"
  core.log("debug", "retry", ("attempt %d of %d failed: %s; the next in %.3g s"):format(attempt, self.max_attempts, text, delay))
end

-- The last attempt is a plain call: what it raises arrives as it is, with its traceback.
function retry_mt:__call(...)
  local fn = wrap.callable(self.fn)
  for attempt = 1, self.max_attempts - 1 do
    local results = table.pack(pcall(fn, ...))
    if results[1] then return table.unpack(results, 2, results.n) end
    local err = results[2]
    if is_final(err) or core.cancelled() or (self.retry_if and not self.retry_if(err, attempt)) then error(err, 0) end
    local delay = delay_after(self, attempt)
    log_failure(self, attempt, err, delay)
    if delay > 0 then pause(delay) end
  end
  return fn(...)
end

-- Options as a table that only lacks the function.
local function backoff_policy(options)
  options = check.options(options, OPTIONS)
  if options.retry_if ~= nil and type(options.retry_if) ~= "function" then
    error(("retry_if must be a function, got %s"):format(type(options.retry_if)), 2)
  end
  return {
    max_attempts = check.integer(options.max_attempts, "max_attempts", 1, ATTEMPTS_MAX) or RETRIES + 1,
    backoff = check.choice(options.backoff, "backoff", BACKOFF),
    initial_delay = check.seconds(options.initial_delay, "initial_delay") or 0.1,
    max_delay = check.seconds(options.max_delay, "max_delay") or 60,
    jitter = check.number(options.jitter, "jitter", 0, 1) or 0,
    retry_if = options.retry_if,
  }
end

local function policy(wanted)
  if type(wanted) == "table" then return backoff_policy(wanted) end
  local retries = check.integer(wanted, "max_retries", 0, ATTEMPTS_MAX - 1) or RETRIES
  return { max_attempts = retries + 1, backoff = "fixed", initial_delay = 0, max_delay = 0, jitter = 0 }
end

-- The wrapper that a task's option made gives way to that of another option; others nest.
local function wrapped(fn, how, by_option)
  if by_option and getmetatable(fn) == retry_mt and fn.by_option then fn = fn.fn end
  how.fn, how.by_option = fn, by_option
  return setmetatable(how, retry_mt)
end

local function around(fn, how)
  return wrap.around(fn, function(inner) return wrapped(inner, how) end)
end

--- Calls again up to `max_retries` times (3), at once; or as retry_backoff's options say.
function retry.retry(fn, max_retries)
  wrap.check(fn, "retry")
  return around(fn, wrap.checked(pcall(policy, max_retries)))
end

--- Calls up to `max_attempts` times, with delays between that grow from `initial_delay` to `max_delay`.
function retry.retry_backoff(fn, options)
  wrap.check(fn, "retry_backoff")
  return around(fn, wrap.checked(pcall(backoff_policy, options)))
end

local CACHE_OPTIONS <const> = { "max", "max_bytes", "ttl" }

local function cached_policy(options)
  options = check.options(options, table.move(CACHE_OPTIONS, 1, #CACHE_OPTIONS, #OPTIONS + 2,
    table.move(OPTIONS, 1, #OPTIONS, 1, { [#OPTIONS + 1] = "cache_failures" })))
  local of_retry, of_cache = {}, { cache_errors = check.boolean(options.cache_failures, "cache_failures") }
  for _, name in ipairs(OPTIONS) do of_retry[name] = options[name] end
  for _, name in ipairs(CACHE_OPTIONS) do of_cache[name] = options[name] end
  of_retry.initial_delay = of_retry.initial_delay or 0
  return { retry = wrap.checked(pcall(backoff_policy, of_retry)), cache = of_cache }
end

--- retry_backoff, without delays unless asked, whose results are kept as by memoize; failures too with cache_failures = true.
function retry.retry_cached(fn, options)
  wrap.check(fn, "retry_cached")
  local how = wrap.checked(pcall(cached_policy, options))
  local memoize = core.part("memoize").memoize
  local memo = wrap.checked(pcall(memoize, around(fn, how.retry), how.cache))
  return memo
end

--- For the task option `retry`: the function that a task runs, wrapped; or nil and what is wrong with the option.
function retry.option(fn, wanted)
  if type(wanted) ~= "table" and math.type(wanted) ~= "integer" then
    return nil, ("retry must be a number of retries or a table, got %s"):format(tostring(wanted))
  end
  local ok, how = pcall(policy, wanted)
  if not ok then return nil, how end
  return wrapped(fn, how, true)
end

return retry
