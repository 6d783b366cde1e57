-- The cases of the engine's programs, in the order in which they are shown; what each measures stands in ours.c.
local cases = {}

local function case(name, label, goal)
  cases[#cases + 1] = { name = name, label = label, goal = goal }
end

case("empty", "empty tasks, one by one", "<= 130")
case("batch", "empty tasks, a batch", "<= 45")
case("loop", "parallel loop", "<= 15")
case("fib", "fork and join, fib(30)", "<= 15")
case("spawn_chain", "task starts the next", "<= 45")
case("spawn_get", "task starts one, waits for it", "<= 300")
case("waiters", "tasks that wait for one", "<= 1000, 500 B")
case("sleepers", "tasks that sleep, lateness", "p50 <= 150, p99 <= 3000")
case("chain", "chain of tasks", "<= 65")
case("chain_graph", "chain as a graph", "<= 18")
case("wave", "wavefront of tasks", "<= 145")
case("wave_graph", "wavefront as a graph", "<= 35")
case("one_us", "tasks of 1 us", ">= 88")
case("from_idle", "submit and wait, idle", "p50 <= 6, p99 <= 25")
case("start_delay", "start while caller works", "p50 <= 5, p99 <= 100")
case("frame", "frame of 16 tasks", "p50 <= 1690, p99 <= 2000")
case("priority_high", "high priority, start", "<= 20")
case("priority_low", "low priority, start", "<= 2")
case("idle", "CPU while idle", "<= 0.2")
case("wave_memory", "memory, wavefront", "<= 90")

return cases
