-- makeparallel in cqueues: `local mpcq = require "makeparallel.cqueues"`, `mpcq.attach(cq)`, `cq:loop()`.
local adapter = require "makeparallel.adapter"
local condition = require "cqueues.condition"
local cqueues = require "cqueues"

local loop = {}

-- The controller that a coroutine needs: the one given, else the one that runs here.
local function controller(cq)
  return cq or cqueues.running() or error("makeparallel.cqueues: no controller given and none is running here", 0)
end

function loop.watch(fd, ready, cq)
  local watcher = { cq = controller(cq), fd = fd, stop = condition.new(), stopped = false }
  loop.cq = watcher.cq
  watcher.cq:wrap(function()
    local readable = { pollfd = fd, events = "r" }
    while not watcher.stopped do
      cqueues.poll(readable, watcher.stop)
      if not watcher.stopped then ready() end
    end
  end)
  return watcher
end

function loop.unwatch(watcher)
  watcher.stopped = true
  watcher.stop:signal()
  watcher.cq:cancel(watcher.fd) -- before the pool closes it
end

function loop.later(seconds, fn)
  loop.cq:wrap(function()
    cqueues.sleep(seconds)
    fn()
  end)
end

-- cq:loop() returns it as the error of a coroutine.
function loop.raise(err)
  loop.cq:wrap(error, err, 0)
end

function loop.suspend()
  local woken = condition.new()
  return function(seconds)
    woken:wait(seconds)
  end, function()
    woken:signal()
  end
end

return adapter.new(loop)
