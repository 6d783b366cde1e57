-- llthreads2: a thread with a state of its own for each task; it has neither a pool nor channels. Two are under way at a time.
local began = require "clock"()
local llthreads = require "llthreads2"

local source = [[
  local name, x = ...
  return require "tasks"[name](x)
]]
local threads, head, tail = {}, 1, 0

return require "peer" {
  began = began,
  window = 2,
  submit = function(name, x)
    tail = tail + 1
    threads[tail] = assert(llthreads.new(source, name, x):start())
  end,
  receive = function()
    local ok, result = threads[head]:join()
    assert(ok, result)
    threads[head] = nil
    head = head + 1
    return result
  end,
}
