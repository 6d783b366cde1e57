-- The command `makeparallel`: what it understands, and `run` and `version`, which are short. Exit codes: 0 all went well, 1 what was run
-- failed, 2 the command was not understood.
local command = {}

local FAILED <const>, MISUSED <const> = 1, 2
local JOBS_MAX <const> = 1024

local EXIT_CODES <const> = "Exit code: 0 all went well, 1 what was run failed, 2 not understood."
local SEE_HELP <const> = "Try 'makeparallel --help'."
local MAP_NOTES <const> = "Several results are separated by tabs; a call without a result prints no line. "
  .. "A line whose call fails is reported and the others go on."

local function complain(text)
  io.stderr:write("makeparallel: ", tostring(text), "\n")
end

local function to_jobs(text)
  local n <const> = math.tointeger(tonumber(text))
  if n and n >= 1 and n <= JOBS_MAX then return n end
  return nil, ("-j must be an integer from 1 to %d, got '%s'"):format(JOBS_MAX, text)
end

local function add_pool_options(parser)
  parser:option("-j --jobs", "Workers; default: the cores this process may use."):argname("N"):convert(to_jobs)
  parser:option("-t --trace", "Writes which worker ran which task, and when, for ui.perfetto.dev."):argname("FILE")
end

local function make_parser(argparse)
  local parser <const> = argparse("makeparallel", "Lua functions on all cores.", EXIT_CODES)
  parser:command_target "command"
  parser:flag("--version", "Prints the version, as the command does.")
  parser:command("doctor", "Says what this machine offers, and tests that tasks run.")

  local run <const> = parser:command("run", "Runs a Lua script with this number of workers.")
  add_pool_options(run)
  run:argument("script", "The script; what follows is for the script."):argname "SCRIPT [ARG...]"

  local map <const> = parser:command("map", "Calls a function for each line of the input and prints what it returns.", MAP_NOTES)
  add_pool_options(map)
  map:flag("-u --unordered", "Print results as they come, not in the order of the input.")
  map:flag("-p --progress", "Draw a bar, or a count where the size of the input is not known, if stderr is a terminal.")
  map:option("-e --expression", "In place of MODULE.FN: Lua whose value is printed, or a chunk, in which `line` is the line."):argname "LUA"
  map:argument("fn", "The function, found by require in each worker."):argname("MODULE.FN"):args "?"
  map:argument("files", "Whose lines are read, one after the other, in place of the input; '-' is the input."):argname("FILE"):args "*"

  parser:command("version", "Prints the version.")
  return parser
end

local TAKES_VALUE <const> = { ["-j"] = true, ["--jobs"] = true, ["-t"] = true, ["--trace"] = true }

-- Options behind the script's name are the script's: they are cut off before the parser sees them. Returns what is left and what was cut.
local function split_script(arguments)
  local i = 2
  while arguments[i] and arguments[i]:sub(1, 1) == "-" do
    if TAKES_VALUE[arguments[i]] then i = i + 1 end
    i = i + 1
  end
  return table.move(arguments, 1, math.min(i, #arguments), 1, {}), table.move(arguments, i + 1, #arguments, 1, {})
end

-- True, or nil and why not.
local function configure(mp, options)
  if not options.jobs and not options.trace then return true end
  local ok, why = pcall(function()
    mp.configure { workers = options.jobs, trace = options.trace }
    mp.get_thread_pool_info() -- starts it
  end)
  return ok or nil, why
end

-- The text of what a script has raised, with its traceback.
local function describe(err)
  local metatable <const> = debug.getmetatable(err)
  local told <const> = type(err) == "string" or type(err) == "number" or metatable and metatable.__tostring
  return debug.traceback(told and tostring(err) or ("(error object is a %s value)"):format(type(err)), 2)
end

local commands <const> = {}

function commands.version(mp)
  print(mp._VERSION, _VERSION)
  return true
end

function commands.doctor(mp)
  return require("makeparallel.command.doctor").examine(mp)
end

function commands.run(mp, options, rest)
  local chunk, why = loadfile(options.script)
  if not chunk then return nil, why end
  local configured, refusal = configure(mp, options)
  if not configured then return nil, refusal end
  rest[0] = options.script
  arg = rest -- luacheck: ignore 111 112 121 (where a script looks for its arguments)
  return xpcall(chunk, describe, table.unpack(rest))
end

function commands.map(mp, options)
  if options.expression then
    table.insert(options.files, 1, options.fn) -- nil: there is none
  elseif not options.fn then
    return nil, "missing argument 'fn'\n" .. SEE_HELP, true
  end
  local configured, refusal = configure(mp, options)
  if not configured then return nil, refusal end
  local run, ok, why, misused = pcall(require("makeparallel.command.map").lines, mp, options)
  if not run then return nil, ok end
  return ok, why, misused
end

--- Does what the arguments say; returns the exit code.
function command.main(mp, arguments)
  local found, argparse = pcall(require, "argparse")
  if not found then
    complain "needs the Lua module argparse (Debian: lua-argparse; luarocks: argparse)"
    return MISUSED
  end
  local rest = {}
  if arguments[1] == "run" then arguments, rest = split_script(arguments) end
  if arguments[1] == "--version" and not arguments[2] then arguments = { "version" } end
  local parser <const> = make_parser(argparse)
  local understood, options = parser:pparse(arguments)
  if not understood then
    complain(options .. "\n" .. SEE_HELP)
    return MISUSED
  end
  local ok, why, misused = commands[options.command](mp, options, rest)
  if not ok and why then complain(why) end
  local written, obstacle = io.stdout:flush()
  if not written then
    complain("cannot write: " .. obstacle)
    return FAILED
  end
  return ok and 0 or misused and MISUSED or FAILED
end

return command
