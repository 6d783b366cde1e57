-- Random graphs of dependent tasks, with and without submitting more tasks inside: every sum agrees with the one computed here.
local mp = require "makeparallel"
local stress = require "stress"

local GRAPHS <const>, TASKS <const> = stress.scaled(20), 200

local function add(own, ...)
  for i = 1, select("#", ...) do own = own + select(i, ...) end
  return own
end

local function add_inside(own, ...) return mp.spawn(add, own, ...):get() end

local function add_table(deps, own)
  return add(own, table.unpack(deps, 1, deps.n))
end

local function run_graph()
  local handles <const>, expected <const> = {}, {}
  local plain <const> = mp.parallel(add)
  local inside <const> = mp.parallel(add_inside)
  local with_table <const> = mp.parallel_with_deps(add_table)
  for i = 1, TASKS do
    local deps <const>, own <const> = { n = 0 }, math.random(1000)
    expected[i] = own
    for _ = 1, math.random(0, math.min(i - 1, 4)) do
      local j <const> = math.random(math.max(1, i - 30), i - 1)
      deps.n = deps.n + 1
      deps[deps.n] = handles[j]
      expected[i] = (expected[i] + expected[j]) & 0xffffffff
    end
    local how <const> = math.random(3)
    local task <const> = (how == 1 and plain or how == 2 and inside or with_table):with { priority = math.random(-2, 2) }
    local masked <const> = mp.parallel(function(sum) return sum & 0xffffffff end)
    if how == 3 then
      deps.n = nil
      handles[i] = masked(task:with { after = deps }(own))
    else
      handles[i] = masked(task(own, table.unpack(deps, 1, deps.n)))
    end
    if math.random(50) == 1 then collectgarbage() end
  end
  for i = 1, TASKS do
    local sum <const> = handles[i]:get()
    stress.check(sum == expected[i], "task %d returned %d, not %d", i, sum, expected[i])
  end
end

for _ = 1, GRAPHS do run_graph() end
stress.done("%d graphs of %d sums", GRAPHS, TASKS)
