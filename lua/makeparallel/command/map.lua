-- `makeparallel map`: a function over the lines of the input. Of these no more than a window is in memory, so an input may be endless.
local core = require "makeparallel.core"
local progress = require "makeparallel.progress"

local map = {}

local WINDOW <const> = 16 -- lines in flight for each worker: enough that none idles while this state prints
local ORDERED_WINDOW <const> = 64 -- in order, results wait behind a slow line

-- Runs in a worker, so that the module is loaded only where it is used.
local PROBE <const> = [[
  local name = ...
  local module, field = name:match "^(.+)%.([^.]+)$"
  if not module then error(("'%s' is not of the form module.fn"):format(name), 0) end
  local found, m = pcall(require, module)
  if not found then error(m, 0) end
  local f = type(m) == "table" and m[field]
  local callable = type(f) == "function" or (getmetatable(f) or {}).__call
  if not callable then error(("module '%s' has no function '%s'"):format(module, field), 0) end
]]

-- A bar that counts finished lines; nil where nobody would see it.
local function open_bar(wanted)
  if wanted and core.is_terminal() then return progress.progress(nil, { label = "lines" }) end
end

local run_methods = {}
local run_mt = { __index = run_methods }

-- What io.write and flush return.
local function check_written(written, why)
  if not written then error("cannot write: " .. why, 0) end
end

-- Prints what a call returned; nothing for nothing.
local function print_results(ok, ...)
  if not ok then return false, (...) end
  local n <const> = select("#", ...)
  if n == 0 then return true end
  local results <const> = { ... }
  for i = 1, n do
    results[i] = tostring(results[i])
  end
  check_written(io.write(table.concat(results, "\t"), "\n"))
  return true
end

function run_methods:finish(item)
  local ok, err = print_results(item.handle:pget())
  if not ok then
    self.failed = self.failed + 1
    io.stderr:write(("makeparallel: line %d: %s\n"):format(item.number, err.message or tostring(err)))
  end
  if self.bar then self.bar:add() end
end

function run_methods:finish_first()
  local item <const> = self.items[self.first]
  self.items[self.first] = nil
  self.first = self.first + 1
  self:finish(item)
end

-- Takes the slot that has ended; the last one moves there.
function run_methods:finish_any()
  local handles <const>, items <const> = self.handles, self.items
  local _, slot = self.mp.wait_any(handles)
  local item <const> = items[slot]
  handles[slot], items[slot] = handles[#handles], items[#items]
  handles[#handles], items[#items] = nil, nil
  self:finish(item)
end

function run_methods:add_ordered(item)
  self.last = self.last + 1
  self.items[self.last] = item
  while self.first <= self.last and (self.last - self.first >= self.window or self.items[self.first].handle:is_ready()) do
    self:finish_first()
  end
end

function run_methods:add_unordered(item)
  self.items[#self.items + 1], self.handles[#self.handles + 1] = item, item.handle
  if #self.items >= self.window then self:finish_any() end
end

-- Prints what ends, in its turn, until the reader has something.
function run_methods:finish_until(reading)
  while not reading:is_ready() do
    check_written(io.stdout:flush()) -- what was printed is to be seen meanwhile
    local awaited
    if self.unordered then
      awaited = table.move(self.handles, 1, #self.handles, 2, { reading })
    else
      local first = self.items[self.first]
      awaited = { reading, first and first.handle }
    end
    local _, slot = self.mp.wait_any(awaited)
    if slot == 1 then return end
    if self.unordered then
      self:finish_any()
    else
      self:finish_first()
    end
  end
end

function run_methods:finish_all(unordered)
  if unordered then
    while #self.items > 0 do self:finish_any() end
  else
    while self.first <= self.last do self:finish_first() end
  end
  if self.bar then self.bar:close() end
end

-- The function of a line that the text stands for: the value of an expression, or a chunk; or nil and why not.
local function compile(text)
  local fn = load("local line = ... return " .. text, "=(-e)", "t")
  if fn then return fn end
  return load("local line = ... " .. text, "=(-e)", "t")
end

-- What is to be called; or nil and why not.
local function find_function(mp, options)
  if options.expression then return compile(options.expression) end
  local known <const>, why = mp.spawn(mp.source(PROBE), options.fn):pget()
  if known then return options.fn end
  return nil, why.value or why.message
end

-- Calls add(line) for each line of the file. True, or nil and why it cannot be read.
local function read_file(file, name, add)
  while true do
    local line, why = file:read "l"
    if why then return nil, ("%s: %s"):format(name, why) end
    if not line then return true end
    add(line)
  end
end

-- The same for an input that may be slow, a pipe or a terminal: a task reads what there is, and while nothing comes, results are printed.
local function read_slow(run, add)
  local reader <close> = run.mp.pool { workers = 1 }
  local parts = {} -- of a line that has not come to its end
  while true do
    local reading <const> = reader:spawn "makeparallel.core.read_some"
    run:finish_until(reading)
    local chunk <const> = reading:get()
    if not chunk then break end
    parts[#parts + 1] = chunk
    if chunk:find("\n", 1, true) then
      local text <const> = table.concat(parts)
      local at = 1
      for line, next_line in text:gmatch "([^\n]*)\n()" do
        at = next_line
        add(line)
      end
      parts = { text:sub(at) }
    end
  end
  local last <const> = table.concat(parts)
  if last ~= "" then add(last) end
end

-- Calls add(line) for each line of each file. True, or nil and which could not be read.
local function read_all(run, files, add)
  for _, name in ipairs(#files > 0 and files or { "-" }) do
    if name == "-" and core.is_slow() then
      read_slow(run, add)
    else
      local file, why = io.stdin, nil
      if name ~= "-" then file, why = io.open(name) end
      local read = file ~= nil
      if file then read, why = read_file(file, name, add) end
      if file and name ~= "-" then file:close() end
      if not read then return nil, why end
    end
  end
  return true
end

--- Calls a function for each line of the files, or of stdin. True if no call failed; else nil, why, and true if none was made.
function map.lines(mp, options)
  local fn <const>, why = find_function(mp, options)
  if not fn then return nil, why, true end
  local task <const> = mp.parallel_fast(fn)
  local workers <const> = mp.get_thread_pool_info().workers
  local run <const> = setmetatable({
    mp = mp,
    window = workers * (options.unordered and WINDOW or ORDERED_WINDOW),
    unordered = options.unordered,
    items = {},
    handles = {},
    first = 1,
    last = 0,
    failed = 0,
    bar = open_bar(options.progress),
  }, run_mt)
  local add <const> = options.unordered and run.add_unordered or run.add_ordered
  local number = 0
  local read <const>, obstacle = read_all(run, options.files, function(line)
    number = number + 1
    add(run, { handle = task(line), number = number })
  end)
  run:finish_all(options.unordered)
  if not read then return nil, obstacle end
  if run.failed > 0 then return nil, ("%d of %d lines failed"):format(run.failed, number) end
  return true
end

return map
