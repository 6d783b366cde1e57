-- effil: two threads that live as long as the program, fed through a channel. A table arrives as a shared one, which effil.dump copies
-- into a plain one. It does not know Lua 5.4: lua5.3 runs this file.
local began = require "clock"()
local effil = require "effil"

local requests, results = effil.channel(), effil.channel()

local function worker(from, to)
  local shared = require "effil"
  local tasks = require "tasks"
  while true do
    local name, x = from:pop()
    if not name then return end
    if type(x) == "userdata" then x = shared.dump(x) end
    to:push(tasks[name](x))
  end
end

local runner = effil.thread(worker)
local one, two = runner(requests, results), runner(requests, results)

return require "peer" {
  began = began,
  submit = function(name, x)
    requests:push(name, x)
  end,
  receive = function()
    local x = results:pop()
    return type(x) == "userdata" and effil.dump(x) or x
  end,
  stop = function()
    requests:push(false)
    requests:push(false)
    one:wait()
    two:wait()
  end,
}
