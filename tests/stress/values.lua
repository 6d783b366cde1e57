-- Random graphs of values, there and back through tasks of several workers at once.
local mp = require "makeparallel"
local stress = require "stress"
local support = require "support"

local ROUNDS <const>, EACH <const> = stress.scaled(30), 20

local function back(...) return ... end

for round = 1, ROUNDS do
  local sent <const>, handles <const> = {}, {}
  for i = 1, EACH do
    sent[i] = support.random_graph(math.random, math.random(1, 60))
    handles[i] = mp.spawn(back, sent[i], i)
  end
  for i = EACH, 1, -1 do
    local value <const>, number <const> = handles[i]:get()
    local equal <const>, where = support.equal(sent[i], value, { of = {}, to = {} }, "value")
    stress.check(equal and number == i, "round %d, value %d: %s", round, i, where)
  end
end
stress.done("%d graphs of values", ROUNDS * EACH)
