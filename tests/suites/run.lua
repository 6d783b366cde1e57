-- run.lua - does a suite of tests do in tasks what it does in plain Lua?
--
--   eval "$(make -s env)"
--   lua5.4 tests/suites/run.lua lua FOLDER [FILE ...]       FOLDER: `testes` of the sources of the Lua that runs
--   lua5.4 tests/suites/run.lua penlight FOLDER [FILE ...]  FOLDER: Penlight's sources
--
-- Each file runs twice, in a process of its own: by itself, and in a task whose worker has a fresh state. It differs if one run fails and
-- the other does not, or if they print other lines, where numbers do not count. Exits with 1 if a file differs. NOT_PORTABLE=1 adds what
-- Lua's own tests leave out on other systems than Linux; some of it needs `make -C FOLDER/libs`.

local SECONDS = 300 -- for a file
local interpreter = arg[-1]

-- A suite has its files, which are run in FOLDER, and what runs one of them; that goes to a worker.
local suites = {}

suites.lua = {
  files = "*.lua",
  -- The first runs the others, the second interpreters, and the third takes all memory there is.
  without = { ["all.lua"] = true, ["main.lua"] = true, ["heavy.lua"] = true },
  run = function(file) -- as all.lua has it for users
    _G._soft, _G._nomsg = true, true
    _G._port = not os.getenv "NOT_PORTABLE"
    _G.arg = { [-1] = interpreter, [0] = file }
    _G.Message, _G.T, _G.debug = function() end, nil, nil
    assert(os.setlocale "C")
    return dofile(file)
  end,
}

suites.penlight = {
  files = "tests/*.lua spec/*.lua",
  without = {},
  run = function(file)
    package.path = "./lua/?.lua;./lua/?/init.lua;./tests/lua/?.lua;" .. package.path
    _G.arg = { [-1] = interpreter, [0] = file }
    -- What ends a program would end the process of all workers, too.
    local ended = {}
    os.exit = function(code) -- luacheck: ignore
      ended.code = code
      error(ended)
    end
    local is_spec = file:find "^spec/"
    if is_spec then _G.arg = { [-1] = interpreter, [0] = "busted", "--output=TAP", file } end
    local ok, err = pcall(is_spec and require "busted.runner" or dofile, is_spec and { standalone = false } or file)
    if not ok and err ~= ended then error(err, 0) end
    assert(ok or ended.code == nil or ended.code == true or ended.code == 0, "it ended with a code that tells of an error")
  end,
}

-- In a process of its own.
local function run_one(how, suite, file)
  local run = suites[suite].run
  local function run_and_print() print("returned", run(file)) end
  io.stdout:setvbuf "no" -- so that errors stand where they came
  if how == "plain" then return run_and_print() end
  local mp = require "makeparallel"
  local pool <close> = mp.pool { workers = 1, isolate = "state" }
  pool:spawn(run_and_print):get()
end

local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

-- Runs a shell's command; returns the lines that it printed, and whether it succeeded.
local function output_of(command)
  local pipe = assert(io.popen(": | (" .. command .. ") 2>&1"))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  return lines, (pipe:close())
end

-- A program's name without a slash is one that the shell finds.
local function absolute(path)
  return path:find "^/" and path or output_of("pwd")[1] .. "/" .. path
end

local function run_apart(how, suite, folder, file)
  local lines, ok = output_of(("cd %s && timeout %d %s %s --one %s %s %s"):format(quoted(folder), SECONDS,
    quoted(interpreter:find "/" and absolute(interpreter) or interpreter), quoted(absolute(arg[0])), how, suite, quoted(file)))
  local text = table.concat(lines, "\n"):gsub("0[xX][%x:]+", "#"):gsub("%d+%.?%d*", "#")
  return { ok = ok, text = text, tail = "    " .. table.concat(lines, "\n    ", math.max(1, #lines - 9)) }
end

-- "same", "fails" in both, or "differs"; says so.
local function compare(suite, folder, file)
  local plain, task = run_apart("plain", suite, folder, file), run_apart("task", suite, folder, file)
  if plain.ok == task.ok and (not plain.ok or plain.text == task.text) then
    print(("%-30s %s"):format(file, plain.ok and "the same" or "FAILS IN BOTH\n" .. plain.tail))
    return plain.ok and "same" or "fails"
  end
  print(("%-30s DIFFERS"):format(file))
  for how, run in pairs { plain = plain, task = task } do print(("  %s: %s\n%s"):format(how, run.ok and "ok" or "fails", run.tail)) end
  return "differs"
end

local function files_of(suite, folder)
  local files = {}
  for _, file in ipairs((output_of(("cd %s && ls %s"):format(quoted(folder), suites[suite].files)))) do
    if not suites[suite].without[file] then files[#files + 1] = file end
  end
  return files
end

if arg[1] == "--one" then
  run_one(table.unpack(arg, 2))
elseif suites[arg[1]] and arg[2] then
  local files = arg[3] and table.pack(table.unpack(arg, 3)) or files_of(arg[1], arg[2])
  local count = { same = 0, fails = 0, differs = 0 }
  for _, file in ipairs(files) do
    local how = compare(arg[1], arg[2], file)
    count[how] = count[how] + 1
  end
  print(("%d files: %d the same, %d fail in both, %d differ"):format(#files, count.same, count.fails, count.differs))
  os.exit(count.same > 0 and count.differs == 0)
else
  io.stderr:write("usage: run.lua lua|penlight FOLDER [FILE ...]\n")
  os.exit(2)
end
