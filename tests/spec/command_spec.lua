_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local COMMAND <const> = "rockspec/makeparallel"
local PATHS <const> = ('LUA_PATH="tests/spec/fixtures/?.lua;%s"'):format(package.path) -- no single quotes: script(1) gets it in some

-- Runs the command. `options`: stdin (a string), shell (as run_child), environment, before (Lua source that runs before it).
local function run(arguments, options)
  options = options or {}
  local input <close> = support.temporary_file(options.stdin)
  local source <const> = support.read(COMMAND):gsub("^#[^\n]*", options.before or "")
  return support.run_child(source, {
    arguments = arguments,
    environment = options.environment or PATHS,
    shell = options.shell or ("%%s <%s >%%s 2>%%s"):format(input.path),
  })
end

local has_argparse <const> = pcall(require, "argparse")

describe("the command makeparallel", function()
  if not has_argparse then return pending "needs argparse" end

  it("shows help, and exits with 0, for itself and each command", function()
    for _, words in ipairs { "", "doctor", "run", "map", "version" } do
      local child <const> = run(words .. " --help")
      assert.equal(0, child.code)
      assert.matches("^Usage: makeparallel " .. words, child.stdout)
      assert.equal("", child.stderr)
    end
  end)

  it("exits with 2 for what it does not understand, and says why", function()
    local cases <const> = {
      [""] = "a command is required",
      ["nope"] = "unknown command 'nope'",
      ["version extra"] = "too many arguments",
      ["map"] = "missing argument 'fn'",
      ["run"] = "missing argument 'script'",
      ["run -j"] = "option '%-j' requires an argument",
      ["map --nope a.b"] = "unknown option '%-%-nope'",
    }
    for words, why in pairs(cases) do
      local child <const> = run(words)
      assert.equal(2, child.code, words)
      assert.matches("^makeparallel: " .. why, child.stderr)
      assert.matches("Try 'makeparallel %-%-help'", child.stderr)
      assert.equal("", child.stdout)
    end
  end)

  it("refuses a number of workers that makes no sense", function()
    for _, jobs in ipairs { "0", "-1", "1.5", "1025", "x", "nan" } do
      for _, words in ipairs { "map -j%s lines.shout", "run --jobs=%s nope.lua" } do
        local child <const> = run(words:format(jobs))
        assert.equal(2, child.code)
        assert.equal(("makeparallel: -j must be an integer from 1 to 1024, got '%s'"):format(jobs), child.stderr:match "[^\n]*")
      end
    end
  end)

  it("says what is missing without argparse, and exits with 2", function()
    local child <const> = run("version", { environment = "LUA_PATH='lua/?.lua;lua/?/init.lua'" })
    assert.equal(2, child.code)
    assert.matches("needs the Lua module argparse", child.stderr)
  end)

  it("prints the version", function()
    for _, words in ipairs { "version", "--version" } do
      local child <const> = run(words)
      assert.same({ 0, ("%s\t%s\n"):format(mp._VERSION, _VERSION) }, { child.code, child.stdout })
    end
  end)

  it("examines the machine, and tests that tasks run", function()
    local child <const> = run "doctor"
    assert.equal(0, child.code)
    local pool <close> = mp.pool {}
    assert.matches(("workers      %d\n"):format(pool:info().workers), child.stdout)
    local lines <const> = { "makeparallel %d", "Lua +Lua 5", "CPUs +allowed: ", "memory +%d+ MiB", "self%-test +1000 tasks.- ms\n$" }
    for _, line in ipairs(lines) do
      assert.matches(line, child.stdout)
    end
  end)

  it("says so, and exits with 1, when tasks do not run", function()
    local child <const> = run("doctor", { before = "require('makeparallel').gather = function() return { 0 } end" })
    assert.equal(1, child.code)
    assert.matches("self%-test +FAILED", child.stdout)
    assert.equal("makeparallel: a task gave a wrong result\n", child.stderr)
  end)
end)

describe("makeparallel run", function()
  if not has_argparse then return pending "needs argparse" end

  it("gives the script its arguments, options among them, and the workers asked for", function()
    local script <close> = support.temporary_file [[
      local mp = require "makeparallel"
      print(arg[0] ~= nil, table.concat(arg, " "), ..., mp.get_thread_pool_info().workers)
    ]]
    for _, words in ipairs { "-j 3", "-j3", "--jobs 3", "--jobs=3" } do
      local child <const> = run(("run %s %s -j 9 --help 'a b'"):format(words, script.path))
      assert.same({ 0, "true\t-j 9 --help a b\t-j\t3\n" }, { child.code, child.stdout })
    end
  end)

  it("writes a trace where it is told to", function()
    local script <close> = support.temporary_file [[require("makeparallel").spawn("math.abs", -1):get()]]
    local trace <close> = support.temporary_file()
    for _, words in ipairs { "-t %s", "-j 1 --trace %s", "--trace=%s" } do
      local child <const> = run(("run " .. words .. " %s"):format(trace.path, script.path))
      assert.same({ 0, "" }, { child.code, child.stderr })
      assert.matches('"name":"math.abs".*\n%]\n$', support.read(trace.path))
    end
  end)

  it("exits with 1 when the script fails, with its traceback", function()
    local script <close> = support.temporary_file "local function inner() error 'boom' end\ninner()"
    local child <const> = run("run " .. script.path)
    assert.equal(1, child.code)
    assert.matches("boom\nstack traceback:.*in local 'inner'", child.stderr)
  end)

  it("says of what kind an error is that has no text", function()
    local script <close> = support.temporary_file "error { code = 1 }"
    assert.matches("(error object is a table value)", run("run " .. script.path).stderr, 1, true)
  end)

  it("exits with 1 when there is no such script, or it cannot be compiled", function()
    local script <close> = support.temporary_file "x ="
    for path, why in pairs { ["/nonexistent.lua"] = "/nonexistent.lua", [script.path] = "unexpected symbol" } do
      local child <const> = run("run " .. path)
      assert.equal(1, child.code)
      assert.matches("^makeparallel: .*" .. why, child.stderr)
    end
  end)
end)

describe("makeparallel map", function()
  if not has_argparse then return pending "needs argparse" end

  local function numbers(n)
    local lines <const> = {}
    for i = 1, n do
      lines[i] = i
    end
    return table.concat(lines, "\n") .. "\n"
  end

  it("prints what the function returns for each line, in order", function()
    local child <const> = run("map lines.shout", { stdin = "b\na\n\nlast, with no newline" })
    assert.same({ 0, "B\nA\n\nLAST, WITH NO NEWLINE\n", "" }, { child.code, child.stdout, child.stderr })
    local input <const> = numbers(support.scaled(5000))
    assert.equal(input, run("map lines.number", { stdin = input }).stdout)
  end)

  it("keeps the order also when the first line takes longest", function()
    local input <const> = "0.2\n0\n0.01\n"
    assert.equal(input, run("map -j 2 lines.sleep", { stdin = input }).stdout)
  end)

  it("prints results as they come with --unordered", function()
    for _, flag in ipairs { "-u", "--unordered" } do
      local child <const> = run(("map -j 2 %s lines.sleep"):format(flag), { stdin = "0.5\n0\n0\n" })
      assert.equal("0\n0\n0.5\n", child.stdout)
    end
    local n <const> = support.scaled(5000)
    local sum = 0
    for line in run("map -u lines.number", { stdin = numbers(n) }).stdout:gmatch "%d+" do
      sum = sum + math.tointeger(line)
    end
    assert.equal(n * (n + 1) // 2, sum)
  end)

  it("separates several results by tabs, and prints no line for none", function()
    assert.equal("ab\tnil\t2\n", run("map lines.two", { stdin = "ab\n" }).stdout)
    assert.equal("a\nb\n", run("map lines.filled", { stdin = "\na\n\nb\n" }).stdout)
  end)

  it("uses the workers asked for", function()
    assert.equal("3\n", run("map -j 3 lines.workers", { stdin = "x\n" }).stdout)
  end)

  it("reports lines that fail, goes on, and exits with 1", function()
    for _, flag in ipairs { "", "-u" } do
      local child <const> = run(("map %s lines.number"):format(flag), { stdin = "1\nx\n3\n" })
      assert.equal(1, child.code)
      assert.is_true(child.stdout == "1\n3\n" or flag == "-u" and child.stdout == "3\n1\n", child.stdout)
      assert.matches("line 2: .*no number", child.stderr)
      assert.matches("makeparallel: 1 of 3 lines failed\n$", child.stderr)
    end
  end)

  it("exits with 2 for a function that is not there, before it reads a line", function()
    local cases <const> = {
      ["lines.nope"] = "module 'lines' has no function 'nope'",
      ["lines.text"] = "module 'lines' has no function 'text'",
      ["nope.fn"] = "module 'nope' not found",
      ["nope"] = "'nope' is not of the form module.fn",
    }
    for name, why in pairs(cases) do
      local child <const> = run("map " .. name, { stdin = "1\n" })
      assert.equal(2, child.code)
      assert.equal("makeparallel: " .. why, child.stderr:match("^[^\n:]*: [^\n:]*"))
    end
  end)

  it("calls an expression, or a chunk, in place of a function", function()
    local cases <const> = {
      ["line:upper()"] = "A B\nC\n",
      ["line, #line"] = "a b\t3\nc\t1\n",
      ["if #line > 1 then return line:match '%a+' end"] = "a\n",
      ["require 'lines'.shout(...)"] = "A B\nC\n",
    }
    for text, printed in pairs(cases) do
      local child <const> = run(('map -e "%s"'):format(text), { stdin = "a b\nc\n" })
      assert.same({ 0, printed, "" }, { child.code, child.stdout, child.stderr })
    end
    local child <const> = run("map --expression='line +'", { stdin = "1\n" })
    assert.equal(2, child.code)
    assert.matches("^makeparallel: %(%-e%):1: ", child.stderr)
    local failed <const> = run("map -e 'line + {}'", { stdin = "1\n" })
    assert.equal(1, failed.code)
    assert.matches("line 1: %(%-e%):1: attempt to ", failed.stderr)
  end)

  it("reads the files that it is given, and the input among them", function()
    local one <close> = support.temporary_file "1\n2\n"
    local two <close> = support.temporary_file "3"
    for _, words in ipairs { "-e line", "lines.number" } do
      local child <const> = run(("map %s %s - %s"):format(words, one.path, two.path), { stdin = "10\n" })
      assert.same({ 0, "1\n2\n10\n3\n", "" }, { child.code, child.stdout, child.stderr })
    end
    local child <const> = run(("map -e line %s /nonexistent/file"):format(one.path))
    assert.same({ 1, "1\n2\n" }, { child.code, child.stdout })
    assert.matches("^makeparallel: /nonexistent/file: No such file", child.stderr)
    local folder <const> = run(("map -e line %s /tmp"):format(one.path))
    assert.same({ 1, "1\n2\n", "makeparallel: /tmp: Is a directory\n" }, { folder.code, folder.stdout, folder.stderr })
  end)

  it("prints a result at once, though the input is slow", function()
    local printed <close> = support.temporary_file()
    for _, flag in ipairs { "", "-u" } do
      local child <const> = run(("map %s lines.shout"):format(flag), {
        shell = ("{ echo a; sleep 1; cat %s >%s.seen; echo b; printf c; } | %%s 4>%%s >%s 2>%%s"):format(
          printed.path, printed.path, printed.path),
      })
      assert.equal("", child.stderr)
      assert.equal("A\n", support.read(printed.path .. ".seen"))
      assert.is_true(support.read(printed.path):match "^A\n" ~= nil and #support.read(printed.path) == 6)
    end
    os.remove(printed.path .. ".seen")
  end)

  it("does nothing for no input", function()
    local child <const> = run "map lines.shout"
    assert.same({ 0, "", "" }, { child.code, child.stdout, child.stderr })
  end)

  it("exits with 1 when its output cannot be written, or its trace", function()
    local full <const> = run("map lines.shout", { stdin = "a\n", shell = "echo a | %s 4>%s >/dev/full 2>%s" })
    assert.same({ 1, "makeparallel: cannot write: No space left on device\n" }, { full.code, full.stderr })
    local trace <const> = run("map -t /no/where lines.shout", { stdin = "a\n" })
    assert.equal(1, trace.code)
    assert.matches("^makeparallel: .*cannot write to /no/where", trace.stderr)
  end)

  it("keeps memory flat over an input of any length", function()
    local peak <const> = {}
    for i, n in ipairs { 2000, support.scaled(60000) } do
      local child <const> = run("map lines.shout", {
        shell = ("seq -f '%%%%0100.0f' %d | { command time -f %%%%M %%s; } >%%s 2>%%s"):format(n),
      })
      peak[i] = math.tointeger(child.stderr:match "%d+")
    end
    if support.sanitized then return end
    assert.is_true(peak[2] < peak[1] + 4096, ("%d and %d KiB"):format(peak[1], peak[2]))
  end)

  it("draws a bar only on a terminal", function()
    assert.equal("", run("map --progress lines.shout", { stdin = "a\n" }).stderr)
    if not os.execute "command -v script >/dev/null 2>&1" then return end
    local input <close> = support.temporary_file(numbers(100))
    for _, flag in ipairs { "-p", "--progress" } do
      local child <const> = run("map " .. flag .. " lines.number", {
        shell = ("script -qec '%%s <%s >/dev/null' /dev/null >%%s 2>%%s </dev/null"):format(input.path),
      })
      assert.matches("lines 100 ", child.stdout, 1, true)
    end
  end)
end)
