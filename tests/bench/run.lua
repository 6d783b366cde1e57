-- Runs the benchmarks: every case for every subject that is there, subjects taking turns, and prints a table a suite.
--   lua5.4 tests/bench/run.lua BUILD [--suite engine|lua] [--case NAME] [--reps N] [--quick]
-- Writes BUILD/bench.json: [{"suite","case","subject","value","unit","n","min","max"}], value being the median.
local here <const> = arg[0]:match "^(.*)/" or "."
package.path = here .. "/?.lua;" .. here .. "/lua/?.lua;" .. package.path

local build = arg[1]
local only = { reps = 5 }
local quick = false
for i = 2, #arg do
  if arg[i] == "--quick" then
    quick = true
  elseif arg[i]:match "^%-%-" then
    only[arg[i]:sub(3)] = arg[i + 1]
  end
end
local REPS <const> = quick and 1 or math.tointeger(only.reps)
local SCALE <const> = quick and 0.01 or 1

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

local suites = {
  {
    name = "engine",
    ours = "ours",
    subjects = { "ours", "tbb", "libuv", "libgomp", "libomp" },
    cases = require "engine.cases",
    available = function(subject)
      return exists(build .. "/bench/" .. subject)
    end,
    command = function(subject, case)
      return ("%s/bench/%s %s %g"):format(build, subject, case, SCALE)
    end,
  },
  {
    name = "lua",
    ours = "makeparallel",
    subjects = { "makeparallel", "luv", "serial" },
    cases = require "cases",
    available = function()
      return true
    end,
    command = function(subject, case)
      local pinned = case == "trip_pinned" and "taskset -c 0 " or ""
      return ("UV_THREADPOOL_SIZE=2 %slua5.4 %s/lua/run_case.lua %s %s %g"):format(pinned, here, subject, case, SCALE)
    end,
  },
}

-- One repetition: {name, value, unit} of each line printed; nil if the subject has no such case.
local function run_once(suite, subject, case)
  local pipe = assert(io.popen(suite.command(subject, case) .. " 2>&1"))
  local lines, text = {}, pipe:read "a"
  local ok, _, code = pipe:close()
  if code == 3 then return nil end
  if not ok then error(("%s %s failed:\n%s"):format(subject, case, text), 0) end
  for name, value, unit in text:gmatch "(%S+) (%S+) (%S+)\n" do
    lines[#lines + 1] = { name = name, value = tonumber(value), unit = unit }
  end
  return lines
end

local function add(found, order, line, subject)
  local entry = found[line.name]
  if not entry then
    entry = { name = line.name, unit = line.unit, values = {} }
    found[line.name] = entry
    order[#order + 1] = entry
  end
  entry.values[subject] = entry.values[subject] or {}
  table.insert(entry.values[subject], line.value)
end

local function run_case(suite, subjects, case)
  local found, order, missing = {}, {}, {}
  for _ = 1, REPS do
    for _, subject in ipairs(subjects) do
      local lines = not missing[subject] and run_once(suite, subject, case.name)
      missing[subject] = not lines
      for _, line in ipairs(lines or {}) do
        add(found, order, line, subject)
      end
    end
  end
  table.sort(order, function(a, b)
    return a.name < b.name
  end)
  return order
end

local function median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

-- In these units more is better.
local MORE <const> = { x = true, ["%"] = true }

-- Ours over the best peer, so that below 1 is always better.
local function ratio(entry, ours)
  local best
  for subject, values in pairs(entry.values) do
    local value = median(values)
    if subject ~= ours and subject ~= "serial" and value then
      if not best or (MORE[entry.unit] and value > best) or (not MORE[entry.unit] and value < best) then best = value end
    end
  end
  local mine = entry.values[ours] and median(entry.values[ours])
  if not best or not mine or mine == 0 or best == 0 then return "" end
  return ("%.2f"):format(MORE[entry.unit] and best / mine or mine / best)
end

local function print_row(suite, subjects, entry, goal)
  local cells = {}
  for i, subject in ipairs(subjects) do
    local values = entry.values[subject]
    cells[i] = ("%12s"):format(values and ("%.4g"):format(median(values)) or "-")
  end
  print(("%-18s %-4s%s  %6s  %s"):format(entry.name, entry.unit, table.concat(cells), ratio(entry, suite.ours), goal or ""))
end

local rows = {}

local function keep_rows(suite, entry)
  for subject, values in pairs(entry.values) do
    rows[#rows + 1] = ('{"suite":"%s","case":"%s","subject":"%s","value":%.6g,"unit":"%s","n":%d,"min":%.6g,"max":%.6g}'):format(
      suite.name, entry.name, subject, median(values), entry.unit, #values, values[1], values[#values])
  end
end

local function run_suite(suite)
  local subjects, heads = {}, {}
  for _, subject in ipairs(suite.subjects) do
    if suite.available(subject) then
      subjects[#subjects + 1] = subject
      heads[#heads + 1] = ("%12s"):format(subject)
    end
  end
  print(("\n%-18s unit%s   ratio  goal (ratio: ours to the best peer, below 1 is better)"):format(suite.name, table.concat(heads)))
  for _, case in ipairs(suite.cases) do
    if not only.case or only.case == case.name then
      for i, entry in ipairs(run_case(suite, subjects, case)) do
        print_row(suite, subjects, entry, i == 1 and case.goal or "")
        keep_rows(suite, entry)
      end
    end
  end
end

for _, suite in ipairs(suites) do
  if not only.suite or only.suite == suite.name then run_suite(suite) end
end
local file <close> = assert(io.open(build .. "/bench.json", "w"))
file:write("[\n  ", table.concat(rows, ",\n  "), "\n]\n")
