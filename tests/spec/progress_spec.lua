_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local has_script <const> = os.execute "command -v script >/dev/null 2>&1"

-- `script` gives the command a terminal.
local function on_terminal(source)
  return support.run_child(source, { shell = "script -qec '%s' /dev/null >%s 2>%s </dev/null", environment = "-u NO_COLOR TERM=xterm" })
end

-- A terminal of our own: what is written, when it was written, and a clock that is set by hand.
local function fake(options)
  local screen <const> = { text = "", writes = 0, now = 100 }
  function screen:write(text) self.text, self.writes = self.text .. text, self.writes + 1 end
  -- What a reader sees: the lines left when carriage returns, cursor-ups and clears have been obeyed, without colours.
  function screen:lines()
    local lines, row, column = { "" }, 1, 1
    local text <const> = self.text:gsub("\27%[%d*m", "")
    local at = 1
    while at <= #text do
      local c <const> = text:sub(at, at)
      local up, _, ups = text:find("^\27%[(%d+)A", at)
      if up then
        row = row - tonumber(ups)
        at = select(2, text:find("^\27%[%d+A", at)) + 1
      elseif text:find("^\27%[K", at) then
        lines[row] = lines[row]:sub(1, column - 1)
        at = at + 3
      else
        if c == "\r" then
          column = 1
        elseif c == "\n" then
          row = row + 1
          lines[row] = lines[row] or ""
        else
          lines[row] = lines[row]:sub(1, column - 1) .. c .. lines[row]:sub(column + 1)
          column = column + 1
        end
        at = at + 1
      end
    end
    return lines
  end
  screen.options = { output = screen, clock = function() return screen.now end, width = 60, terminal = true }
  for name, value in pairs(options or {}) do screen.options[name] = value end
  return screen
end

describe("mp.progress on a terminal", function()
  it("draws a bar with the part done, the rate and the time left, and at the end how long it took", function()
    local screen <const> = fake { label = "rows" }
    local bar <const> = mp.progress(200, screen.options)
    screen.now = 102
    bar:update(50)
    assert.same({ "rows [##......]  25%  50/200  25.0/s  0:06 left" }, { (screen:lines()[1]:gsub("%[#+%.+%]", "[##......]")) })
    screen.now = 104
    bar:update(200)
    local line <const> = screen:lines()[1]
    assert.matches("^rows %[#+%] 100%%  200/200  50.0/s  in 4.0 s$", line)
    assert.equal("", screen:lines()[2])
    assert.is_true(#line < 60)
  end)

  it("is redrawn ten times a second at most", function()
    local screen <const> = fake()
    local bar <const> = mp.progress(10000, screen.options)
    for i = 1, 5000 do
      screen.now = 100 + i / 1000
      bar:update(i)
    end
    assert.is_true(screen.writes <= 51 and screen.writes >= 45, screen.writes)
  end)

  it("follows a rate that changes", function()
    local screen <const> = fake()
    local bar <const> = mp.progress(1000, screen.options)
    for _ = 1, 10 do
      screen.now = screen.now + 1
      bar:add(10)
    end
    assert.matches("10.0/s  1:30 left", screen:lines()[1], 1, true)
    for _ = 1, 20 do
      screen.now = screen.now + 1
      bar:add(1)
    end
    assert.matches("1.01/s", screen:lines()[1], 1, true)
  end)

  it("counts without a total", function()
    local screen <const> = fake { label = "lines" }
    local bar <const> = mp.progress(nil, screen.options)
    screen.now = 165
    bar:update(1300)
    assert.same({ "lines 1300  20.0/s  1:05" }, screen:lines())
    bar:close()
    assert.equal("lines 1300  20.0/s  in 65.0 s", screen:lines()[1])
  end)

  it("shows a note, hours, and fits any width", function()
    for width = 10, 100, 6 do
      local screen <const> = fake { width = width }
      local bar <const> = mp.progress(1000000, screen.options)
      screen.now = 101
      bar:update(50, "this is a rather long note")
      for _, line in ipairs(screen:lines()) do assert.is_true(#line < width, line) end
      if width > 80 then
        assert.matches("5:33:19 left", screen:lines()[1], 1, true)
        assert.matches("this is a rather long note", screen:lines()[1], 1, true)
      end
      bar:close()
    end
  end)

  it("draws several bars one below the other, each in its place", function()
    local screen <const> = fake()
    screen.options.label = "one"
    local one <const> = mp.progress(10, screen.options)
    screen.options.label = "two"
    local two <const> = mp.progress(10, screen.options)
    screen.now = 101
    one:update(5)
    screen.now = 102
    two:update(2)
    screen.now = 103
    one:update(10)
    local lines <const> = screen:lines()
    assert.matches("^one .* 100%%", lines[1])
    assert.matches("^two .* 20%%", lines[2])
    assert.is_nil(lines[3])
    two:close()
    assert.matches("^one .* 100%%", screen:lines()[1])
    assert.matches("^two .* 20%%  2/10 .* in 3.0 s", screen:lines()[2])
    local after <const> = mp.progress(3, screen.options)
    assert.matches("^two .* 0%%", screen:lines()[3])
    after:close()
  end)

  it("uses colour unless NO_COLOR is set", function()
    local source <const> = [[
      local mp = require "makeparallel"
      local out = { text = "" }
      function out:write(text) self.text = self.text .. text end
      local now = 0
      local bar = mp.progress(2, { output = out, terminal = true, clock = function() now = now + 1 return now end })
      bar:update(1)
      bar:close()
      print(out.text:find("\27[32m", 1, true) ~= nil)
    ]]
    assert.equal("true\n", support.run_child(source, { environment = "-u NO_COLOR TERM=xterm" }).stdout)
    assert.equal("true\n", support.run_child(source, { environment = "TERM=xterm NO_COLOR=" }).stdout)
    assert.equal("false\n", support.run_child(source, { environment = "TERM=xterm NO_COLOR=1" }).stdout)
  end)

  it("ends once, at the total, by close, or by leaving its scope", function()
    local screen <const> = fake()
    do
      local bar <close> = mp.progress(10, screen.options)
      bar:update(3)
    end
    assert.matches("30%%  3/10", screen:lines()[1])
    local writes <const> = screen.writes
    local bar <const> = mp.progress(1, screen.options)
    bar:update(1):update(1):close()
    bar:add()
    assert.equal(writes + 2, screen.writes)
    mp.progress(0, screen.options)
    assert.matches("100%%  0/0", screen:lines()[3])
  end)
end)

describe("mp.progress where there is no terminal", function()
  it("writes a line each ten per cent, and the last", function()
    local screen <const> = fake { terminal = false, label = "rows" }
    local bar <const> = mp.progress(1000, screen.options)
    for i = 1, 1000 do
      screen.now = screen.now + 0.001
      bar:update(i)
    end
    local lines <const> = screen:lines()
    assert.equal(11, #lines)
    assert.matches("^rows: 10%%  100/1000  %d+/s  0:01 left$", lines[1])
    assert.matches("^rows: 100%%  1000/1000  1000/s  in 1.0 s$", lines[10])
    assert.is_nil(screen.text:find("[\r\27]"))
  end)

  it("writes one each five seconds if it is slower, with or without a total", function()
    for _, total in ipairs { 1000, false } do
      local screen <const> = fake { terminal = false }
      local bar <const> = mp.progress(total or nil, screen.options)
      for i = 1, 60 do
        screen.now = screen.now + 0.5
        bar:update(i)
      end
      assert.equal(6, screen.writes)
      bar:close()
      assert.equal(7, screen.writes)
    end
  end)

  it("does so on a terminal too with `plain`, or where TERM is dumb", function()
    local screen <const> = fake { plain = true }
    mp.progress(2, screen.options):update(1):close()
    assert.is_nil(screen.text:find("[\r\27]"))
    local child <const> = support.run_child([[
      local mp = require "makeparallel"
      local out = { write = function(_, text) io.write(text) end }
      mp.progress(2, { output = out, terminal = true }):update(2)
    ]], { environment = "TERM=dumb" })
    assert.matches("^100%%  2/2", child.stdout)
  end)

  it("writes to stderr if not told otherwise", function()
    local child <const> = support.run_child [[require("makeparallel").progress(2):update(2)]]
    assert.matches("^100%%  2/2", child.stderr)
    assert.equal("", child.stdout)
  end)
end)

describe("mp.progress of handles", function()
  it("counts each at its end, however it ends, and parts as they are reported", function()
    local pool <close> = mp.pool { workers = 1 }
    local screen <const> = fake()
    local reporting <const> = mp.spawn(function()
      mp.report_progress(0.5, "half")
      mp.sleep(60)
    end)
    local queue <const> = { reporting, mp.spawn(math.abs, -1), mp.spawn(error, "x"), support.sleeper(pool) }
    local bar <const> = mp.progress(queue, screen.options)
    screen.now = 101
    mp.wait_all({ queue[2], queue[3] })
    support.wait_until(function()
      mp.poll()
      return bar.done == 2.5
    end)
    screen.now = 102
    queue[4]:cancel()
    mp.wait_all({ queue[4] }, support.HANG_SECONDS)
    mp.poll()
    assert.equal(3.5, bar.done)
    assert.matches("3.5/4", screen:lines()[1], 1, true)
    reporting:cancel()
    mp.run()
    assert.equal(4, bar.done)
    assert.matches("100%%  4/4 .* in 2.0 s", screen:lines()[1])
  end)

  it("takes one handle, ended ones and none", function()
    local screen <const> = fake()
    local h <const> = mp.spawn(math.abs, -1)
    h:wait()
    assert.equal(1, mp.progress(h, screen.options).done)
    assert.equal(1, mp.progress({ mp.spawn(math.abs, -1) }, screen.options).total)
    mp.run()
    assert.equal(0, mp.progress({}, screen.options).done)
  end)
end)

describe("mp.progress", function()
  it("refuses wrong arguments, at the caller", function()
    local refusals <const> = {
      { "bad argument #1 to 'progress' (number of steps, handle or list of handles expected, got -1)", -1 },
      { "bad argument #1 to 'progress' (number of steps, handle or list of handles expected, got 1.5)", 1.5 },
      { "bad argument #1 to 'progress' (handle expected at [1], got number)", { 5 } },
      { "unknown option 'lable' (did you mean 'label'?)", 5, { lable = "x" } },
      { "label must be a string, got number", 5, { label = 5 } },
      { "width must be an integer from 10 to 10000, got 3", 5, { width = 3 } },
      { "plain must be true or false, got 1", 5, { plain = 1 } },
      { "terminal must be true or false, got yes", 5, { terminal = "yes" } },
      { "clock must be a function, got number", 5, { clock = 1 } },
      { "output must be a file or an object with a method write, got string", 5, { output = "x" } },
    }
    for _, case in ipairs(refusals) do
      local message, place = support.refusal(function() mp.progress(case[2], case[3]) end)
      assert.equal(case[1], message)
      assert.equal(support.here(-2), place)
    end
    local bar <close> = mp.progress(5, fake().options)
    for _, wrong in ipairs { -1, 0 / 0, math.huge, "1" } do
      assert.matches("bad argument #1 to 'update'", (support.refusal(bar.update, bar, wrong)), 1, true)
    end
    assert.matches("bad argument #1 to 'add'", (support.refusal(bar.add, bar, "1")), 1, true)
  end)
end)

describe("the option progress of map, imap, each and reduce", function()
  local CALLS <const> = [[
    local mp = require "makeparallel"
    local function nap(s) mp.sleep(s / 1000) return s end
    local options = { progress = HOW, chunk = 1 }
    mp.map(nap, { 60, 0, 60, 0 }, options)
    for _ in mp.imap(nap, { 60, 0, 60, 0 }, options) do end
    for _ in mp.imap(nap, ("60 0"):gmatch "%d+", options) do end
    mp.each(1, 4, nap, options)
    mp.reduce(nap, math.max, { 1, 2, 3, 4 }, options)
    mp.map(nap, {}, options)
    pcall(mp.map, nap, { 1, 2, "x", 4 }, options)
  ]]

  it("true draws bars on a terminal, and nothing where there is none", function()
    local child <const> = support.run_child((CALLS:gsub("HOW", "true")))
    assert.same({ 0, "", "" }, { child.code, child.stdout, child.stderr })
    if not has_script then return pending "needs script(1)" end
    local text <const> = on_terminal((CALLS:gsub("HOW", "true"))).stdout:gsub("\27%[%d*m", "")
    local _, whole = text:gsub("%[#+%] 100%%  4/4[^\r]*\27%[K\r*\n", "")
    assert.equal(4, whole, text)
    assert.matches("\r2  [^\r]*in", text)
  end)

  it("'plain' writes lines where there is none", function()
    local child <const> = support.run_child((CALLS:gsub("HOW", "'plain'")))
    local _, whole = child.stderr:gsub("100%%  4/4", "")
    assert.equal(4, whole, child.stderr)
  end)
end)
