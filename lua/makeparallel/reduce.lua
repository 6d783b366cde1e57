-- mp.reduce: a function over a list, and its results combined into one, in an order that depends on the list's length alone.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local inworker = require "makeparallel.inworker"
local pace = require "makeparallel.pace"
local progress = require "makeparallel.progress"
local stream = require "makeparallel.stream"
local math <const>, table <const> = math, table

local reduce = {}

reduce.OPTIONS = { "chunk", "initial", "progress", "timeout", "seed", "name", "priority", "pool" }
-- Into so many blocks a list is cut: enough for many workers, few enough for what is left to combine here. It must not depend on the
-- number of workers, or floating point sums would.
local BLOCKS <const> = 128

-- A source (see stream.lua) of blocks: {offset, n, items...}.
local block_methods = {}
local block_mt = { __index = block_methods }

function block_methods:left()
  return self.blocks - self.taken
end

function block_methods:take(wanted)
  local count, blocks, size = math.min(wanted, self:left()), {}, self.size
  for i = 1, count do
    local offset = (self.taken + i - 1) * size
    local n = math.min(size, self.n - offset)
    blocks[i] = table.move(self.list, offset + 1, offset + n, 1, { offset = offset, n = n })
  end
  local before = self.taken
  self.taken = before + count
  return blocks, 1, count, count, before
end

function block_methods.close() end

-- What combines here what the workers return.
local function combiner(combine)
  if type(combine) ~= "string" then return combine end
  return core.named(combine)
end

local function check_combine(combine)
  local runs = core.function_of(combine)
  local mt = getmetatable(runs)
  if type(runs) == "function" or type(runs) == "string" or type(runs) == "table" and type(mt) == "table" and mt.__call then return runs end
  error(("bad argument #2 to 'reduce' (function or module name expected, got %s)"):format(type(combine)), 3)
end

--- combine(... combine(combine(map(list[1]), map(list[2])), map(list[3])) ...), or with `initial` before the first. combine must be
-- associative: the list is cut into blocks of `chunk` items (default: 128 blocks), each combined by a worker from left to right, then the
-- blocks here, from left to right. An empty list gives `initial`.
function reduce.reduce(map, combine, list, options)
  map = check.callable(map, "reduce")
  combine = check_combine(combine)
  local n = check.list(list, "reduce", 3)
  options = check.options(options, reduce.OPTIONS)
  check.integer(options.chunk, "chunk", 1, pace.CHUNK_MAX)
  check.integer(options.seed, "seed", math.mininteger, math.maxinteger)
  check.integer(options.priority, "priority", -(1 << 31), (1 << 31) - 1)
  check.string(options.name, "name")
  check.pool(options.pool)
  check.progress(options.progress)
  local size = options.chunk or math.max(1, (n + BLOCKS - 1) // BLOCKS)
  local source = setmetatable({ list = list, n = n, size = size, blocks = (n + size - 1) // size, taken = 0 }, block_mt)
  local how = { window = math.maxinteger, timeout = options.timeout, name = options.name, priority = options.priority, pool = options.pool }
  local run = stream.new("reduce", inworker.fold(map, combine, options.seed), source, "raise", true, check.deadline(options.timeout), how)
  local stop <close> = run -- luacheck: ignore
  local report, bar = progress.reporter(options.progress, n)
  local closing <close> = bar -- luacheck: ignore
  local combine_here, acc, empty, done = combiner(combine), options.initial, options.initial == nil, 0
  while done < n do
    local chunk, results, failure = run:next(3)
    if not results then error(failure, 0) end
    for i = 1, chunk.count do
      if empty then
        acc, empty = results[i], false
      else
        acc = combine_here(acc, results[i])
      end
    end
    done = math.min(n, done + chunk.count * size)
    if report then report(done, n) end
  end
  return acc
end

return reduce
