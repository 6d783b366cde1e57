-- Lanes: two lanes that live as long as the program, fed through a linda. It has no pool of its own; this is its documentation's form.
local began = require "clock"()
local lanes = require "lanes".configure()

local linda = lanes.linda()

local function worker()
  local tasks = require "tasks"
  local function request()
    if linda.receive_batched then return linda:receive_batched(nil, "task", 2) end -- since 4.0
    return linda:receive(nil, linda.batched, "task", 2)
  end
  while true do
    local _, name, x = request()
    if not name then return true end
    linda:send("result", tasks[name](x))
  end
end

local start = lanes.gen("*", worker)
local one, two = start(), start()

return require "peer" {
  began = began,
  submit = function(name, x)
    linda:send("task", name, x)
  end,
  receive = function()
    local found, result = linda:receive(60, "result")
    return found and result or error "a lane has ended"
  end,
  stop = function() -- the state would wait for them for ever
    linda:send("task", false, false, false, false)
    assert(one:join() and two:join())
  end,
}
