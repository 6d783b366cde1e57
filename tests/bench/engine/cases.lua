-- The cases of the engine's programs, in the order in which they are shown. What each measures stands in ours.c.
local cases = {}

local function case(name, goal)
  cases[#cases + 1] = { name = name, goal = goal }
end

case("empty", "<= 130")
case("batch", "<= 45")
case("loop", "<= 15")
case("fib", "<= 15")
case("spawn_chain", "<= 45")
case("chain", "<= 65")
case("chain_graph", "<= 18")
case("wave", "<= 145")
case("wave_graph", "<= 35")
case("one_us", ">= 88")
case("from_idle", "p50 <= 6, p99 <= 25")
case("start_delay", "p50 <= 5, p99 <= 100")
case("frame", "p50 <= 1690, p99 <= 2000")
case("priority_high", "<= 20")
case("priority_low", "<= 2")
case("idle", "<= 0.2")
case("wave_memory", "<= 90")

return cases
