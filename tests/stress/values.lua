-- Random graphs of values, there and back through tasks of several workers at once; some of objects that are packed on the way.
local mp = require "makeparallel"
local point = require "fixtures.point"
local stress = require "stress"
local support = require "support"

local ROUNDS <const>, EACH <const> = stress.scaled(30), 20

mp.configure { workers = stress.workers, preload = { "fixtures.point" } }

local function back(...) return ... end

-- Objects that share others, and a graph; without cycles, for nobody has an object before all it was packed from is there.
local function random_objects(size)
  local objects <const> = {}
  local graph <const> = support.random_graph(math.random, 5)
  for i = size, 1, -1 do
    local fields <const> = { id = i, graph = math.random(5) == 1 and graph or nil }
    for k = 1, i < size and math.random(0, 3) or 0 do
      fields[k] = objects[math.random(i + 1, size)]
    end
    objects[i] = setmetatable(fields, point.littering_mt)
  end
  return objects
end

local function random_value()
  if math.random(4) == 1 then return random_objects(math.random(1, 40)) end
  return support.random_graph(math.random, math.random(1, 60))
end

for round = 1, ROUNDS do
  local sent <const>, handles <const> = {}, {}
  for i = 1, EACH do
    sent[i] = random_value()
    handles[i] = mp.spawn(back, sent[i], i)
  end
  for i = EACH, 1, -1 do
    local value <const>, number <const> = handles[i]:get()
    local equal <const>, where = support.equal(sent[i], value, { of = {}, to = {} }, "value")
    stress.check(equal and number == i, "round %d, value %d: %s", round, i, where)
  end
end
stress.done("%d graphs of values", ROUNDS * EACH)
