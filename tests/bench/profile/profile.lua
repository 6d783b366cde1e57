-- Profiles ours in one case and says where the time went, by part and by function.
--   lua5.4 tests/bench/profile/profile.lua BUILD CASE SUITE [--seconds 3] [--tool perf|callgrind]
-- perf, where the machine allows it, else callgrind, which counts instructions and sees no kernel. SUITE "": the first that has the case,
-- "lua" before the others. What is printed is also in BUILD/profile/CASE.txt.
local bench <const> = arg[0]:match "^(.*)/profile/" or ".."
package.path = bench .. "/?.lua;" .. bench .. "/lua/?.lua;" .. package.path

local suites = require "suites"

local build <const>, case <const>, wanted <const> = arg[1], arg[2], arg[3]
local options = require "options"(arg, 4, { seconds = 3, tool = "" })
local TOP <const> = 35

local function find_suite()
  local all = suites.of(build, ".", bench, build .. "/profile/lua")
  table.sort(all, function(a, b)
    return a.name == "lua" and b.name ~= "lua"
  end)
  for _, suite in ipairs(all) do
    for _, each in ipairs(suite.cases) do
      if each.name == case and (wanted == "" or wanted == suite.name) then return suite end
    end
  end
  error(("no suite '%s' has a case '%s': make profile CASE=tiny SUITE=lua"):format(wanted, case), 0)
end

local suite <const> = find_suite()
local program <const> = suite.find(suite.ours) or error("not built", 0)

local TOOLS <const> = { perf = require "profile.perf", callgrind = require "profile.callgrind" }
local tool = options.tool ~= "" and options.tool or TOOLS.perf.works(build) and "perf" or "callgrind"
if not TOOLS[tool] then error(("--tool is perf or callgrind, not '%s'"):format(tool), 0) end

-- {what, total, functions = { {symbol, object, self, inclusive} }}; with `threads`, each function has `owner` too: self on the main thread.
local profile = TOOLS[tool].run(build, suite, program, case, options.seconds)
local part_of = require("profile.parts").of(build)

local lines = {}

local function say(format, ...)
  lines[#lines + 1] = format:format(...)
end

local function sum_parts()
  local parts, order = {}, {}
  for _, entry in ipairs(profile.functions) do
    entry.part = part_of(entry.symbol, entry.object)
    if not parts[entry.part] then
      parts[entry.part] = { self = 0, owner = 0 }
      order[#order + 1] = entry.part
    end
    parts[entry.part].self = parts[entry.part].self + entry.self
    parts[entry.part].owner = parts[entry.part].owner + (entry.owner or 0)
  end
  table.sort(order, function(a, b)
    return parts[a].self > parts[b].self
  end)
  return parts, order
end

local function percent(value)
  return ("%5.1f %%"):format(100 * value / profile.total)
end

local function say_functions(key)
  say("\n%s", key == "self" and "By time in the function itself" or "By time in the function and all it calls")
  say("%8s %8s  %-9s %s", "self", "with all", "part", "function")
  table.sort(profile.functions, function(a, b)
    if a[key] ~= b[key] then return a[key] > b[key] end
    return a.symbol < b.symbol
  end)
  for i = 1, math.min(TOP, #profile.functions) do
    local entry = profile.functions[i]
    if entry[key] / profile.total < 0.002 then break end
    say("%8s %8s  %-9s %s", percent(entry.self), percent(entry.inclusive), entry.part, entry.symbol)
  end
end

say("%s:%s, %s", suite.name, case, profile.what)
say("%s\n", require "machine"())
local parts, order = sum_parts()
local threads = profile.threads
say("%-10s %8s%s", "part", "time", threads and ("  %10s %10s"):format("main", "workers") or "")
for _, part in ipairs(order) do
  local value = parts[part]
  say("%-10s %8s%s", part, percent(value.self),
    threads and ("  %10s %10s"):format(percent(value.owner), percent(value.self - value.owner)) or "")
end
say_functions "self"
say_functions "inclusive"

local text <const> = table.concat(lines, "\n") .. "\n"
io.write(text)
local file <close> = assert(io.open(("%s/profile/%s.txt"):format(build, case), "w"))
file:write(text)
