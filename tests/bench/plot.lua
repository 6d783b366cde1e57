-- Draws BUILD/bench.svg of BUILD/bench.json with gnuplot: for each case, how many times as fast as each peer we are, on a log scale.
--   lua5.4 tests/bench/plot.lua BUILD [--from NAME]   NAME "bench-part" draws a part of a run
local here <const> = arg[0]:match "^(.*)/" or "."
package.path = here .. "/?.lua;" .. here .. "/lua/?.lua;" .. package.path

local suites = require "suites"

local build <const> = arg[1]
local options = require "options"(arg, 2, { from = "bench" })

-- Told apart by colour-blind eyes (Okabe and Ito's colours) and by shape.
local MARKS <const> = {
  { "#0072B2", 7 }, { "#D55E00", 5 }, { "#009E73", 9 }, { "#E69F00", 13 }, { "#CC79A7", 11 }, { "#56B4E9", 15 },
}
local WIDTH <const>, ROW <const>, TOP <const>, FOOT <const> = 960, 24, 66, 34
local GAP <const> = 96 -- between two panels of a column: the scale of one, title and key of the next
local LEAST <const>, MOST <const> = 0.2, 100 -- what lies further out is drawn at the edge

local function read(path)
  local file <close> = io.open(path) or error(path .. " is missing: make bench writes it", 0)
  return file:read "a"
end

-- The rows of a suite in the order of the file: { {case, unit, values = {subject = value}} }.
local function read_rows(text, suite)
  local rows, by_case = {}, {}
  for object in text:gmatch "{[^}]*}" do
    local function field(name)
      return object:match(('"%s":"([^"]*)"'):format(name))
    end
    if field "suite" == suite.name then
      local case = field "case"
      local row = by_case[case]
      if not row then
        row = { case = case, unit = field "unit", values = {} }
        by_case[case] = row
        rows[#rows + 1] = row
      end
      row.values[field "subject"] = tonumber(object:match '"value":([^,}]*)')
    end
  end
  return rows
end

-- "trip.p50" and "from_idle_p50" are parts of a case.
local function label_of(suite, name)
  local label, length = name, 0
  for _, case in ipairs(suite.cases) do
    local rest = name:sub(1, #case.name) == case.name and name:sub(#case.name + 1)
    if rest and #case.name > length and (rest == "" or rest:find "^[._]") then
      label, length = case.label .. (rest == "" and "" or ", " .. rest:sub(2)), #case.name
    end
  end
  return label
end

-- { name, title, rows = { {label, {peer = times}} }, peers } of the cases that we and a peer have.
local function panel_of(suite, title, text)
  local panel, present = { title = title, rows = {}, peers = {} }, {}
  for _, row in ipairs(read_rows(text, suite)) do
    local mine, times, any = row.values[suite.ours], {}, false
    for peer, value in pairs(row.values) do
      local ratio = mine and peer ~= suite.ours and not suites.yardsticks[peer] and suites.ratio(value, mine, row.unit)
      if ratio then
        times[peer], present[peer], any = math.max(LEAST, math.min(MOST, ratio)), true, true
      end
    end
    if any then panel.rows[#panel.rows + 1] = { label = label_of(suite, row.case), times = times } end
  end
  for _, subject in ipairs(suite.subjects) do
    if present[subject] then panel.peers[#panel.peers + 1] = subject end
  end
  return panel
end

local script = {}

local function say(format, ...)
  script[#script + 1] = select("#", ...) > 0 and format:format(...) or format
end

-- The peers' names with their marks, in a line whose middle is at x, y. gnuplot's own key breaks into columns.
local function draw_key(peers, x, y, height)
  local PER_LETTER <const>, MARK <const> = 6.4, 26
  local width = 0
  for _, peer in ipairs(peers) do
    width = width + #peer * PER_LETTER + MARK
  end
  local at = x - width / 2 + 12
  for i, peer in ipairs(peers) do
    local form = 'set label %d "%s" at screen %g, screen %g left point pt %d ps 1.05 lc rgb "%s" offset 0.7,-0.25 textcolor rgb "#222222"'
    say(form, 10 + i, peer, at / WIDTH, 1 - y / height, MARKS[i][2], MARKS[i][1])
    at = at + #peer * PER_LETTER + MARK
  end
end

-- One panel with its upper left corner at x, y (pixels from the top), of a picture so high.
local function draw(panel, x, y, height)
  local n = #panel.rows
  local labels = {}
  for i, row in ipairs(panel.rows) do
    labels[i] = ('"%s" %d'):format(row.label, n - i)
  end
  local left <const>, right <const> = x + 178, x + WIDTH / 2 - 14
  say("set lmargin at screen %g; set rmargin at screen %g", left / WIDTH, right / WIDTH)
  say("set tmargin at screen %g; set bmargin at screen %g", 1 - y / height, 1 - (y + n * ROW) / height)
  say('set label 3 "%s" at screen %g, screen %g center font ",14" textcolor rgb "#111111"', panel.title, (left + right) / 2 / WIDTH,
    1 - (y - 36) / height)
  draw_key(panel.peers, (left + right) / 2, y - 16, height)
  say("set yrange [-0.6:%g]; set ytics scale 0 (%s)", n - 0.4, table.concat(labels, ", "))
  local plots = {}
  for i, peer in ipairs(panel.peers) do
    local name <const> = ("$%s_%d"):format(panel.name, i)
    say(name .. " << EOD")
    for j, row in ipairs(panel.rows) do
      -- a little above one another, so that equal ones are all seen
      if row.times[peer] then say("%g %g", row.times[peer], n - j + 0.12 * ((#panel.peers + 1) / 2 - i)) end
    end
    say "EOD"
    local mark <const> = MARKS[i]
    plots[i] = ('%s using 1:2 with points pt %d ps 1.05 lc rgb "%s" notitle'):format(name, mark[2], mark[1])
  end
  say("plot %s", table.concat(plots, ", "))
  say "unset label"
end

local function height_of(column)
  local height = TOP + FOOT - GAP + 60
  for _, panel in ipairs(column) do
    height = height + #panel.rows * ROW + GAP
  end
  return height
end

local function draw_all(columns, machine)
  local height = math.max(height_of(columns[1]), height_of(columns[2]))
  say('set terminal svg size %d,%d font "Arial,12" background "white" noenhanced', WIDTH, height)
  say("set output '%s/bench.svg'", build)
  say "set multiplot"
  say("set logscale x; set xrange [%g:%g]", LEAST, MOST)
  say('set xtics ("1/5" 0.2, "1/2" 0.5, "1" 1, "2" 2, "5" 5, "10" 10, "20" 20, "50" 50, "100" 100) nomirror scale 0.5')
  say 'set border 1 lc rgb "#999999"; set grid ytics lt 1 lw 0.6 lc rgb "#dddddd"; set tics textcolor rgb "#222222"'
  say 'set arrow 1 from first 1, graph 0 to first 1, graph 1 nohead lw 1.4 lc rgb "#444444" back'
  say('set label 1 "How many times as fast as each peer makeparallel is. Right of the line it is ahead; at an edge, further out." '
    .. 'at screen 0.5, screen %g center font ",13" textcolor rgb "#222222"', 1 - 18 / height)
  say('set label 2 "%s" at screen 0.5, screen %g center font ",10" textcolor rgb "#666666"', machine, 14 / height)
  for i, column in ipairs(columns) do
    local y = TOP + 24
    for _, panel in ipairs(column) do
      draw(panel, (i - 1) * WIDTH / 2, y, height)
      y = y + #panel.rows * ROW + GAP
    end
  end
  say "unset multiplot"
end

local text <const> = read(("%s/%s.json"):format(build, options.from))
local machine <const> = read(("%s/%s.txt"):format(build, options.from)):match "^[^\n]*"
local TITLES <const> = { lua = "Lua tasks", transfer = "Lua values, there and back", engine = "C tasks" }
local panels = {}
for _, suite in ipairs(suites.of(build, ".", here)) do
  if TITLES[suite.name] then
    local panel = panel_of(suite, TITLES[suite.name], text)
    panel.name = suite.name
    panels[suite.name] = #panel.rows > 0 and panel or nil
  end
end
local columns = { {}, { panels.engine } }
for _, name in ipairs { "lua", "transfer" } do
  table.insert(columns[1], panels[name])
end
draw_all(columns, machine)

local plot <const> = build .. "/bench.gp"
local file = assert(io.open(plot, "w"))
file:write(table.concat(script, "\n"), "\n")
file:close()
if not os.execute("gnuplot " .. plot) then error("gnuplot failed on " .. plot, 0) end

-- Whoever has no Arial shall see a sans-serif all the same.
local svg = build .. "/bench.svg"
local drawn = read(svg):gsub('font%-family="Arial"', 'font-family="Arial, Helvetica, sans-serif"')
file = assert(io.open(svg, "w"))
file:write(drawn)
file:close()
print("drawn: " .. svg)
