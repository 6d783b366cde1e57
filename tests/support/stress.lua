-- What the stress programs share. Each is started as `lua5.4 PROGRAM [workers] [scale] [seed]` and prints one line, the seed included.
local mp = require "makeparallel"

local stress = {
  workers = math.tointeger(arg[1]) or 2,
  scale = tonumber(arg[2]) or 1,
  seed = math.tointeger(arg[3]) or os.time(),
}

local HANG_SECONDS <const> = 60

math.randomseed(stress.seed)
mp.configure { workers = stress.workers }

function stress.scaled(n) return math.max(1, math.floor(n * stress.scale)) end

--- Ends the program with what to repeat it by, unless the condition holds.
function stress.check(condition, what, ...)
  if condition then return end
  error(("%s (workers %d, scale %g, seed %d)"):format(what:format(...), stress.workers, stress.scale, stress.seed), 2)
end

function stress.wait_until(condition, what)
  local deadline <const> = mp.now() + HANG_SECONDS
  while not condition() do
    stress.check(mp.now() < deadline, "never came true: %s", what)
    mp.sleep(0.001)
  end
end

--- Threads of this process.
function stress.threads()
  for line in io.lines "/proc/self/status" do
    local n <const> = line:match "^Threads:%s*(%d+)"
    if n then return tonumber(n) end
  end
end

function stress.done(what, ...)
  print(("%-12s workers %d, scale %g, seed %d: %s"):format(
    arg[0]:match "([^/]+)%.lua$", stress.workers, stress.scale, stress.seed, what:format(...)))
end

return stress
