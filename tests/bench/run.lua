-- Runs the benchmarks: every case for every subject that is there, subjects taking turns, and prints a table a suite.
--   lua5.4 tests/bench/run.lua BUILD [--suite engine|transfer|lua] [--case NAME] [--reps N] [--quick]
-- A run of everything writes BUILD/bench.json, [{"suite","case","subject","value","unit","n","min","max"}] with medians as values, and
-- BUILD/bench.txt, the machine and what was printed. A part, or a quick run, writes BUILD/bench-part.json and .txt instead.
local here <const> = arg[0]:match "^(.*)/" or "."
package.path = here .. "/?.lua;" .. here .. "/lua/?.lua;" .. package.path

local stats = require "stats"
local suites = require "suites"

local build = arg[1]
local options = require "options"(arg, 2, { suite = "", case = "", reps = 5, quick = false })
local REPS <const> = options.quick and 1 or options.reps
local SCALE <const> = options.quick and 0.01 or 1
local whole = options.suite == "" and options.case == "" and not options.quick

local printed = {}

local function say(line)
  print(line)
  printed[#printed + 1] = line
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

local failures = {}

-- A peer that fails does not end the run; it is as if it had no such case.
local function run_once(suite, subject, case)
  local ok, lines = pcall(suites.run_once, suite.command(subject.program, case.name, SCALE))
  if ok then return lines end
  if subject.name == suite.ours then error(lines, 0) end
  failures[#failures + 1] = lines
end

local function run_case(suite, subjects, case)
  local found, order, lacks = {}, {}, {}
  for _ = 1, REPS do
    for _, subject in ipairs(subjects) do
      local lines = not lacks[subject.name] and run_once(suite, subject, case)
      lacks[subject.name] = not lines
      for _, line in ipairs(lines or {}) do
        add(found, order, line, subject.name)
      end
    end
  end
  table.sort(order, function(a, b)
    return a.name < b.name
  end)
  return order
end

-- Ours over the best peer.
local function ratio(entry, ours)
  local best = suites.best(entry.values, ours, entry.unit)
  local mine = entry.values[ours]
  local value = best and mine and suites.ratio(stats.median(mine), best, entry.unit)
  return value and ("%.2f"):format(value) or ""
end

local function shown(value)
  return (math.abs(value) < 1e4 and "%.4g" or "%.0f"):format(value)
end

local function print_row(suite, subjects, entry, goal)
  local cells = {}
  for i, subject in ipairs(subjects) do
    local values = entry.values[subject.name]
    cells[i] = ("%12s"):format(values and shown(stats.median(values)) or "-")
  end
  say(("%-18s %-4s%s  %6s  %s"):format(entry.name, entry.unit, table.concat(cells), ratio(entry, suite.ours), goal))
end

local rows = {}

local function keep_rows(suite, entry)
  for _, subject in ipairs(suite.subjects) do
    local values = entry.values[subject]
    if values then
      rows[#rows + 1] = ('{"suite":"%s","case":"%s","subject":"%s","value":%.6g,"unit":"%s","n":%d,"min":%.6g,"max":%.6g}'):format(
        suite.name, entry.name, subject, stats.median(values), entry.unit, #values, values[1], values[#values])
    end
  end
end

local function find_subjects(suite)
  local subjects, heads, missing = {}, {}, {}
  for _, name in ipairs(suite.subjects) do
    local program = suite.find(name)
    if program then
      subjects[#subjects + 1] = { name = name, program = program }
      heads[#heads + 1] = ("%12s"):format(name)
    else
      missing[#missing + 1] = name
    end
  end
  return subjects, heads, missing
end

local function run_suite(suite)
  local subjects, heads, missing = find_subjects(suite)
  if #subjects == 0 or subjects[1].name ~= suite.ours then
    error(("'%s' of suite '%s' cannot be started"):format(suite.ours, suite.name), 0)
  end
  say(("\n%-18s unit%s   ratio  goal (ratio: ours to the best peer, below 1 is better)"):format(suite.name, table.concat(heads)))
  for _, case in ipairs(suite.cases) do
    if options.case == "" or options.case == case.name then
      for i, entry in ipairs(run_case(suite, subjects, case)) do
        print_row(suite, subjects, entry, i == 1 and case.goal or "")
        keep_rows(suite, entry)
      end
    end
  end
  if #missing > 0 then say("not on this machine: " .. table.concat(missing, ", ")) end
end

local function write(name, ...)
  local file <close> = assert(io.open(build .. name, "w"))
  file:write(...)
end

say(require "machine"())
for _, suite in ipairs(suites.of(build, ".", here)) do
  if options.suite == "" or options.suite == suite.name then run_suite(suite) end
end
if #rows == 0 then error(("no suite '%s' has a case '%s'"):format(options.suite, options.case), 0) end
for _, text in ipairs(failures) do
  io.stderr:write(text, "\n")
end
local name <const> = whole and "/bench" or "/bench-part"
write(name .. ".json", "[\n  ", table.concat(rows, ",\n  "), "\n]\n")
write(name .. ".txt", table.concat(printed, "\n"), "\n")
os.exit(#failures == 0) -- after all was written
