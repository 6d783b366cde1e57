-- The service that runs one case and reports it; see subjects/ltask.lua.
local ltask = require "ltask"
local case, scale, began = ...

local workers, turn = {}, 0
local results, head, tail = {}, 1, 0
local waits = false
local TOKEN <const> = {}

local function call(name, x)
  turn = turn % 2 + 1
  return ltask.call(workers[turn], name, x)
end

local function request(name, x)
  local result = call(name, x)
  tail = tail + 1
  results[tail] = result
  if waits then
    waits = false
    ltask.wakeup(TOKEN)
  end
end

local function receive()
  while head > tail do
    waits = true
    ltask.wait(TOKEN)
  end
  local result = results[head]
  results[head] = nil
  head = head + 1
  return result
end

local function run()
  workers = { ltask.spawn "bench_worker", ltask.spawn "bench_worker" }
  local subject = require "peer" {
    began = began,
    window = 1000, -- a service's message queue is bounded
    call = call,
    submit = function(name, x)
      ltask.fork(request, name, x)
    end,
    receive = receive,
  }
  if not subject[case] then os.exit(3) end
  require "report"(case, subject[case](scale))
end

ltask.fork(function()
  local ok, problem = xpcall(run, debug.traceback)
  if not ok then io.stderr:write(problem, "\n") end
  io.stdout:flush()
  os.exit(ok and 0 or 1) -- the case is all there is to do
end)

return {}
