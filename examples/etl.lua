-- Extract, transform, load as a graph of tasks: lua5.4 examples/etl.lua [ROWS] ; --dot prints the graph for Graphviz instead.
-- One source is busy at first and is asked again; one has a bad row, as planned: what depends on it is skipped, the rest goes on.
local mp = require "makeparallel"

local show_graph = arg[1] == "--dot"
local rows = show_graph and 1 or math.tointeger(tonumber(arg[1] or 40000))
if not rows or rows < 1 then
  io.stderr:write "usage: etl.lua [ROWS | --dot]\n"
  os.exit(1)
end

local REGIONS <const> = { "north", "south", "east", "west", "centre" }
local BUSY <const>, BROKEN <const> = "south", "west"

-- A service of other people's, which says no twice. It counts in the state it is called in.
local function ask(region, count)
  local name <const> = "asked " .. region
  local attempts <const> = (rawget(_G, name) or 0) + 1
  rawset(_G, name, attempts)
  if region == BUSY and attempts < 3 then error("the service is busy", 0) end
  local lines, random = {}, #region * 7919
  for i = 1, count do
    random = (random * 1103515245 + 12345) % 2147483648
    local quantity = region == BROKEN and i == (count + 1) // 2 and "n/a" or random % 90 + 10
    lines[i] = ("item%d;%s;%d.%02d"):format(random % 500, quantity, random % 300, random % 100)
  end
  rawset(_G, name, 0)
  return { text = table.concat(lines, "\n"), attempts = attempts }
end

local extract = mp.retry_backoff(ask, { max_attempts = 5, initial_delay = 0.001 })

-- Reads and checks each row; what is passed on is small, for it is copied from task to task.
local function clean(source)
  local sold, number, cents = {}, 0, 0
  for item, quantity, price in source.text:gmatch "([^;\n]+);([^;\n]+);([^;\n]+)" do
    number = number + 1
    local amount = math.tointeger(tonumber(quantity)) or error(("row %d: quantity '%s' is no number"):format(number, quantity), 0)
    local whole, rest = price:match "^(%d+)%.(%d%d)$"
    cents = cents + amount * (whole * 100 + rest | 0)
    sold[item] = (sold[item] or 0) + amount
  end
  return { sold = sold, rows = number, cents = cents, attempts = source.attempts }
end

local function summarise(cleaned)
  local best
  for item, amount in pairs(cleaned.sold) do
    local most = cleaned.sold[best]
    if not best or amount > most or amount == most and item < best then best = item end
  end
  local text = ("%d rows, %d.%02d sold, best is %s"):format(cleaned.rows, cleaned.cents // 100, cleaned.cents % 100, best)
  return { text = text, attempts = cleaned.attempts }
end

local graph, wanted = mp.graph(), {}
for i, region in ipairs(REGIONS) do
  graph:add("extract " .. region, extract, { args = { region, rows }, timeout = 60 })
  graph:add("clean " .. region, clean, { needs = { "extract " .. region } })
  graph:add("summarise " .. region, summarise, { needs = { "clean " .. region } })
  wanted[i] = "summarise " .. region
end
if show_graph then
  io.write(graph:export "dot")
  os.exit(0, true)
end

local workers = mp.get_thread_pool_info().workers
mp.spawn(math.abs, 1):get() -- the workers are there before the clock starts
local started = mp.now()
local results, report = graph:run { on_error = "none", timeout = 300, results = wanted }
local parallel_time = mp.now() - started

-- The same, one step after the other.
started = mp.now()
local serial, serial_problem = {}, nil
for _, region in ipairs(REGIONS) do
  local ok, cleaned = pcall(clean, extract(region, rows))
  if ok then
    serial[region] = summarise(cleaned).text
  else
    serial_problem = cleaned
  end
end
local serial_time = mp.now() - started

local same = #report.failed == 1 and report.errors[report.failed[1]].message == serial_problem
for _, region in ipairs(REGIONS) do
  local summary = results["summarise " .. region]
  same = same and (summary and summary.text) == serial[region]
  if summary then print(("loaded %s: %s"):format(region, summary.text)) end
end
print(("extracted %s at attempt %d"):format(BUSY, results["summarise " .. BUSY].attempts))
for _, name in ipairs(report.failed) do
  print(("failed: %s: %s"):format(name, report.errors[name].message))
end
print("skipped: " .. table.concat(report.skipped, ", "))
print(("one core %.2f s, %d workers %.2f s: %.2f times as fast"):format(serial_time, workers, parallel_time, serial_time / parallel_time))
if not same then
  io.stderr:write "the two results differ\n"
  os.exit(1)
end
print "both results are the same"
