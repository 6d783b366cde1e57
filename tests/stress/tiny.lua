-- Tiny tasks without end, their handles dropped: the memory is as large afterwards as before, and no thread is added.
local mp = require "makeparallel"
local stress = require "stress"

local ROUNDS <const>, EACH <const> = 10, stress.scaled(10000)
local SLACK <const> = 4 << 20 -- bytes: blocks that are kept for later tasks, some 3 MB

local double <const> = mp.parallel(function(x) return x * 2 end)

local function run(n)
  for i = 1, n do double(i) end
  stress.wait_until(function()
    local info <const> = mp.get_thread_pool_info()
    return info.submitted == info.finished
  end, "all tasks finished")
end

-- Handles that are collected let go of their tasks at the end of a cycle.
local function memory()
  collectgarbage()
  collectgarbage()
  return mp.get_thread_pool_info().bytes, collectgarbage "count" * 1024
end

run(EACH)
local bytes <const>, heap <const> = memory()
local threads <const> = stress.threads()
for _ = 1, ROUNDS do
  run(EACH)
  stress.check(stress.threads() == threads, "%d threads, not %d", stress.threads(), threads)
end
stress.wait_until(function()
  local bytes_now <const>, heap_now <const> = memory()
  return bytes_now <= bytes + SLACK and heap_now <= heap + SLACK
end, "memory as before")
local done <const> = mp.get_thread_pool_info().done
stress.check(done == (ROUNDS + 1) * EACH, "%d tasks done, not %d", done, (ROUNDS + 1) * EACH)
stress.done("%d tasks", done)
