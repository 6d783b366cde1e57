-- makeparallel in Copas: `local mpcopas = require "makeparallel.copas"`, `mpcopas.attach()`, `copas.loop()`.
-- From Copas 2 on coroutines can sleep there; Debian's 1.1.7 has no timers, so `await` takes no timeout with it, and coroutines of mp.go
-- that sleep go on when something else happens.
local adapter = require "makeparallel.adapter"
local copas = require "copas"
local coroutine <const> = coroutine

local loop = {}
-- The second of each is the older way.
local pause = copas.pause or copas.sleep
local pause_forever = copas.pauseforever or function()
  copas.sleep(-1)
end

-- What socket.select and copas.receive take for a socket: readable when the descriptor is. One that is told to end is "dirty", which means
-- readable without a look at the descriptor: that may be closed by then.
local source_methods = {}
local source_mt = { __index = source_methods }

function source_methods:getfd()
  return self.fd
end

function source_methods:dirty()
  return self.stopped
end

-- Every second time there is nothing yet: so copas.receive waits once and returns.
function source_methods:receive()
  self.waited = not self.waited
  if self.waited then return nil, "timeout" end
  return true
end

function source_methods.close() end

function source_methods.settimeout()
  return 1
end

function loop.watch(fd, ready)
  local source = setmetatable({ fd = fd, stopped = false, waited = false }, source_mt)
  copas.addthread(function()
    while not source.stopped do
      copas.receive(source, 1)
      if not source.stopped then ready() end
    end
  end)
  return source
end

function loop.unwatch(source)
  source.stopped = true
end

if pause then
  function loop.later(seconds, fn)
    copas.addthread(function()
      pause(seconds)
      fn()
    end)
  end
end

-- In a coroutine of its own, so that Copas reports it as it does others.
function loop.raise(err)
  copas.addthread(function()
    error(err, 0)
  end)
end

-- Copas 1 puts a coroutine that yields (item, queue) into that queue: this one takes it and does nothing.
local nowhere = { insert = function() end, push = function() end }

function loop.suspend()
  local co = coroutine.running()
  if copas.wakeup then
    return function(seconds)
      if seconds then
        pause(seconds)
      else
        pause_forever()
      end
    end, function()
      if coroutine.status(co) == "suspended" then copas.wakeup(co) end
    end
  end
  local waiting = false
  return function()
    waiting = true
    coroutine.yield(nowhere, nowhere)
  end, function()
    if not waiting then return end
    waiting = false
    if coroutine.status(co) == "suspended" then copas.addthread(co) end -- it may have been closed
  end
end

return adapter.new(loop)
