-- Estimates pi by throwing darts, with the same digits at any number of workers: lua5.4 examples/montecarlo.lua [DARTS [SEED]]
-- With `seed` each batch draws from a stream of its own, and mp.reduce adds the batches up in a fixed order.
local mp = require "makeparallel"

local darts, seed = math.tointeger(tonumber(arg[1] or 4000000)), math.tointeger(tonumber(arg[2] or 42))
if not darts or darts < 1 or not seed then
  io.stderr:write "usage: montecarlo.lua [DARTS [SEED]]\n"
  os.exit(1)
end
local BATCHES <const> = 200

-- Runs in a worker: sums over one batch, floating point on purpose.
local function throw(count)
  local random = math.random
  local inside, distance = 0, 0.0
  for _ = 1, count do
    local x, y = random(), random()
    local squared = x * x + y * y
    if squared <= 1 then inside = inside + 1 end
    distance = distance + squared ^ 0.5
  end
  return { inside = inside, distance = distance }
end

local function add(a, b)
  return { inside = a.inside + b.inside, distance = a.distance + b.distance }
end

local batches = {}
for i = 1, BATCHES do
  batches[i] = darts // BATCHES + (i <= darts % BATCHES and 1 or 0)
end

local function report(sums)
  return ("pi = %.17g, mean distance = %.17g"):format(4 * sums.inside / darts, sums.distance / darts)
end

local answers, times = {}, {}
local cores = mp.get_thread_pool_info().workers
for _, workers in ipairs { 1, 2, 3, cores } do
  local pool <close> = mp.pool { workers = workers }
  pool:spawn(math.abs, 1):get() -- the workers are there before the clock starts
  local started = mp.now()
  answers[#answers + 1] = report(pool:reduce(throw, add, batches, { seed = seed }))
  times[workers] = mp.now() - started
  print(("%d workers: %s"):format(workers, answers[#answers]))
end

print(("one worker %.2f s, %d workers %.2f s: %.2f times as fast"):format(times[1], cores, times[cores], times[1] / times[cores]))
for _, answer in ipairs(answers) do
  if answer ~= answers[1] then
    io.stderr:write "the digits differ\n"
    os.exit(1)
  end
end
print "the same digits at any number of workers"
