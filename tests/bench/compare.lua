-- Runs two revisions alternately, ours only, and prints for each figure how they compare.
--   lua5.4 tests/bench/compare.lua BUILD BASE CASES [--with REVISION] [--reps N] [--scale S]
-- BASE is a git revision; it is compared with the working tree, which BUILD was built of, or with REVISION. CASES are names, "trip" or
-- "engine:fib", with blanks between; empty: all. Both run the cases of this working tree, a revision in BUILD/compare/COMMIT.
local here <const> = arg[0]:match "^(.*)/" or "."
package.path = here .. "/?.lua;" .. here .. "/lua/?.lua;" .. package.path

local stats = require "stats"
local suites = require "suites"

local build <const>, base <const>, wanted <const> = arg[1], arg[2], arg[3]
local options = require "options"(arg, 4, { with = "", reps = 7, scale = 1 })
if base == "" then error("which revision? make bench-compare BASE=HEAD~1", 0) end
if options.reps < 5 then error("fewer than 5 repetitions tell nothing", 0) end

local PROGRAMS <const> = { "bench/ours", "bench/growth", "bench/transfer/ours" }

local function shell(...)
  local command = table.concat({ ... }, " ")
  if not os.execute(command) then error(command .. " failed", 0) end
end

local function commit_of(revision)
  local pipe <close> = assert(io.popen(("git rev-parse --short --verify --quiet '%s^{commit}'"):format(revision)))
  return pipe:read "l" or error(("no revision '%s'"):format(revision), 0)
end

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

local function make(tree, targets, more)
  -- what the outer make was told is not for this one
  return os.execute(("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C %s %s %s"):format(tree, targets, more))
end

-- The programs of `tree` that cannot be built of the sources there.
local function build_programs(tree)
  local missing = {}
  for _, program in ipairs(PROGRAMS) do
    if not make(tree, "build/" .. program, ">/dev/null 2>&1") then missing[#missing + 1] = program end
  end
  return missing
end

-- Builds a revision with the benchmarks of the working tree; a program that asks too much of its engine is built of its own sources.
local function prepare(revision)
  local commit = commit_of(revision)
  local tree = ("%s/compare/%s"):format(build, commit)
  local function extract(path)
    shell(("rm -rf %s/%s; mkdir -p %s; git archive %s %s | tar x -C %s"):format(tree, path, tree, commit, path, tree))
  end
  if not exists(tree .. "/Makefile") then extract "." end
  shell(("rm -rf %s/tests/bench; cp -r %s %s/tests/bench"):format(tree, here, tree))
  if not make(tree, "lib module build/bench/lua/clock.so", ">/dev/null") then error("revision " .. revision .. " cannot be built", 0) end
  if #build_programs(tree) > 0 then
    extract "tests/bench"
    for _, program in ipairs(build_programs(tree)) do
      print(("%s has no %s"):format(revision, program))
    end
  end
  return { name = revision, suites = suites.of(tree .. "/build", tree, here) }
end

local function is_wanted(suite, case)
  local names = " " .. wanted .. " "
  return wanted:match "^%s*$" or names:find(" " .. case .. " ", 1, true) or names:find((" %s:%s "):format(suite, case), 1, true)
end

-- The lines of one run; nil if the revision has no such case, or fails in it: an older one need not know what is measured.
local function run_once(which, case, must)
  if not which.program or which.fails == case then return nil end
  local ok, lines = pcall(suites.run_once, which.suite.command(which.program, case, options.scale))
  if ok then return lines end
  if must then error(lines, 0) end
  which.fails = case
end

-- { name = {unit, ratios, old, new} } of one case, and the names in order; the revisions go first by turns.
local function compare(old, new, case)
  local found, order = {}, {}
  for i = 1, options.reps do
    local values = {}
    for turn = 1, 2 do
      local which = (i + turn) % 2 == 0 and old or new
      local lines = run_once(which, case, which == new)
      for _, line in ipairs(lines or {}) do
        values[line.name] = values[line.name] or { unit = line.unit }
        values[line.name][which] = line.value
      end
    end
    for name, value in pairs(values) do
      local entry = found[name]
      if not entry then
        entry = { unit = value.unit, ratios = {}, [old] = {}, [new] = {} }
        found[name] = entry
        order[#order + 1] = name
      end
      table.insert(entry[old], value[old])
      table.insert(entry[new], value[new])
      if value[old] and value[new] then table.insert(entry.ratios, suites.ratio(value[new], value[old], value.unit)) end
    end
  end
  table.sort(order)
  return found, order
end

local totals = { better = 0, WORSE = 0, [""] = 0 }

local function print_row(name, entry, old, new)
  local ratios = entry.ratios
  local function median(values)
    return #values > 0 and ("%.4g"):format(stats.median(values)) or "-"
  end
  if #ratios == 0 then
    print(("%-24s %-4s %10s %10s"):format(name, entry.unit, median(entry[old]), median(entry[new])))
    return
  end
  local judged = stats.verdict(ratios)
  totals[judged] = totals[judged] + 1
  print(("%-24s %-4s %10s %10s %8.3f  %.3f..%.3f  %.3f..%.3f  %s"):format(name, entry.unit, median(entry[old]), median(entry[new]),
    stats.median(ratios), stats.quantile(ratios, 0.25), stats.quantile(ratios, 0.75), ratios[1], ratios[#ratios], judged))
end

local from = prepare(base)
local to = options.with ~= "" and prepare(options.with) or { name = "working tree", suites = suites.of(build, ".", here) }

print(require "machine"())
print(("%s to %s, %d times each by turns; a ratio below 1: %s is better"):format(base, to.name, options.reps, to.name))
print(("%-24s unit %10s %10s    ratio  quartiles     least..most   outside noise"):format("", "before", "after"))
local compared = 0
for i, suite in ipairs(to.suites) do
  local old = { suite = from.suites[i], program = from.suites[i].find(suite.ours) }
  local new = { suite = suite, program = suite.find(suite.ours) }
  for _, case in ipairs(suite.cases) do
    if is_wanted(suite.name, case.name) then
      local found, order = compare(old, new, case.name)
      for _, name in ipairs(order) do
        print_row(suite.name .. ":" .. name, found[name], old, new)
        compared = compared + 1
      end
    end
  end
end
if compared == 0 then error(("no case of '%s' could be run"):format(wanted), 0) end
print(("%d better, %d worse, %d within noise"):format(totals.better, totals.WORSE, totals[""]))
