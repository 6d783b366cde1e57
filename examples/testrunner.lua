-- Runs Lua test files side by side, each in a fresh state: lua5.4 examples/testrunner.lua [FILE...]
-- A file returns a table of functions, [name] = test; a test fails by raising. Without FILE it runs some of its own, one of which fails.
local mp = require "makeparallel"

local files = { table.unpack(arg) }
local made = {}

local function make_files()
  local bodies = {}
  for i = 1, 8 do
    bodies[i] = ([[
      local function primes(n)
        local count = 0
        for i = 2, n do
          local prime = true
          for d = 2, i ^ 0.5 // 1 do if i %% d == 0 then prime = false break end end
          if prime then count = count + 1 end
        end
        return count
      end
      shared = (shared or 0) + 1 -- a global: seen by no other file
      return {
        counts_primes = function() assert(primes(%d) == %d) end,
        starts_fresh = function() assert(shared == 1, "another file's global is here") end,
      }]]):format(30000, 3245)
  end
  bodies[#bodies + 1] = [[return { adds = function() assert(1 + 1 == 3, "1 + 1 is not 3") end }]]
  for i, body in ipairs(bodies) do
    made[i] = os.tmpname()
    local file = assert(io.open(made[i], "w"))
    file:write(body)
    file:close()
  end
  return made
end

-- Runs in a worker: {name, passed, message or nil, seconds} for each test of a file, in order of name.
local function run_file(path)
  local results = {}
  local chunk, problem = loadfile(path)
  local ok, tests = pcall(chunk or error, not chunk and problem or nil)
  if not ok then return { { name = "(loading)", passed = false, message = tostring(tests), seconds = 0 } } end
  local names = {}
  for name in pairs(tests) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local started = os.clock()
    local passed, message = xpcall(tests[name], debug.traceback)
    results[i] = { name = name, passed = passed, message = message, seconds = os.clock() - started }
  end
  return results
end

if #files == 0 then files = make_files() end

local function run_all(workers)
  local pool <close> = mp.pool { workers = workers, isolate = "state" }
  local started = mp.now()
  local results = pool:map(run_file, files, { chunk = 1, progress = true })
  return results, mp.now() - started
end

local workers = mp.get_thread_pool_info().workers
local _, serial_time = run_all(1)
local results, parallel_time = run_all(workers)
for _, path in ipairs(made) do
  os.remove(path)
end

local passed, failed = 0, 0
for i, tests in ipairs(results) do
  for _, test in ipairs(tests) do
    if test.passed then
      passed = passed + 1
    else
      failed = failed + 1
      print(("FAIL %s: %s\n  %s"):format(#made > 0 and "file " .. i or files[i], test.name, test.message:match "[^\n]*"))
    end
  end
end
print(("%d passed, %d failed"):format(passed, failed))
print(("one worker %.2f s, %d workers %.2f s: %.2f times as fast"):format(serial_time, workers, parallel_time, serial_time / parallel_time))
os.exit((failed == 0 or #made > 0) and 0 or 1, true)
