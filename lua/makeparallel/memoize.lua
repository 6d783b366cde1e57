-- mp.memoize: a function that remembers its results, in the Lua state it is called in.
--
-- A key is the canonical encoding of all arguments (bindings/codec/key.c), compared whole. The cache is kept beside the wrapper, not in
-- it: so a wrapper that travels to a worker begins there with an empty one.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local ready = require "makeparallel.ready"
local wrap = require "makeparallel.wrap"
local coroutine <const>, debug <const>, table <const> = coroutine, debug, table

local memoize = {}

local OPTIONS <const> = { "max", "max_bytes", "ttl", "cache_errors" }
local ENTRIES_MAX <const> = 65536 -- unless told otherwise
local LIMIT_MAX <const> = 1 << 50

local memo_methods = {}
local memo_mt = { __index = memo_methods, __name = "makeparallel.Memo" }
memoize.memo_mt = memo_mt

local cache_of = setmetatable({}, { __mode = "k" })

--
-- The cache: entries by key, in a ring from the one used last (ring.next) to the one used longest ago (ring.previous).
--

local function new_cache()
  local ring = {}
  ring.next, ring.previous = ring, ring
  return { entries = {}, flights = {}, ring = ring, count = 0, bytes = 0, hits = 0, misses = 0, evicted = 0, expired = 0 }
end

local function unlink(entry)
  entry.previous.next, entry.next.previous = entry.next, entry.previous
end

local function link_first(ring, entry)
  entry.previous, entry.next = ring, ring.next
  ring.next.previous = entry
  ring.next = entry
end

local function remove(cache, entry)
  unlink(entry)
  cache.entries[entry.key] = nil
  cache.count = cache.count - 1
  cache.bytes = cache.bytes - entry.bytes
end

-- What keeping costs, counted only where it is limited; nil: what has no encoding has no size either.
local function weigh(self, key, results)
  if not self.max_bytes then return #key end
  local encoded = core.key(false, table.unpack(results, 1, results.n))
  return encoded and #key + #encoded
end

local function put(self, cache, key, results, failed)
  local bytes = weigh(self, key, results)
  if not bytes or (self.max_bytes and bytes > self.max_bytes) then return end
  local old = cache.entries[key]
  if old then remove(cache, old) end
  local entry = { key = key, bytes = bytes, results = results, failed = failed, ends = self.ttl and core.now() + self.ttl }
  cache.entries[key] = entry
  link_first(cache.ring, entry)
  cache.count = cache.count + 1
  cache.bytes = cache.bytes + bytes
  while cache.count > self.max or (self.max_bytes and cache.bytes > self.max_bytes) do
    remove(cache, cache.ring.previous)
    cache.evicted = cache.evicted + 1
  end
end

-- A handle that has ended without a result is a failure, which is not kept.
local function is_failed_handle(results)
  local handle = results.n == 1 and results[1]
  return core.is_handle(handle) and handle:is_ready() and handle:status() ~= "done"
end

local function find(self, cache, key)
  local entry = cache.entries[key]
  if not entry then return nil end
  if entry.ends and core.now() >= entry.ends then
    remove(cache, entry)
    cache.expired = cache.expired + 1
    return nil
  end
  if not self.cache_errors and is_failed_handle(entry.results) then
    remove(cache, entry)
    return nil
  end
  unlink(entry)
  link_first(cache.ring, entry)
  return entry
end

--
-- Single flight: a coroutine that wants what another one is computing yields until that one is done.
--

local waits_for = setmetatable({}, { __mode = "k" }) -- [coroutine] = the flight it waits for

-- Only a coroutine that computes and has yielded can end without us, and not one of a task below ours; and it must not wait, over however
-- many others, for us.
local function may_wait(flight)
  local me, world = coroutine.running(), core.world()
  if not coroutine.isyieldable() then return false end
  repeat
    local owner = flight.owner
    if owner == me or flight.world ~= world or coroutine.status(owner) ~= "suspended" then return false end
    flight = waits_for[owner]
  until not flight
  return true
end

local function wait_for(flight)
  local me = coroutine.running()
  local n = #flight.waiting + 1
  flight.waiting[n], flight.worlds[n] = me, core.world()
  waits_for[me] = flight
  while not flight.over and coroutine.status(flight.owner) ~= "dead" do
    coroutine.yield()
  end
  waits_for[me] = nil
end

local function warn_of(err, co)
  warn(debug.traceback(co, tostring(err)))
end

local flight_mt = {
  even_closed = true,
  __close = function(flight, err)
    local cache = flight.cache
    if cache.flights[flight.key] == flight then cache.flights[flight.key] = nil end
    flight.over = true
    if err ~= nil and flight.memo.cache_errors and not core.cancelled() then
      put(flight.memo, cache, flight.key, { n = 1, err }, true)
    end
    for i, co in ipairs(flight.waiting) do
      ready.resume(flight.worlds[i], { co }, warn_of)
    end
  end,
}

local function take_off(self, cache, key)
  local flight = { memo = self, cache = cache, key = key, owner = coroutine.running(), world = core.world(), waiting = {}, worlds = {} }
  cache.flights[key] = flight
  return setmetatable(flight, flight_mt)
end

--
-- Calling
--

-- What a task of ours returns when its pool is full, nil and why, is no result.
local function is_refusal(self, first, ...)
  return first == nil and select("#", ...) > 0 and core.is_task(self.fn)
end

local function keep(self, cache, key, ...)
  if not is_refusal(self, ...) then put(self, cache, key, table.pack(...)) end
  return ...
end

local function call_and_keep(self, cache, key, ...)
  return keep(self, cache, key, self.fn(...))
end

local function compute(self, cache, key, ...)
  cache.misses = cache.misses + 1
  local other = cache.flights[key]
  local flight = (not other or coroutine.status(other.owner) == "dead") and take_off(self, cache, key) or nil
  return wrap.call(flight, call_and_keep, self, cache, key, ...)
end

function memo_mt:__call(...)
  local cache = cache_of[self]
  if not cache then
    cache = new_cache()
    cache_of[self] = cache
  end
  local key, why = core.key(false, ...)
  if not key then error("this call cannot be memoized: " .. why, 2) end
  local flight = cache.flights[key]
  if flight and may_wait(flight) then wait_for(flight) end
  local entry = find(self, cache, key)
  if not entry then return compute(self, cache, key, ...) end
  cache.hits = cache.hits + 1
  local results = entry.results
  if entry.failed then error(results[1], 0) end
  return table.unpack(results, 1, results.n)
end

--- {hits, misses, entries, bytes, evicted, expired, max, max_bytes, ttl}; bytes count keys, and results where max_bytes limits them.
function memo_methods:cache_info()
  local cache = cache_of[self] or new_cache()
  return {
    hits = cache.hits,
    misses = cache.misses,
    entries = cache.count,
    bytes = cache.bytes,
    evicted = cache.evicted,
    expired = cache.expired,
    max = self.max,
    max_bytes = self.max_bytes,
    ttl = self.ttl,
  }
end

--- Forgets all results, and the counts.
function memo_methods:cache_clear()
  cache_of[self] = nil
end

--- The limits among the options, checked: what mp.memoize_fast has, too. The error is raised at the caller of the caller.
function memoize.limits(options)
  local ttl = check.seconds(options.ttl, "ttl")
  return {
    max = check.integer(options.max, "max", 1, LIMIT_MAX) or ENTRIES_MAX,
    max_bytes = check.integer(options.max_bytes, "max_bytes", 1, LIMIT_MAX),
    ttl = ttl,
  }
end

local function configure(options)
  options = check.options(options, OPTIONS)
  local memo = wrap.checked(pcall(memoize.limits, options))
  memo.cache_errors = check.boolean(options.cache_errors, "cache_errors") or nil
  return memo
end

--- A callable like `fn` that remembers the results for equal arguments: the `max` used last, of `max_bytes` in all, for `ttl` seconds.
function memoize.memoize(fn, options)
  wrap.check(fn, "memoize")
  local memo = wrap.checked(pcall(configure, options))
  memo.fn = fn
  return setmetatable(memo, memo_mt)
end

return memoize
