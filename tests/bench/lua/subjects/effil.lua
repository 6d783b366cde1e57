-- effil: two threads that live as long as the program, fed through a channel. A table arrives as a shared one, which effil.dump copies
-- into a plain one. It does not know Lua 5.4: lua5.3 runs this file.
local began = require "clock"()
local effil = require "effil"

local requests, results = effil.channel(), effil.channel()

local function plain(x)
  return type(x) == "userdata" and effil.dump(x) or x
end

local function worker(from, to)
  local shared = require "effil"
  local tasks = require "tasks"
  while true do
    local name, x = from:pop()
    if type(x) == "userdata" then x = shared.dump(x) end
    to:push(tasks[name](x))
  end
end

local runner = effil.thread(worker)
local _threads = { runner(requests, results), runner(requests, results) } -- kept from the collector

return require "peer" {
  began = began,
  submit = function(name, x)
    requests:push(name, x)
  end,
  receive = function()
    return plain(results:pop())
  end,
}
