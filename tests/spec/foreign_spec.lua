_ENV = require("support").globals(_ENV)
local mp <const> = require "makeparallel"
local support <const> = require "support"

local WORKERS <const> = 4

-- Runs the function in all workers of a new pool at once, several times.
local function everywhere(fn, ...)
  local pool <close> = mp.pool { workers = WORKERS }
  local handles <const> = {}
  for i = 1, 4 * WORKERS do handles[i] = pool:spawn(fn, ...) end
  local results <const> = mp.gather(handles)
  for i = 2, results.n do assert.same(results[1], results[i]) end
  return results[1]
end

local USES <const> = {
  ["pl.List"] = function()
    local List <const> = require "pl.List"
    return List({ 3, 1, 2 }):sort():map(function(x) return x * 2 end):join ","
  end,
  ["pl.pretty"] = function() return require("pl.pretty").write({ 1, { 2 } }, "") end,
  cjson = function()
    local cjson <const> = require "cjson"
    return cjson.decode(cjson.encode { list = { 1, 2.5, "x", true }, nested = { deep = { 1 } } }).list
  end,
  lpeg = function()
    local lpeg <const> = require "lpeg"
    local number <const> = lpeg.C(lpeg.R "09" ^ 1) / tonumber
    return { lpeg.match(number * ("," * number) ^ 0, "1,22,333") }
  end,
  re = function() return { require("re").match("key=value", "{%w+} '=' {%w+}") } end,
  lfs = function()
    local lfs <const> = require "lfs"
    return lfs.attributes("/", "mode")
  end,
}

describe("another's module", function()
  for name, use in pairs(USES) do
    it(("%s is required and used in several workers at once"):format(name), function()
      if not pcall(require, name) then return pending("needs " .. name) end
      assert.same(use(), everywhere(use))
    end)

    it(("%s loaded here as well travels by name"):format(name), function()
      local ok, module = pcall(require, name)
      if not ok then return pending("needs " .. name) end
      assert.is_true(everywhere(function(loaded, n) return loaded == require(n) end, module, name))
    end)
  end

  it("cjson: its functions and its null can be sent by name, or are refused by what they are", function()
    local ok, cjson = pcall(require, "cjson")
    if not ok then return pending "needs cjson" end
    assert.equal("[1,2]", mp.spawn(cjson.encode, { 1, 2 }):get())
    assert.matches("args[1] (light userdata) cannot be sent to a worker", (support.refusal(mp.spawn, print, cjson.null)), 1, true)
    assert.same({ 1, 2 }, (mp.spawn("cjson.decode", "[1,2]"):get()))
  end)

  it("lpeg: patterns are refused, grammars as source travel", function()
    local ok, lpeg = pcall(require, "lpeg")
    if not ok then return pending "needs lpeg" end
    assert.matches("args[1] (userdata 'lpeg-pattern') cannot be sent to a worker", (support.refusal(mp.spawn, print, lpeg.P "x")), 1, true)
    assert.equal(3, mp.spawn(mp.source "return require('lpeg').match(require('lpeg').P 'ab', ...)", "abc"):get())
  end)

  it("pl: objects of its classes travel, with their methods", function()
    local ok, List = pcall(require, "pl.List")
    if not ok then return pending "needs Penlight" end
    local list <const> = List { 1, 2, 3 }
    assert.equal("1-2-3", mp.spawn(function(l) return l:join "-" end, list):get())
    local back <const> = support.round_trip(list)
    assert.equal(List, getmetatable(back))
    assert.equal("{1,2,3}", tostring(back))
  end)

  it("pl: all of it loads beside each other in every worker", function()
    if not pcall(require, "pl") then return pending "needs Penlight" end
    local names <const> = { "pl.class", "pl.tablex", "pl.stringx", "pl.seq", "pl.Map", "pl.OrderedMap", "pl.Set", "pl.Date", "pl.path" }
    assert.equal(#names, everywhere(function(list)
      local n = 0
      for _, name in ipairs(list) do
        if require(name) then n = n + 1 end
      end
      return n
    end, names))
  end)
end)
