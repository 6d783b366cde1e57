-- Checks that the files of a folder stand on floors and depend downwards: layers.lua FOLDER OBJECTS [optional]
--
-- A file `x` is x.c and x.h together. It depends on another one by a symbol (nm, over the objects of x.c in OBJECTS) or by
-- `#include "..."`. FOLDER/README.md has a table `| floor | files | ...`, lowest floor first, whose rows name files in backquotes,
-- or all files of a folder as `folder/`. The rules: each file has one floor, a file depends on its own floor and on lower ones
-- only, symbols make no circle, headers include each other in no circle, and neither do rooms, which are the folders below FOLDER.
-- The files of a row that says "(a circle)" behind them may call each other as they like. With `optional`, a folder without such a
-- table may keep its circles: they are counted, and told if the environment has CIRCLES.
local folder, objects, optional = arg[1], arg[2], arg[3] == "optional"
local failures = {}

local function fail(...) failures[#failures + 1] = string.format(...) end

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  assert(pipe:close(), command)
  return lines
end

local function sorted_keys(set)
  local keys = {}
  for key in pairs(set) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- graph[from][to] is the set of reasons why `from` depends on `to`.
local function add_edge(graph, from, to, reason)
  if from == to then return end
  graph[from] = graph[from] or {}
  graph[from][to] = graph[from][to] or {}
  graph[from][to][reason] = true
end

local function stem_of(path) return path:match "([^/]+)%.[ch]$" end

-- The files, what they include, and what their objects define and need.

local sources = lines_of("find " .. folder .. " -name '*.[ch]' | LC_ALL=C sort")
local header_of, room_of = {}, {} -- the name in an #include -> the path; a stem -> its folder below FOLDER
for _, path in ipairs(sources) do
  local name, stem = path:match "[^/]+$", stem_of(path)
  if name:match "%.h$" then
    if header_of[name] then fail("%s and %s have one name", header_of[name], path) end
    header_of[name] = path
  end
  room_of[stem] = path:sub(#folder + 2):match "^(.*/)" or ""
end

local includes, headers = {}, {} -- stem -> stem; header -> header
for _, path in ipairs(sources) do
  for line in io.lines(path) do
    local included = line:match '^%s*#%s*include%s+"([^"]+)"'
    local target = included and header_of[included:match "[^/]+$"]
    if target then
      add_edge(includes, stem_of(path), stem_of(target), target)
      if path:match "%.h$" then add_edge(headers, path, target, "#include") end
      if path == target then fail("%s includes itself", path) end
    end
  end
end

local definer, needs, calls = {}, {}, {} -- symbol -> stem; {stem, symbol}; stem -> stem
for _, path in ipairs(sources) do
  if path:match "%.c$" then
    for _, line in ipairs(lines_of("nm -P " .. objects .. path:sub(#folder + 1, -2) .. "o")) do
      local symbol, kind = line:match "^(%S+) (%a)"
      if kind == "U" then
        needs[#needs + 1] = { stem_of(path), symbol }
      elseif kind:match "%u" then
        definer[symbol] = stem_of(path)
      end
    end
  end
end
for _, need in ipairs(needs) do
  local stem, symbol = table.unpack(need)
  if definer[symbol] then add_edge(calls, stem, definer[symbol], symbol) end
end

-- Circles.

--- The shortest way from `start` back to it as a list of files, or nil.
local function circle_through(graph, start)
  local queue, came_from = { start }, {}
  for _, file in ipairs(queue) do
    for _, to in ipairs(sorted_keys(graph[file] or {})) do
      if to == start then
        local circle = { file }
        while circle[1] ~= start do table.insert(circle, 1, came_from[circle[1]]) end
        return circle
      end
      if not came_from[to] then
        came_from[to] = file
        queue[#queue + 1] = to
      end
    end
  end
end

--- Tells a shortest circle, takes its weakest step out of the graph, and goes on until there is no circle: to cut these steps
--- would be enough.
local function tell_circles(graph, what, tell)
  local number = 0
  while true do
    local shortest
    for _, file in ipairs(sorted_keys(graph)) do
      local circle = circle_through(graph, file)
      if circle and (not shortest or #circle < #shortest) then shortest = circle end
    end
    if not shortest then return number end
    number = number + 1
    local text, weakest = {}, nil
    for i, from in ipairs(shortest) do
      local to = shortest[i % #shortest + 1]
      local reasons = sorted_keys(graph[from][to])
      if not weakest or #reasons < weakest.n then weakest = { from = from, to = to, n = #reasons } end
      text[i] = string.format("\n  %s -> %s: %s", from, to, table.concat(reasons, " "))
    end
    graph[weakest.from][weakest.to] = nil
    tell("%s: %s go in a circle%s", folder, what, table.concat(text))
  end
end

-- Floors.

local function read_floors()
  local floors, names = nil, {} -- the floors' names, lowest first; what a row names -> its height
  local round = {} -- a height -> may its files call each other in a circle
  for line in io.lines(folder .. "/README.md") do
    local floor, files = line:match "^|%s*(.-)%s*|%s*(.-)%s*|"
    if not floors then
      if floor == "floor" then floors = {} end
    elseif not floor then
      break
    elseif not floor:match "^%-+$" then
      floors[#floors + 1] = floor
      round[#floors] = files:find("(a circle)", 1, true) ~= nil
      for name in files:gmatch "`([^`]+)`" do
        name = name:gsub("%.[ch]$", "")
        if names[name] then fail("%s/README.md: `%s` has two floors", folder, name) end
        names[name] = #floors
      end
    end
  end
  return floors, names, round
end

--- Takes what is allowed out of the graph of calls: steps between files of a floor that may be a circle. Returns these files.
local function allow_circles(height, round)
  local allowed = {}
  for _, from in ipairs(sorted_keys(calls)) do
    for _, to in ipairs(sorted_keys(calls[from])) do
      if height[from] == height[to] and round[height[from]] then
        calls[from][to] = nil
        allowed[from], allowed[to] = true, true
      end
    end
  end
  return sorted_keys(allowed)
end

--- Which room needs which, by calls and includes; files that are in no room count for nothing.
local function rooms_graph()
  local graph = {}
  for _, edges in ipairs { calls, includes } do
    for from, targets in pairs(edges) do
      for to in pairs(targets) do
        local above, below = room_of[from], room_of[to]
        if above ~= "" and below ~= "" then add_edge(graph, above, below, from .. " -> " .. to) end
      end
    end
  end
  return graph
end

local function check_floors(floors, names, round)
  local height = {}
  for _, path in ipairs(sources) do
    local stem = stem_of(path)
    height[stem] = names[stem] or names[room_of[stem]]
    if not height[stem] then fail("%s has no floor", path) end
  end
  for _, name in ipairs(sorted_keys(names)) do
    local found = room_of[name] ~= nil
    for _, room in pairs(room_of) do found = found or room == name end
    if not found then fail("%s/README.md: there is no file `%s`", folder, name) end
  end
  for verb, graph in pairs { ["needs"] = calls, ["includes"] = includes } do
    for _, from in ipairs(sorted_keys(graph)) do
      for _, to in ipairs(sorted_keys(graph[from])) do
        if height[from] and height[to] and height[from] < height[to] then
          fail("%s/%s%s (floor %s) %s what is above it: %s%s (floor %s): %s", folder, room_of[from], from, floors[height[from]],
            verb, room_of[to], to, floors[height[to]], table.concat(sorted_keys(graph[from][to]), " "))
        end
      end
    end
  end
  return allow_circles(height, round)
end

local floors, names, round = read_floors()
local allowed = {}
local between_rooms = rooms_graph()
if floors then
  allowed = check_floors(floors, names, round)
elseif not optional then
  fail("%s/README.md has no table of floors", folder)
end

local function tell(...)
  if floors or not optional then
    fail(...)
  elseif os.getenv "CIRCLES" then
    io.stderr:write(string.format(...), "\n")
  end
end
local circles = tell_circles(calls, "symbols", tell) + tell_circles(headers, "includes", tell) + tell_circles(between_rooms, "rooms", tell)

table.sort(failures)
for _, failure in ipairs(failures) do io.stderr:write(failure, "\n") end
if #failures > 0 then os.exit(1) end
local rooms = {}
for _, room in pairs(room_of) do rooms[room] = room ~= "" or nil end
local floors_text = floors and #floors .. " floors" or "no floors yet"
if #sorted_keys(rooms) > 1 then floors_text = #sorted_keys(rooms) .. " rooms, " .. floors_text end
local circles_text = circles > 0 and "circles to cut: " .. circles or "no circle"
if #allowed > 0 then circles_text = circles_text .. " but " .. table.concat(allowed, ", ") end
print(string.format("%s: %s, %s", folder, floors_text, circles_text))
