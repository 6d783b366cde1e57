-- `makeparallel doctor`: what this process may use, and whether tasks run.
local doctor = {}

local TASKS <const> = 1000

local function read(path)
  local file <close> = io.open(path)
  return file and file:read "a"
end

local function say(name, format, ...)
  print(("%-12s %s"):format(name, format:format(...)))
end

-- CPUs the cgroup's quota pays for, as text; only version 2 is looked at.
local function quota()
  local own <const> = (read "/proc/self/cgroup" or ""):match "0::([^\n]*)" or ""
  local text <const> = read("/sys/fs/cgroup" .. own .. "/cpu.max") or read "/sys/fs/cgroup/cpu.max"
  local most, period = (text or ""):match "^(%d+) (%d+)"
  if most then return ("%.2f CPUs"):format(most / period) end
  return text and "none" or "not known"
end

local function affinity()
  return (read "/proc/self/status" or ""):match "Cpus_allowed_list:%s*(%S+)" or "not known"
end

local function mebibytes(key)
  local kibibytes <const> = (read "/proc/meminfo" or ""):match(key .. ":%s*(%d+)")
  return kibibytes and ("%d MiB"):format(kibibytes // 1024) or "not known"
end

local function process_limit(name)
  return (read "/proc/self/limits" or ""):match(name .. "%s+(%S+)") or "not known"
end

local function check(condition, what)
  if not condition then error(what, 0) end
end

-- Raises what is wrong; returns the seconds that the tasks took.
local function self_test(mp)
  local started <const> = mp.now()
  local handles <const> = {}
  local square <const> = mp.parallel(function(x) return x * x end)
  for i = 1, TASKS do
    handles[i] = square(i)
  end
  for i, result in ipairs(mp.gather(handles)) do
    check(result == i * i, "a task gave a wrong result")
  end
  local seconds <const> = mp.now() - started
  check(mp.spawn(function(a, b) return a + b end, handles[1], handles[2]):get() == 5, "dependencies do not work")
  local ok <const>, err = mp.spawn(function() error "as it should" end):pget()
  check(not ok and err.kind == "error", "a task's error did not arrive")
  local called = false
  mp.spawn(function() end):on_complete(function() called = true end):wait()
  mp.run()
  check(called, "a callback was not called")
  return seconds
end

-- What configure can limit, where this version reports it.
local LIMITS <const> = { "max_concurrent_tasks", "max_queue", "memory_limit_percent", "worker_memory_limit" }

local function say_limits(info)
  for _, name in ipairs(LIMITS) do
    if info[name] ~= nil then say(name, "%s", info[name]) end
  end
  say("threads", "at most %s", process_limit "Max processes")
  say("stack", "%s bytes for the main thread", process_limit "Max stack size")
end

--- Prints what there is. True if tasks run as they should, else nil and why not.
function doctor.examine(mp)
  say("makeparallel", "%s, %s", mp._VERSION:match "%S+$", package.searchpath("makeparallel.core", package.cpath) or "built in")
  say("Lua", "%s", _VERSION)
  say("CPUs", "allowed: %s; quota: %s", affinity(), quota())
  say("memory", "%s available of %s", mebibytes "MemAvailable", mebibytes "MemTotal")
  local ok <const>, info = pcall(mp.get_thread_pool_info) -- starts the workers
  if not ok then return nil, info end
  say("workers", "%d", info.workers)
  if info.cancel_mode then say("cancel mode", "%s", info.cancel_mode) end
  say_limits(info)
  local passed <const>, seconds = pcall(self_test, mp)
  say("self-test", "%s", passed and ("%d tasks in %.1f ms"):format(TASKS, seconds * 1e3) or "FAILED")
  if not passed then return nil, seconds end
  return true
end

return doctor
