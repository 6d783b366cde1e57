-- The cases that a subject of the Lua suite can have. A subject is a module that returns functions by these names; each runs one
-- repetition and returns a value, or several by name ({p50 = , p99 = }).
local cases = {}

local function case(name, label, unit, goal, what)
  cases[#cases + 1] = { name = name, label = label, unit = unit, goal = goal, what = what }
end

case("tiny", "20,000 tiny tasks", "us", "<= luv", "20,000 tasks x*2, submitted up front, every result read; per task")
case("trip", "round trip", "us", "p50 <= 6, p99 <= 40", "round trip of one task, one at a time")
case("trip_pinned", "round trip, one CPU", "us", "p50 <= 5", "the same with all threads on one CPU")
case("numbers", "1,000 numbers", "us", "<= 125", "1,000 numbers there, doubled, back")
case("records", "200 records", "us", "<= 420", "200 records there and back")
case("string", "string of 1 MB", "us", "<= 200", "a string of 1 MB there and back")
case("fib", "8 x fib(30)", "x", ">= 1.95", "8 x fib(30) on two workers, times as fast as serial")
case("fib_timeout", "with timeouts", "x", "within 1 % of fib", "the same with a timeout on every task")
case("map", "map, 100,000 items", "ms", "<= 15", "map of 100,000 items, x*2+1")
case("map_us", "map, items of 1 us", "x", ">= 1.6", "map of 100,000 items of 1 us, times as fast as serial")
case("imap", "imap, lines of a file", "x", "> 1", "100,000 lines of a file through imap, their words counted, times as fast as serial")
case("memoize", "memoize, a hit", "us", "< tiny",
  "a call whose result memoize has, in this state; number and a table of three as arguments")
case("memoize_fast", "memoize_fast, a hit", "us", "< tiny", "the same from the cache that all workers share")
case("start", "require to first result", "us", "<= 400", "require to first result, two workers")
case("memory", "memory, 2 idle workers", "kB", "<= 3400", "resident memory with two idle workers that have run a task")
case("pipeline", "pipeline of 3", "us", "<= 1.5 x trip", "three tasks, each depending on the one before, last result read")

case("live_1k", "1,000 live tasks", "us", "", "1,000 tasks submitted up front, every result read, again and again; per task")
case("live_100k", "100,000 live tasks", "us", "live_1k within 20 %", "the same with 100,000")
case("live_1m", "1,000,000 live tasks", "us", "live_1k within 20 %", "the same with 1,000,000")
case("pending", "memory of a task", "B", "engine <= 256 + argument", "what a waiting task holds in the engine, and its handle in the owner")

return cases
