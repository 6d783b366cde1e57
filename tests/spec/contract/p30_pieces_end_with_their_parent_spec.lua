_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local function forever() while true do end end

-- Those that gather tasks report progress when they wait: a task that was spawned and is not gathered yet is on its own.
local function gather(options)
  local quick <const> = mp.spawn(math.abs, 1)
  quick:on_complete(function() mp.report_progress(1) end)
  mp.gather({ quick, mp.spawn(forever), mp.spawn(forever) }, options)
end

local function gather_in_gather()
  local outer <const> = mp.current()
  mp.gather {
    mp.spawn(function()
      local quick <const> = mp.spawn(math.abs, 1)
      quick:on_complete(function() mp.report_progress(outer, 1) end)
      mp.gather { quick, mp.spawn(forever) }
    end),
  }
end

local function started(_, pool)
  return pool:info().submitted > 1
end

local function waits(h)
  return h:progress() == 1
end

local ways <const> = {
  map = { started, function() mp.map(forever, { 1, 2, 3 }, { chunk = 1 }) end },
  each = { started, function() mp.each(1, 3, forever, { chunk = 1 }) end },
  reduce = { started, function() mp.reduce(forever, math.max, { 1, 2, 3 }, { chunk = 1 }) end },
  imap = { started, function() for _ in mp.imap(forever, { 1, 2, 3 }, { chunk = 1 }) do end end },
  gather = { waits, gather, workers = { 1, 2, 6 } },
  ["gather that keeps errors"] = { waits, gather, { on_error = "none" } },
  ["gather in gather"] = { waits, gather_in_gather, workers = { 1 } },
  graph = { started, function() mp.graph():add("x", forever):run() end },
  context = { started, function()
    local ctx <close> = mp.context()
    ctx:submit(forever)
  end },
}

local function wait_until_all_ended(pool)
  support.wait_until(function()
    local info <const> = pool:info()
    return info.submitted == info.finished
  end)
end

describe("promise 30: a task takes what it has started along", function()
  for name, way in pairs(ways) do
    for _, mode in ipairs { "signal", "hook" } do
      it(("%s, when it is cancelled, cancel_mode = %s"):format(name, mode), function()
        for _, workers in ipairs(way.workers or { 1, 2, 6 }) do
          for _ = 1, 3 do
            local pool <close> = mp.pool { workers = workers, cancel_mode = mode, log = "off" }
            local h <const> = pool:spawn(way[2], way[3])
            support.wait_until(function() return way[1](h, pool) end)
            h:cancel()
            wait_until_all_ended(pool)
          end
        end
      end)
    end

    it(name .. ", when it times out", function()
      for _, workers in ipairs(way.workers or { 1, 2, 6 }) do
        local timeout, has_begun = 0.1, false
        repeat -- on a loaded machine it may be over before it has begun
          timeout = 2 * timeout
          local pool <close> = mp.pool { workers = workers, log = "off" }
          local h <const> = pool:parallel(way[2], { timeout = timeout })(way[3])
          support.wait_until(function()
            has_begun = way[1](h, pool)
            return has_begun or h:is_ready()
          end)
          if has_begun then
            wait_until_all_ended(pool)
            assert.equal("timeout", h:status())
          end
        until has_begun
      end
    end)
  end

  for name, way in pairs {
    map = function(f) mp.map(f, { 1, 2, 3 }, { chunk = 1 }) end,
    each = function(f) mp.each(1, 3, f, { chunk = 1 }) end,
    reduce = function(f) mp.reduce(f, math.max, { 1, 2, 3 }, { chunk = 1 }) end,
    imap = function(f) for _ in mp.imap(f, { 1, 2, 3 }, { chunk = 1, unordered = true }) do end end,
    graph = function(f)
      local g <const> = mp.graph()
      for i = 1, 3 do g:add("x" .. i, f, { args = { i } }) end
      g:run()
    end,
    context = function(f)
      local ctx <close> = mp.context()
      for i = 1, 3 do ctx:submit(f, i) end
    end,
  } do
    it(name .. ", when one of them fails", function()
      local pool <close> = mp.pool { workers = 6, log = "off" }
      local h <const> = pool:spawn(way, function(i)
        if i == 2 then error "one fails" end
        while true do end
      end)
      assert.matches("one fails", tostring(support.failure(h)), 1, true)
      wait_until_all_ended(pool)
    end)
  end
end)
