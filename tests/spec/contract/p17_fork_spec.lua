-- Promise 17: after fork the child sees every pool as unusable, with a clear error, and never hangs; the parent goes on.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local process <const> = require "process"

local MESSAGE <const> = "pool is not usable after fork"

-- What a child may try; each call must raise MESSAGE, or return, at once.
local function must_refuse(pool, h)
  return {
    function() pool:spawn(math.abs, 1) end,
    function() pool:parallel(math.abs)(1) end,
    function() pool:map(math.abs, { 1, 2 }) end,
    function() mp.spawn(math.abs, 1) end,
    function() h:get() end,
    function() h:wait() end,
    function() mp.gather { h } end,
    function() pool:shutdown() end,
  }
end

local function may_return(pool, h, done)
  return {
    function() h:cancel() end,
    function() h:on_complete(print) end,
    function() return h:status(), tostring(h), tostring(pool), pool:info() end,
    function() return done:status(), done:get() end,
    function() mp.poll() end,
    function() collectgarbage() collectgarbage() end,
  }
end

-- In the child: 0, or the number of what went wrong.
local function try_everything(pool, h, done)
  for i, try in ipairs(must_refuse(pool, h)) do
    local ok, err = pcall(try)
    if ok or not tostring(err):find(MESSAGE, 1, true) then return i end
  end
  for _, try in ipairs(may_return(pool, h, done)) do pcall(try) end
  return 0
end

local function fork_once(pool, h, done)
  local child <const> = process.fork()
  if child == 0 then
    local ok, code = pcall(try_everything, pool, h, done)
    process.exit(ok and code or 99)
  end
  return process.wait(child)
end

describe("fork", function()
  it("leaves the child a clear error from whatever it calls, also under load, and the parent its pool", function()
    local pool <close> = mp.pool { workers = 2 }
    local done <const> = pool:spawn(math.abs, -1)
    done:get()
    mp.spawn(math.abs, -1):get() -- the default pool is there before the fork
    local stop <const> = support.sleeper(pool)
    local function busy(n)
      if n > 0 then return mp.spawn(busy, n - 1):get() end
    end
    for i = 1, support.scaled(40) do
      for _ = 1, 5 do pool:spawn(busy, 5) end
      assert.equal(0, fork_once(pool, stop, done), ("fork %d"):format(i))
    end
    stop:cancel()
    assert.equal(7, pool:spawn(math.abs, -7):get())
    assert.equal(1, done:get())
  end)

  it("by a program that then closes its state and exits in both processes ends", function()
    local child <const> = support.run_child([[
      local mp, process = require "makeparallel", require "process"
      for i = 1, 20 do mp.spawn(math.abs, i) end
      local child = process.fork()
      if child == 0 then
        print(pcall(mp.spawn, math.abs, 1))
        return
      end
      io.write(process.wait(child), " ", mp.spawn(math.abs, -3):get())
    ]], { environment = "ASAN_OPTIONS=detect_leaks=0" }) -- LeakSanitizer looks for the parent's threads in the child
    assert.equal("", child.stderr)
    assert.matches(MESSAGE, child.stdout, 1, true)
    assert.matches("0 3$", child.stdout)
    assert.equal(0, child.code)
  end)
end)
