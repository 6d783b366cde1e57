_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

describe("a worker", function()
  it("does not change the locale, but tells it", function()
    assert.same({ nil, nil }, { mp.spawn(function() return os.setlocale "pt_BR", os.setlocale("no such", "numeric") end):get() })
    assert.equal(os.setlocale(), mp.spawn(os.setlocale, (os.setlocale())):get())
    assert.equal(os.setlocale(), mp.spawn(function() return os.setlocale() end):get())
    assert.equal(os.setlocale(nil, "numeric"), mp.spawn(os.setlocale, nil, "numeric"):get())
  end)

  it("starts processes side by side, and none that reads holds up main's", function()
    local pool <close> = mp.pool { workers = 4 }
    local path <const> = os.tmpname()
    local waiting <const> = {}
    for i = 1, 4 do
      waiting[i] = pool:spawn(function()
        local pipe <close> = io.popen(("while [ -e %s ]; do sleep 0.01; done; echo over"):format(path))
        mp.report_progress(1)
        return pipe:read "l"
      end)
    end
    for i = 1, 4 do support.wait_until(function() return waiting[i]:progress() == 1 end) end
    local pipe <close> = io.popen "echo main"
    assert.equal("main", pipe:read "l")
    os.remove(path)
    for i = 1, 4 do assert.equal("over", waiting[i]:get()) end
  end)

  it("flushes what it has written before io.popen starts a process", function()
    local file <close> = support.temporary_file()
    assert.equal("some text", mp.spawn(function(path)
      local out <close> = io.open(path, "w")
      out:write "some text"
      local closed <const> = io.open(path, "a")
      closed:close()
      local pipe <close> = io.popen("cat " .. path)
      return pipe:read "a"
    end, file.path):get())
  end)

  it("has io.open, io.popen and os.execute that answer as Lua's own", function()
    local function answers(path)
      local out <const> = {}
      local function add(...) out[#out + 1] = table.pack(...) end
      add(os.execute())
      add(os.execute "exit 3")
      add(os.execute "kill -9 $$")
      add(os.execute "no-such-command 2>/dev/null")
      add(pcall(os.execute, {}))
      add(pcall(io.popen))
      add(pcall(io.popen, "true", "rw"))
      add(io.popen("exit 5"):close())
      add(io.popen("cat >" .. path, "w"):write("a", 1):close())
      add(io.open(path):read "a")
      add(io.open "/no/where")
      add(pcall(io.open))
      add(pcall(io.open, path, "x"))
      add(pcall(io.open, path, {}))
      add(io.type(io.popen "true"), tostring(io.popen "true"):match "^file")
      return out
    end
    local file <close> = support.temporary_file()
    local here <const>, there <const> = answers(file.path), mp.spawn(answers, file.path):get()
    for i = 1, #here do assert.same(here[i], there[i]) end
  end)

  if not support.sanitized then -- their interpreter has no handler for SIGINT
    it("that waits in os.execute leaves Ctrl-C to the program", function()
      local child <const> = support.run_child [[
        local mp = require "makeparallel"
        local h = mp.spawn(os.execute, "sleep 0.5; echo the child goes on")
        mp.spawn(os.execute, "sleep 0.1; kill -INT $PPID")
        io.write(tostring(pcall(h.get, h)))
      ]]
      assert.matches("false", child.stdout, 1, true)
    end)
  end

  it("starts processes that a signal ends", function()
    assert.same({ nil, "signal", 15 }, { mp.spawn(os.execute, "kill -TERM $$"):get() })
    assert.equal("", mp.spawn(function()
      local pipe <close> = io.popen "kill -TERM $$; echo it goes on"
      return pipe:read "a"
    end):get())
    assert.matches("invalid mode", support.failure(mp.spawn(io.popen, "true", "x")).message, 1, true)
  end)

  it("has Lua's libraries", function()
    local names <const> = { "string", "table", "math", "io", "os", "coroutine", "utf8", "debug", "package" }
    assert.same(names, mp.spawn(function(list)
      local there <const> = {}
      for _, name in ipairs(list) do
        if type(_G[name]) == "table" and require(name) == _G[name] then there[#there + 1] = name end
      end
      return there
    end, names):get())
  end)

  it("has package.path and package.cpath as they are at the call", function()
    local path, cpath = package.path, package.cpath
    local pool <close> = mp.pool { workers = 1 }
    local function paths() return package.path, package.cpath end
    assert.same({ path, cpath }, { pool:spawn(paths):get() })
    package.path, package.cpath = path .. ";/no/where/?.lua", cpath .. ";/no/where/?.so"
    assert.same({ package.path, package.cpath }, { pool:spawn(paths):get() })
    package.path, package.cpath = path, cpath
    assert.same({ path, cpath }, { pool:spawn(paths):get() })
  end)

  it("finds modules that the program found", function()
    assert.equal("late", mp.spawn(function() return require("fixtures.late").name end):get())
    assert.matches("module 'no.such.module' not found", support.failure(mp.spawn(require, "no.such.module")).message, 1, true)
  end)

  it("has a makeparallel of its own that is the worker's", function()
    assert.is_true(mp.spawn(function()
      local inner <const> = require "makeparallel"
      return inner == mp and inner.current() ~= nil and require "makeparallel.core" ~= nil
    end):get())
  end)

  it("has a coroutine.close and a coroutine.wrap that answer as Lua's own", function()
    local function answers()
      local function closing(f) return setmetatable({}, { __close = f }) end
      local function dying(f)
        return coroutine.wrap(function()
          local _ <close> = closing(f)
          error { "first" }
        end)
      end
      local running, normal = coroutine.create(function() return pcall(coroutine.close, coroutine.running()) end), nil
      normal = coroutine.create(function()
        return coroutine.wrap(function() return pcall(function() return coroutine.close(normal), 1 end) end)()
      end)
      local _, first = pcall(dying(function() end))
      local _, second = pcall(dying(function() error { "second" } end))
      local closed = false
      local itself = coroutine.create(function()
        local _ <close> = closing(function() closed = true end)
        coroutine.close()
      end)
      return { first[1], second[1], pcall(coroutine.close) }, { coroutine.resume(running) }, { coroutine.resume(normal) },
        { (coroutine.resume(itself)) }, { closed }
    end
    assert.same({ answers() }, { mp.spawn(answers):get() })
  end)

  it("does not need a path to find makeparallel.core", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      package.path, package.cpath = "", ""
      print(mp.spawn(mp.source "return require('makeparallel.core').version"):get() == require "makeparallel.core".version)
    ]]
    assert.equal("true\n", child.stdout, child.stderr)
  end)

  it("takes C functions of package.preload along", function()
    package.preload["spec.preloaded"] = string.len -- a C function without upvalues, as a program that embeds Lua registers them
    local pool <close> = mp.pool { workers = 1 }
    assert.equal(#"spec.preloaded", pool:spawn(require, "spec.preloaded"):get())
    package.preload["spec.preloaded"] = nil
    assert.is_false((pool:spawn(require, "spec.preloaded"):pget()))
  end)

  it("prints whole lines, several workers at once into a pipe", function()
    local lines <const> = support.scaled(500)
    local child <const> = support.run_child(([[
      local mp = require "makeparallel"
      mp.configure { workers = 4 }
      local task = mp.parallel(function(worker, lines)
        for i = 1, lines do print(worker, i, ("x"):rep(50), nil, i / 2) end
      end)
      local handles = {}
      for worker = 1, 4 do handles[worker] = task(worker, %d) end
      mp.gather(handles)
    ]]):format(lines), { shell = "{ %s | cat; } >%s 2>%s" })
    local seen, n = { 0, 0, 0, 0 }, 0
    for line in child.stdout:gmatch "([^\n]*)\n" do
      local worker, i = line:match("^([1-4])\t(%d+)\t" .. ("x"):rep(50) .. "\tnil\t[%d.]+$")
      if not worker then error("a mangled line: " .. line) end
      worker = tonumber(worker)
      assert.equal(seen[worker] + 1, tonumber(i))
      seen[worker] = seen[worker] + 1
      n = n + 1
    end
    assert.equal(4 * lines, n, child.stderr)
  end)

  it("prints what print prints", function()
    local source <const> = [[
      local function show()
        print()
        print(nil, true, 1, 1.5, "a\0b", setmetatable({}, { __tostring = function() return "me" end }))
        print(select(2, pcall(print, setmetatable({}, { __tostring = function() return 1 end }))))
        print(("long"):rep(5000))
      end
      %s
    ]]
    local plain <const> = support.run_child(source:format "show()")
    local worker <const> = support.run_child(source:format 'require("makeparallel").spawn(show):get()')
    assert.equal(plain.stdout, worker.stdout)
    assert.equal("", worker.stderr)
  end)

  it("loads modules while others load theirs", function()
    local pool <close> = mp.pool { workers = 4 }
    local handles <const> = {}
    for i = 1, 8 do
      handles[i] = pool:spawn(function() return require("fixtures.slow").loaded and require("fixtures.counter").value == 0 end)
    end
    for _, h in ipairs(handles) do assert.is_true(h:get()) end
  end)

  it("keeps what it loaded for later tasks", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.is_nil(pool:spawn(function() return package.loaded["fixtures.counter"] end):get())
    pool:spawn("fixtures.counter.increment"):get()
    assert.equal(1, pool:spawn(function() return package.loaded["fixtures.counter"].value end):get())
  end)

  it("gives memory of large values back", function()
    local pool <close> = mp.pool { workers = 1 }
    local function big(n) return ("x"):rep(n) end
    local function size(n) return #pool:spawn(big, n):get() end -- no register of this function keeps a handle
    for _ = 1, 20 do assert.equal(10 << 20, size(10 << 20)) end
    support.wait_until(function() -- the worker may be the last to let go
      collectgarbage()
      return pool:info().bytes < 4 << 20
    end)
  end)

  it("has a stack as large as asked for", function()
    local pool <close> = mp.pool { workers = 1, stack_size = 16 << 20 }
    assert.equal(150, pool:spawn(function()
      local function nest(n) return n == 0 and 0 or 1 + select(2, pcall(nest, n - 1)) end
      return nest(150)
    end):get())
  end)
end)

describe("a callback that a task has registered", function()
  local function append(path)
    local file <const> = io.open(path, "a")
    file:write "called\n"
    file:close()
  end

  for _, workers in ipairs { 1, 2 } do
    it(("is called after the task has returned, on %d idle workers"):format(workers), function()
      local file <close> = support.temporary_file()
      local pool <close> = mp.pool { workers = workers }
      pool:spawn(function(call, path)
        mp.spawn(mp.sleep, 0.05):on_complete(function() call(path) end)
      end, append, file.path):get()
      support.wait_until(function() return file:read() == "called\n" end)
    end)
  end

  it("does not keep the worker when it loops, and touches no other task", function()
    local pool <close> = mp.pool { workers = 1, log = "off" }
    pool:spawn(function()
      mp.spawn(function() end):on_complete(function() while true do pcall(math.abs, 1) end end)
    end):get()
    for i = 1, 3 do assert.same({ true, i }, { pool:spawn(math.abs, i):pget(support.HANG_SECONDS) }) end
  end)
end)
