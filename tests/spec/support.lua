-- What the specs share: the environment tasks need, comparison of values, child processes, and waiting.
local mp = require "makeparallel"

local support = {}

if not mp.get_current_task_id() then mp.configure { log = "off" } end -- of failures that tests do not look at

local LUA <const> = os.getenv "TEST_LUA" or "lua5.4"
local HANG_SECONDS <const> = 60 -- no wait of a test takes that long unless something hangs, sanitizers included

--- How much larger than by default tests with a size should be.
support.scale = tonumber(os.getenv "MP_SCALE") or 1
--- What random tests start from; their names show it, so that a failure can be repeated with MP_SEED.
support.seed = math.tointeger(os.getenv "MP_SEED") or os.time()
support.HANG_SECONDS = HANG_SECONDS

function support.scaled(n)
  return math.max(1, math.floor(n * support.scale))
end

-- Busted gives a spec an environment of its own, which a function written there would take along to a worker.
local EXPORTED <const> = { "describe", "it", "before_each", "after_each", "setup", "teardown", "pending" }

--- `_ENV = require("support").globals(_ENV)` makes busted's words global and the spec's environment the plain one.
function support.globals(env)
  for _, name in ipairs(EXPORTED) do
    local word <const> = env[name]
    rawset(_G, name, function(first, body)
      if type(first) == "function" then return word(function() return first() end) end
      if body == nil then return word(first) end
      return word(first, function() return body() end)
    end)
  end
  rawset(_G, "assert", require "luassert")
  return _G
end

--
-- Values
--

local function same_number(a, b)
  if math.type(a) ~= math.type(b) then return false end
  if a ~= a then return b ~= b end
  return a == b and (a ~= 0 or math.type(a) == "integer" or 1 / a == 1 / b)
end

local function same_table(a, b, twins, path)
  if twins.of[a] or twins.to[b] then
    if twins.of[a] == b then return true end
    return false, path .. ": shared differently"
  end
  twins.of[a], twins.to[b] = b, a
  if getmetatable(a) ~= getmetatable(b) then return false, path .. ": another metatable" end
  local others <const> = {} -- values below keys that are tables, found by what they equal
  for key, value in next, a do
    if type(key) == "table" then
      others[#others + 1] = { key = key, value = value }
    else
      local ok, where = support.equal(value, rawget(b, key), twins, ("%s[%s]"):format(path, key))
      if not ok then return false, where end
    end
  end
  local count <const> = { a = 0, b = 0 }
  for _ in next, a do count.a = count.a + 1 end
  for key in next, b do
    count.b = count.b + 1
    if type(key) == "table" then
      local found
      for i, other in ipairs(others) do
        if twins.of[other.key] == key or (other.key.id == key.id and support.equal(other.key, key, twins, path .. "[key]")) then
          found = i
          break
        end
      end
      if not found then return false, path .. ": no such key" end
      local ok, where = support.equal(others[found].value, b[key], twins, path .. "[table]")
      if not ok then return false, where end
      table.remove(others, found)
    end
  end
  return count.a == count.b, path .. ": more or fewer keys"
end

--- Are the values equal in every way a worker could tell: kinds of number, sharing, cycles, metatables? And where not.
-- Tables used as keys are told apart by their field `id`.
function support.equal(a, b, twins, path)
  path = path or "value"
  local kind <const> = type(a)
  if kind ~= type(b) then return false, ("%s: %s became %s"):format(path, kind, type(b)) end
  if kind == "number" then return same_number(a, b), ("%s: %s became %s"):format(path, a, b) end
  if kind == "table" then return same_table(a, b, twins or { of = {}, to = {} }, path) end
  return a == b, ("%s: %s became %s"):format(path, tostring(a), tostring(b))
end

--- Sends the values to a worker and back.
function support.round_trip(...)
  return mp.spawn(function(...) return ... end, ...):get()
end

function support.assert_survives(value)
  local back <const> = support.round_trip { value } -- inside a table: a handle stays a handle
  local ok, where = support.equal({ value }, back)
  if not ok then error(where, 2) end
  return back[1]
end

local function random_leaf(random)
  local leaves <const> = {
    function() return random(0) end,
    function() return random(-128, 127) end,
    function() return random(1 << 40) + 0.0 end,
    function() return random() * 10.0 ^ random(-300, 300) end,
    function() return random() < 0.5 end,
    function() return ("\0x\xff"):rep(random(0, 5)) end,
    function() return ("long"):rep(random(60, 80)) end,
    function() return ({ 0.0, -0.0, 1 / 0, -1 / 0, 0 / 0, math.maxinteger, math.mininteger, "" })[random(8)] end,
  }
  return leaves[random(#leaves)]()
end

local function random_key(random, tables)
  local pick <const> = random(6)
  if pick == 1 then return random(40) end
  if pick == 2 then return random(-5, 5) end
  if pick == 3 then return random() end
  if pick == 4 then return random() < 0.5 end
  if pick == 5 then return tables[random(#tables)] end
  return ("k%d"):format(random(30))
end

--- A graph of up to `size` tables with sharing and cycles, and leaves of every kind.
function support.random_graph(random, size)
  local tables <const> = {}
  for id = 1, random(size) do
    tables[id] = { id = id }
  end
  for _, t in ipairs(tables) do
    for i = 1, random(0, 6) do
      t[i] = random(3) == 1 and tables[random(#tables)] or random_leaf(random)
    end
    for _ = 1, random(0, 5) do
      local value
      if random(3) == 1 then value = tables[random(#tables)] else value = random_leaf(random) end
      t[random_key(random, tables)] = value
    end
  end
  return tables[1]
end

--
-- Errors
--

--- The error object of a task that must not succeed.
function support.failure(handle)
  local ok, err = handle:pget(HANG_SECONDS)
  if ok then error("the task succeeded", 2) end
  return err
end

--- The text that the call raises, without the place before it; and where it says it was raised.
function support.refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("it did not raise", 2) end
  local text <const> = tostring(err)
  local place, message = text:match "^(%S-:%d+): (.*)$"
  return message or text, place
end

--- "file:line" of the call of this function: what an argument error at the same line starts with.
function support.here(offset)
  local info <const> = debug.getinfo(2, "Sl")
  return ("%s:%d"):format(info.short_src, info.currentline + (offset or 0))
end

--
-- Waiting
--

--- Polls until the condition holds; raises if that never happens.
function support.wait_until(condition)
  local deadline <const> = mp.now() + HANG_SECONDS
  while not condition() do
    if mp.now() > deadline then error("the condition never came true", 2) end
    mp.sleep(0.001)
  end
end

--- A task that runs until it is cancelled (or for a minute); it has started when this returns.
function support.sleeper(pool)
  local handle <const> = (pool or mp).parallel ~= mp.parallel and pool:spawn(mp.sleep, HANG_SECONDS) or mp.spawn(mp.sleep, HANG_SECONDS)
  support.wait_until(function() return handle:status() == "running" end)
  return handle
end

--- Counts calls and keeps their arguments.
function support.recorder()
  local calls <const> = { n = 0 }
  return calls, function(...)
    calls.n = calls.n + 1
    calls[calls.n] = table.pack(...)
  end
end

--
-- Processes
--

--- Threads of this process.
function support.threads()
  for line in io.lines "/proc/self/status" do
    local n <const> = line:match "^Threads:%s*(%d+)"
    if n then return math.tointeger(n) end
  end
end

--- Sanitizers hold back freed memory and threads of their own.
support.sanitized = (os.getenv "TEST_SAN" or "") ~= ""

function support.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

--- Raises unless the file can be removed when the variable that holds the result goes out of scope.
function support.temporary_file(content)
  local path <const> = os.tmpname()
  local file <close> = assert(io.open(path, "wb"))
  file:write(content or "")
  return setmetatable({ path = path, read = function(self) return support.read(self.path) end }, {
    __close = function(self) os.remove(self.path) end,
  })
end

--- A folder with these files, {[name] = content}, which is removed when the variable that holds the result goes out of scope.
function support.temporary_folder(files)
  local path <const> = os.tmpname()
  os.remove(path)
  for name, content in pairs(files) do
    local folder <const> = ("/" .. name):match "^(.*)/"
    assert(os.execute(("mkdir -p %s%s"):format(path, folder)))
    local file <close> = assert(io.open(path .. "/" .. name, "wb"))
    file:write(content)
  end
  return setmetatable({ path = path }, { __close = function() os.execute("rm -r " .. path) end })
end

--- Runs Lua source in another process. options: `environment` ("A=1 B=2"), `flags` for the interpreter, `arguments` for the source, `shell`
-- (a pattern with %s for the command, the file for stdout and the one for stderr).
-- Returns {code, stdout, stderr, seconds}; code 124 means it hung.
function support.run_child(source, options)
  options = options or {}
  local script <close> = support.temporary_file(source)
  local out <close> = support.temporary_file()
  local err <close> = support.temporary_file()
  local command <const> = ("env -u MAKEPARALLEL_LOG %s timeout -k 5 %d %s %s %s %s")
    :format(options.environment or "", HANG_SECONDS, LUA, options.flags or "", script.path, options.arguments or "")
  local started <const> = mp.now()
  local _, _, code = os.execute((options.shell or "%s >%s 2>%s"):format(command, out.path, err.path))
  return { code = code, stdout = out:read(), stderr = err:read(), seconds = mp.now() - started }
end

return support
