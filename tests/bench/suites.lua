-- The suites: their cases, their subjects, and the shell command that runs one case of one subject once.
local stats = require "stats"

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

local function succeeds(command)
  return (os.execute(command .. " >/dev/null 2>&1"))
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- A suite whose subjects are programs that bench.mk builds, where it finds what they need: `program CASE SCALE`.
local function programs(suite, folder)
  function suite.find(subject)
    local program = folder .. (suite.files and suite.files[subject] or subject)
    return exists(program:match "^%S+") and succeeds(program) and program or nil
  end
  function suite.command(program, case, scale)
    return ("%s %s %g"):format(program, case, scale)
  end
  return suite
end

-- `root` is the checkout whose Lua files are measured, `build` what was built of it; the cases are ours, whatever the checkout has.
local function lua(build, root, here, interpreter)
  local function path(name, ours)
    return name .. "=" .. quoted(ours .. ";" .. (os.getenv(name) or "")) .. "';;'"
  end
  local env <const> = path("LUA_PATH", ("%s/lua/?.lua;%s/lua/?/init.lua;%s/lua/?.lua"):format(root, root, here)) .. " "
    .. path("LUA_CPATH", ("%s/lua/?.so;%s/bench/lua/?.so"):format(build, build)) .. " UV_THREADPOOL_SIZE=2 "
  local suite = {
    name = "lua",
    ours = "makeparallel",
    subjects = { "makeparallel", "luv", "lanes", "effil", "ltask", "llthreads2", "serial" },
    cases = require "cases",
  }
  -- effil does not know Lua 5.4: a peer may have an interpreter of its own.
  function suite.find(subject)
    for _, each in ipairs { interpreter, "lua5.3" } do
      local probe = ("%s%s -e 'require \"subjects.%s\"'"):format(env, each, subject)
      if succeeds(probe) then return ("%s %s/lua/run_case.lua %s"):format(each, here, subject) end
    end
  end
  function suite.command(program, case, scale)
    return ("%s%s%s %s %g"):format(env, case == "trip_pinned" and "taskset -c 0 " or "", program, case, scale)
  end
  return suite
end

local suites = {}

--- Subjects that are no peers: they say what the work or the machine takes by itself.
suites.yardsticks = { serial = true, bare = true }

--- All of them, for the checkout at `root`, built in `build`; `here` is the folder of this file. What runs Lua: by default what runs this.
function suites.of(build, root, here, interpreter)
  local bench <const> = build .. "/bench/"
  return {
    programs({
      name = "engine",
      ours = "ours",
      subjects = { "ours", "tbb", "libuv", "libgomp", "libomp", "go", "bare" },
      cases = require "engine.cases",
    }, bench),
    programs({ name = "growth", ours = "growth", subjects = { "growth" }, cases = require "engine.growth_cases" }, bench),
    programs({
      name = "transfer",
      ours = "ours",
      subjects = { "ours", "msgpack-c", "cjson", "MessagePack" },
      files = { cjson = "modules cjson", MessagePack = "modules MessagePack" },
      cases = require "transfer.cases",
    }, bench .. "transfer/"),
    lua(build, root, here, interpreter or arg[-1]),
  }
end

--- One repetition: {name, value, unit} of each line printed; nil if the subject has no such case.
function suites.run_once(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read "a"
  local ok, _, code = pipe:close()
  if code == 3 then return nil end
  if not ok then error(("%s failed:\n%s"):format(command, text), 0) end
  local lines = {}
  for name, value, unit in text:gmatch "(%S+) (%S+) (%S+)\n" do
    lines[#lines + 1] = { name = name, value = tonumber(value), unit = unit }
  end
  return lines
end

-- In these units more is better.
local MORE <const> = { x = true, ["%"] = true }

--- Of two values, how the first compares: below 1 it is better, whatever the unit.
function suites.ratio(mine, other, unit)
  if mine == 0 or other == 0 then return nil end
  if MORE[unit] then return other / mine end
  return mine / other
end

--- The best median among the peers in { subject = {values} }, and whose it is.
function suites.best(values, ours, unit)
  local best, whose
  for subject, list in pairs(values) do
    local value = stats.median(list)
    if subject ~= ours and not suites.yardsticks[subject] and (not best or (suites.ratio(value, best, unit) or 1) < 1) then
      best, whose = value, subject
    end
  end
  return best, whose
end

return suites
