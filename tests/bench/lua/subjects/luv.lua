-- luv: a work queue on libuv's thread pool (UV_THREADPOOL_SIZE=2). Arguments are numbers, strings, booleans; tables go through cjson.
local began = require "clock"()
local uv = require "luv"
local tasks = require "tasks"

local results, head, tail = {}, 1, 0

local function take(result)
  tail = tail + 1
  results[tail] = result
end

local queues = {}
for name, task in pairs(tasks) do
  queues[name] = uv.new_work(task, take)
end

local has_cjson, cjson = pcall(require, "cjson")
local tables = has_cjson and uv.new_work(function(name, text)
  local json = require "cjson"
  return json.encode(require "tasks"[name](json.decode(text)))
end, function(text)
  take(cjson.decode(text))
end)

return require "peer" {
  began = began,
  submit = function(name, x)
    if type(x) == "table" then
      tables:queue(name, cjson.encode(x))
    else
      queues[name]:queue(x)
    end
  end,
  receive = function()
    while head > tail do
      uv.run "once"
    end
    local result = results[head]
    results[head] = nil
    head = head + 1
    return result
  end,
}
