-- Progress as people know it: bars that are redrawn in place on a terminal, a line now and then elsewhere; on stderr.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local io <const>, math <const>, os <const>, table <const> = io, math, os, table

local progress = {}

local REDRAW_SECONDS <const> = 0.1
local LINE_SECONDS <const> = 5 -- where lines are written: so often, or
local LINE_FRACTION <const> = 0.1 -- each time so much more is done
local COLUMNS <const> = 80 -- if the terminal does not tell
local BAR_MIN <const>, BAR_MAX <const> = 10, 40
local SMOOTHING <const> = 0.3 -- weight of the newest rate among those before
local COLOUR <const>, PLAIN <const> = "\27[32m", "\27[0m"

--
-- Text
--

local function format_count(n)
  if math.type(n) == "integer" or n == n // 1 then return ("%d"):format(n // 1 | 0) end
  return ("%.1f"):format(n)
end

local function format_rate(rate)
  return (rate >= 100 and "%.0f/s" or rate >= 10 and "%.1f/s" or "%.2f/s"):format(rate)
end

local function format_time(seconds)
  local s = math.ceil(seconds)
  if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
  return ("%d:%02d"):format(s // 60, s % 60)
end

-- How much is done and how fast, in the words after the bar.
local function describe(bar, now)
  local elapsed = now - bar.started
  local average = elapsed > 0 and bar.done / elapsed or 0
  local parts = { bar.total and format_count(bar.done) .. "/" .. format_count(bar.total) or format_count(bar.done) }
  if bar.ended then
    parts[#parts + 1] = format_rate(average)
    parts[#parts + 1] = ("in %.1f s"):format(elapsed)
  else
    local rate = bar.rate or average
    parts[#parts + 1] = format_rate(rate)
    if not bar.total then
      parts[#parts + 1] = format_time(elapsed)
    elseif rate > 0 then
      parts[#parts + 1] = format_time(math.max(0, bar.total - bar.done) / rate) .. " left"
    end
  end
  if bar.note then parts[#parts + 1] = bar.note end
  return table.concat(parts, "  ")
end

local function fraction(bar)
  if not bar.total then return nil end
  return bar.total == 0 and 1 or math.min(1, bar.done / bar.total)
end

local function bar_line(bar, screen, now)
  local label = bar.label and bar.label .. " " or ""
  local words, part = describe(bar, now), fraction(bar)
  local room = screen.columns - 1 -- a character in the last column makes some terminals go to the next line
  if not part then return (label .. words):sub(1, room) end
  local percent = ("%3d%%"):format(100 * part // 1)
  local width = math.min(BAR_MAX, room - #label - #words - #percent - 5)
  if width < BAR_MIN then return (label .. percent .. "  " .. words):sub(1, room) end
  local filled = width * part // 1 | 0
  local done, rest = ("#"):rep(filled), ("."):rep(width - filled)
  if screen.colour and filled > 0 then done = COLOUR .. done .. PLAIN end
  return ("%s[%s%s] %s  %s"):format(label, done, rest, percent, words)
end

local function plain_line(bar, now)
  local part = fraction(bar)
  return ("%s%s%s\n"):format(bar.label and bar.label .. ": " or "", part and ("%d%%  "):format(100 * part // 1) or "", describe(bar, now))
end

--
-- A screen: where several bars stand one below the other
--

local screens = setmetatable({}, { __mode = "k" }) -- [output] = screen

local function screen_of(output, options)
  local screen = screens[output]
  if screen and #screen.bars > 0 then return screen end
  local is_terminal, columns = false, nil
  if output == io.stderr then
    is_terminal, columns = core.is_terminal()
  end
  if options.terminal ~= nil then is_terminal = options.terminal end
  local no_colour = os.getenv "NO_COLOR"
  local dumb = os.getenv "TERM" == "dumb"
  screen = {
    output = output,
    terminal = is_terminal and not dumb,
    columns = options.width or columns or math.tointeger(tonumber(os.getenv "COLUMNS")) or COLUMNS,
    colour = (no_colour or "") == "",
    bars = {},
    lines = 0, -- drawn, with the cursor at the end of the last
    drawn = -math.huge,
  }
  screens[output] = screen
  return screen
end

local function write(output, text)
  output:write(text)
  if output.flush then output:flush() end
end

-- Redraws all bars: from the first line down, each line cleared to its end.
local function redraw(screen, now)
  local bars = screen.bars
  local text = { "\r" }
  if screen.lines > 1 then text[#text + 1] = ("\27[%dA"):format(screen.lines - 1) end
  for i, bar in ipairs(bars) do
    text[#text + 1] = (i > 1 and "\r\n" or "") .. bar_line(bar, screen, bar.ended or now) .. "\27[K"
  end
  screen.lines, screen.drawn = #bars, now
  for _, bar in ipairs(bars) do
    if not bar.ended then return write(screen.output, table.concat(text)) end
  end
  text[#text + 1] = "\r\n" -- all have ended: they stay, and the next begin below
  screen.bars, screen.lines, screen.drawn = {}, 0, -math.huge
  write(screen.output, table.concat(text))
end

--
-- A bar
--

local bar_methods = {}
local bar_mt = { __index = bar_methods }
bar_mt.__close = function(bar)
  bar:close()
end

local function measure(bar, now)
  local seconds = now - bar.measured
  if seconds < REDRAW_SECONDS then return end
  local rate = (bar.done - bar.measured_done) / seconds
  bar.rate = bar.rate and SMOOTHING * rate + (1 - SMOOTHING) * bar.rate or rate
  bar.measured, bar.measured_done = now, bar.done
end

local function show_line(bar, now)
  local part = fraction(bar)
  local more = part and part - bar.line_fraction >= LINE_FRACTION - 1e-9
  if not bar.ended and not more and now - bar.line_at < LINE_SECONDS then return end
  bar.line_at, bar.line_fraction = now, part
  write(bar.screen.output, plain_line(bar, now))
end

local function show(bar, now)
  local screen = bar.screen
  measure(bar, now)
  if bar.plain then
    show_line(bar, now)
  elseif bar.ended or now - screen.drawn >= REDRAW_SECONDS then
    redraw(screen, now)
  end
end

--- So many are done; at the total the bar ends. `note` is shown behind.
function bar_methods:update(done, note)
  if type(done) ~= "number" or not (done >= 0 and done < math.huge) then
    error(("bad argument #1 to 'update' (number from 0 expected, got %s)"):format(tostring(done)), 2)
  end
  if self.ended then return self end
  local now = self.clock()
  self.done, self.note = done, note
  if self.total and done >= self.total then self.ended = now end
  show(self, now)
  return self
end

--- So many more are done; default 1.
function bar_methods:add(n, note)
  n = n == nil and 1 or n
  if type(n) ~= "number" or n ~= n then error(("bad argument #1 to 'add' (number expected, got %s)"):format(tostring(n)), 2) end
  return self:update(self.done + n, note)
end

--- Ends the bar as it stands. It may be called again.
function bar_methods:close()
  if self.ended then return end
  self.ended = self.clock()
  show(self, self.ended)
end

-- options: label, width, plain, output, clock, terminal; nil where the output is no terminal and `only_terminal` is set.
local function new_bar(total, options, only_terminal)
  local screen = screen_of(options.output or io.stderr, options)
  if only_terminal and not screen.terminal then return nil end
  local clock = options.clock or core.now
  local now = clock()
  local bar = setmetatable({
    screen = screen,
    total = total,
    label = options.label,
    plain = options.plain or not screen.terminal,
    clock = clock,
    started = now,
    done = 0,
    measured = now,
    measured_done = 0,
    line_at = now,
    line_fraction = 0,
  }, bar_mt)
  if not bar.plain then table.insert(screen.bars, bar) end
  if total == 0 then
    bar:close()
  elseif not bar.plain then
    show(bar, now)
  end
  return bar
end

--- For the option `progress` of map and others: a function of (done, total), and the bar to close, or nil.
function progress.reporter(wanted, total)
  if not wanted or total == 0 then return nil end
  if type(wanted) == "function" then return wanted end
  local bar = new_bar(total, {}, wanted ~= "plain")
  if not bar then return nil end
  return function(done)
    bar:update(done)
  end, bar
end

--
-- mp.progress
--

local OPTIONS <const> = { "label", "width", "plain", "output", "clock", "terminal" }

-- Each handle counts as one, in parts as it reports.
local function follow(bar, handles)
  local parts = {}
  local function count(i, part, note)
    local before = parts[i] or 0
    if part <= before then return end
    parts[i] = part
    local done = bar.done + part - before
    local nearest = (done + 0.5) // 1
    bar:update(math.abs(done - nearest) < 1e-9 and nearest | 0 or done, note)
  end
  for i, handle in ipairs(handles) do
    local function report(part, note)
      if part < 1 then count(i, part, note) end -- the whole is counted at its end, however it ends
    end
    if handle:is_ready() then -- its pool may be gone, and bring no news
      count(i, 1)
    else
      handle:on_progress(report)
      report(handle:progress()) -- what it reported before
      core.watch(handle, function()
        count(i, 1)
      end)
    end
  end
end

--- A bar for a number of steps (nil: nobody knows how many), or for a handle or a list of handles: then it moves by itself, whenever
-- callbacks run. options: label; plain = true: lines even on a terminal; width; output, clock, terminal: instead of stderr, the
-- monotonic clock, and a look whether it is a terminal.
function progress.progress(what, options)
  options = check.options(options, OPTIONS)
  local handles = core.is_handle(what) and { what } or type(what) == "table" and what
  if handles then
    check.handles(handles, "progress")
  elseif what ~= nil and not (math.type(what) == "integer" and what >= 0) then
    error(("bad argument #1 to 'progress' (number of steps, handle or list of handles expected, got %s)"):format(tostring(what)), 2)
  end
  check.string(options.label, "label")
  check.integer(options.width, "width", 10, 10000)
  check.boolean(options.plain, "plain")
  check.boolean(options.terminal, "terminal")
  if options.clock ~= nil and type(options.clock) ~= "function" then
    error(("clock must be a function, got %s"):format(type(options.clock)), 2)
  end
  local output = options.output
  if output ~= nil and not (type(output) == "userdata" or type(output) == "table") then
    error(("output must be a file or an object with a method write, got %s"):format(type(output)), 2)
  end
  local bar = new_bar(handles and #handles or what, options)
  if handles then follow(bar, handles) end
  return bar
end

return progress
