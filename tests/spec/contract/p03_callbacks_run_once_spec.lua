-- Promise 3: callbacks run exactly once, on the owning state, after the end; progress in order, before it.
-- What they may do: callbacks_spec.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

local mp = require "makeparallel"

local function failing() error("boom", 0) end

describe("callbacks", function()
  it("run exactly once for each of thousands, half of them registered late", function()
    local counts <const> = {}
    local handles <const> = {}
    local n <const> = support.scaled(20000)
    local function count(i)
      return function()
        assert(handles[i]:is_ready())
        counts[i] = (counts[i] or 0) + 1
      end
    end
    for i = 1, n do
      handles[i] = i % 5 == 0 and mp.spawn(failing) or mp.spawn(math.abs, i)
      if i % 2 == 0 then handles[i]:on_complete(count(i)):on_error(count(i)) end
      if i % 500 == 0 then mp.poll() end
    end
    for i = 1, n, 2 do
      handles[i]:on_complete(count(i)):on_error(count(i))
    end
    mp.run()
    for i = 1, n do
      assert.equal(1, counts[i])
    end
  end)

  it("hear of progress in order, all of it before the end", function()
    local n <const>, reports <const> = support.scaled(500), 8
    local heard <const>, ended = {}, 0
    local report <const> = mp.parallel(function(of, fails)
      for k = 1, of do mp.report_progress(k / of) end
      if fails then error "at the end" end
    end)
    for i = 1, n do
      heard[i] = 0
      local function finish()
        assert(heard[i] == reports)
        heard[i] = nil
        ended = ended + 1
      end
      report:with {
        on_progress = function(fraction)
          heard[i] = heard[i] + 1
          assert(fraction == heard[i] / reports)
        end,
        on_complete = finish, on_error = finish,
      } (reports, i % 3 == 0)
    end
    local errors <const> = mp.get_thread_pool_info().callback_errors
    mp.run()
    assert.equal(errors, mp.get_thread_pool_info().callback_errors)
    assert.equal(n, ended)
    assert.is_nil(next(heard))
  end)
end)
