-- Promise 15: however a program ends, with whatever on its workers, it ends within a second or so, in every cancel mode, and never crashes.
_ENV = require("support").globals(_ENV)
local support <const> = require "support"

local SOON <const> = support.sanitized and 60 or 30 -- a second on an idle machine; what hangs takes longer than this

local STUCK <const> = { environment = "ASAN_OPTIONS=detect_leaks=0" } -- LeakSanitizer is not made for threads that still run

-- What is on a worker, as source of an expression that starts it.
local TASKS <const> = {
  { "a loop", "mp.spawn(function() while true do end end)" },
  { "a loop that catches", "mp.spawn(function() while true do pcall(function() while true do end end) end end)" },
  { "a loop in a task that a task waits for", "mp.spawn(function() return mp.spawn(function() while true do end end):get() end)" },
  { "a blocking call", "mp.spawn(os.execute, 'sleep 3')" },
  { "C code that does not end", "mp.spawn(string.rep, '', 1 << 62)" },
  { "a loop and much that waits", "mp.spawn(function() while true do end end) for i = 1, 1000 do mp.spawn(mp.sleep, 60) end" },
}

-- How the program ends, and its exit code.
local ENDS <const> = {
  { "the end of the script", "", 0 },
  { "os.exit(3)", "os.exit(3)", 3 },
  { "os.exit(3, true)", "os.exit(3, true)", 3 },
  { "an error", "error 'x'", 1 },
}

for _, mode in ipairs { "signal", "hook", "cooperative" } do
  describe("a program with cancel_mode = " .. mode, function()
    for _, task in ipairs(TASKS) do
      for _, ending in ipairs(ENDS) do
        it(("ends by %s with %s on a worker"):format(ending[1], task[1]), function()
          local child <const> = support.run_child(([[
            local mp = require "makeparallel"
            mp.configure { workers = 2, cancel_mode = "%s" }
            %s
            mp.sleep(0.01)
            %s
          ]]):format(mode, task[2], ending[2]), STUCK)
          assert.equal(ending[3], child.code)
          assert.is_true(child.seconds < SOON)
        end)
      end
    end
  end)
end

describe("a pool that is collected", function()
  local busy <const> = "while true do end"
  for mode, body in pairs { signal = busy, hook = busy, cooperative = "while true do require('makeparallel').sleep(0.001) end" } do
    it("with the handles of what it runs takes its tasks along, cancel_mode = " .. mode, function()
      local child <const> = support.run_child(([[
        local mp = require "makeparallel"
        local function threads() return io.open("/proc/self/status"):read("a"):match "Threads:%%s*(%%d+)" end
        mp.pool({ workers = 1 }):shutdown() -- with a first thread a sanitizer starts one of its own
        local before = threads()
        local p = mp.pool { workers = 2, cancel_mode = "%s" }
        local h = p:spawn(function() %s end)
        while h:status() ~= "running" do end
        p, h = nil, nil
        collectgarbage()
        io.write(threads() - before)
      ]]):format(mode, body), STUCK)
      assert.equal("0", child.stdout)
      assert.equal(0, child.code)
      assert.is_true(child.seconds < SOON)
    end)
  end
end)
