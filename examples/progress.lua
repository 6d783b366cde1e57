-- Long tasks that tell how far they are, bars for them, and one that is cancelled half way: lua5.4 examples/progress.lua [SECONDS]
local mp = require "makeparallel"

local seconds = tonumber(arg[1] or 2)
if not seconds or not (seconds > 0 and seconds < 1000) then
  io.stderr:write "usage: progress.lua [SECONDS]\n"
  os.exit(1)
end

-- Runs in a worker: computes for about so long, reports, and looks whether it is still wanted.
local function work(name, budget)
  local started, sum, step = os.clock(), 0, 0
  repeat
    for i = 1, 20000 do
      sum = sum + i % 7
    end
    step = step + 1
    local part = math.min(1, (os.clock() - started) / budget)
    mp.report_progress(part, name)
    if mp.cancelled() then return nil end
  until part >= 1
  return step
end

-- os.clock counts all threads' time: a task of one thread's second takes a second of each worker's.
local workers = mp.get_thread_pool_info().workers
local long = mp.parallel(work, { name = "long" })
local started = mp.now()
local handles = {}
for i = 1, 4 do
  handles[i] = long("part " .. i, seconds * workers / 4)
end
local doomed = mp.parallel(work, { name = "doomed" })("never", seconds * 1000)
local bar <close> = mp.progress(handles, { label = "parts" })
local other <close> = mp.progress(doomed, { label = "doomed" })

-- It is cancelled as soon as it has told that it runs.
doomed:on_progress(function()
  doomed:cancel()
end)
local results = mp.gather(handles)
mp.wait_all { doomed }
mp.run()
local parallel_time = mp.now() - started
bar:close()
other:close()

started = mp.now()
for i = 1, 4 do
  long("part " .. i, seconds / 4):get()
end
local serial_time = mp.now() - started

print(("%d parts done, each of %s steps"):format(results.n, results[1] > 0 and "many" or "no"))
print(("the doomed one: %s at %s %%"):format(doomed:status(), doomed:progress() < 0.5 and "less than 50" or "more than 50"))
print(("one after the other %.2f s, side by side %.2f s"):format(serial_time, parallel_time))
