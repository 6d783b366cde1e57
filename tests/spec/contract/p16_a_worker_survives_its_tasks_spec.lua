-- Promise 16: a worker survives whatever a task does; the pool's size stays.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

describe("a worker", function()
  it("refuses os.exit, also protected", function()
    local err <const> = support.failure(mp.spawn(os.exit))
    assert.matches("os.exit is refused in a worker", err.message, 1, true)
    assert.equal(7, mp.spawn(function()
      pcall(os.exit, 3)
      pcall(os.exit, true, true)
      return 7
    end):get())
  end)

  it("survives a stack overflow", function()
    local pool <close> = mp.pool { workers = 1 }
    local function forever() return 1 + forever() end
    for _ = 1, 2 do
      assert.matches("stack overflow", support.failure(pool:spawn(forever)).message, 1, true)
      assert.equal(1, pool:spawn(math.abs, -1):get())
    end
    assert.equal(1, pool:info().workers)
  end)

  it("survives a C stack overflow", function()
    local pool <close> = mp.pool { workers = 1 }
    local function deep_gsub()
      return (("x"):gsub(".", deep_gsub))
    end
    assert.matches("stack overflow", support.failure(pool:spawn(deep_gsub)).message, 1, true)
    assert.matches("stack overflow", support.failure(pool:spawn(function()
      local co
      local function nest() return coroutine.wrap(co)() end
      co = nest
      return nest()
    end)).message, 1, true)
    assert.equal(1, pool:spawn(math.abs, -1):get())
  end)

  it("survives errors inside error handling, garbage collection, closing and coroutines", function()
    local pool <close> = mp.pool { workers = 1 }
    assert.equal("ok", pool:spawn(function()
      setmetatable({}, { __gc = function() error "in gc" end })
      collectgarbage()
      collectgarbage()
      return "ok"
    end):get())
    assert.matches("in coroutine", support.failure(pool:spawn(function()
      coroutine.wrap(function() error "in coroutine" end)()
    end)).message, 1, true)
    assert.matches("in close", support.failure(pool:spawn(function()
      local x <close> = setmetatable({}, { __close = function() error "in close" end })
      return x ~= nil
    end)).message, 1, true)
    assert.is_false(pool:spawn(function()
      local ok = xpcall(error, function() error "in handler" end)
      return ok
    end):get())
  end)

  it("survives error objects of any type", function()
    local pool <close> = mp.pool { workers = 1 }
    local function raise(kind)
      local objects <const> = {
        ["nil"] = function() error(nil) end,
        boolean = function() error(false) end,
        number = function() error(7) end,
        table = function() error {} end,
        ["function"] = function() error(print) end,
        userdata = function() error(io.stdout) end,
        thread = function() error(coroutine.create(print)) end,
        ["raising __tostring"] = function() error(setmetatable({}, { __tostring = function() error "again" end })) end,
        ["raising __name"] = function() error(setmetatable({}, { __name = {} })) end,
        ["error in a handler"] = function() xpcall(error, function() error(error) end) error "after" end,
        ["error in a close"] = function()
          local x <close> = setmetatable({}, { __close = function() error "in close" end })
          error(x)
        end,
      }
      objects[kind]()
    end
    for _, kind in ipairs {
      "nil", "boolean", "number", "table", "function", "userdata", "thread", "raising __tostring", "raising __name", "error in a handler",
      "error in a close",
    } do
      local h <const> = pool:spawn(raise, kind)
      assert.equal("error", support.failure(h).kind, kind)
      assert.equal("failed", h:status(), kind)
      assert.equal(1, pool:spawn(math.abs, -1):get(), kind)
    end
    assert.equal(1, pool:info().workers)
  end)

  it(("survives any mix of these (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    local pool <close> = mp.pool { workers = 2 }
    local function forever() return 1 + forever() end
    local deeds <const> = {
      error, os.exit,
      function() error {} end,
      function() xpcall(error, function() error "in the handler" end) error "after" end,
      function() return ("x"):rep(1 << 46) end,
      function() return setmetatable({}, {}) end, -- cannot be sent back
    }
    local handles <const> = {}
    for i = 1, support.scaled(200) do handles[i] = pool:spawn(i % 100 == 0 and forever or deeds[math.random(#deeds)]) end
    for _, h in ipairs(handles) do
      support.failure(h)
      assert.equal("failed", h:status())
    end
    assert.equal(2, pool:info().workers)
    assert.equal(0, pool:info().workers_extra)
    for i = 1, 20 do assert.equal(i, pool:spawn(math.abs, -i):get()) end
  end)
end)
