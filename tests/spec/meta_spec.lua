-- The types in meta.lua and the module name the same things. (What the documents name: docs_spec.lua.)
local mp = require "makeparallel"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function declared(text, owner, separator)
  local names = {}
  for name in text:gmatch("\nfunction " .. owner .. separator .. "([%a_]+)") do
    names[name] = true
  end
  return names
end

-- Of what the object's metatable holds, functions that a user may call.
local function methods_of(object)
  local names = {}
  for name in pairs(debug.getmetatable(object).__index) do
    names[name] = true
  end
  return names
end

describe("the declaration of types", function()
  local text = read "lua/makeparallel/meta.lua"

  it("declares every function of the module and no other", function()
    local names = {}
    for name, value in pairs(mp) do
      if type(value) == "function" then names[name] = true end
    end
    assert.same(names, declared(text, "mp", "%."))
  end)

  it("declares every method of handles, tasks and pools and no other", function()
    local task = mp.parallel(print)
    local handle = mp.spawn(type, 1)
    local pool <close> = mp.pool { workers = 1 }
    assert.same(methods_of(handle), declared(text, "handle", ":"))
    assert.same(methods_of(task), declared(text, "task", ":"))
    assert.same(methods_of(pool), declared(text, "pool", ":"))
    assert.same(methods_of(mp.go(function() end)), declared(text, "routine", ":"))
    assert.same(methods_of(mp.progress(nil, { output = { write = function() end } })), declared(text, "bar", ":"))
  end)

  it("declares every method of contexts, graphs and wrappers and no other", function()
    local ctx <close> = mp.context()
    assert.same(methods_of(ctx), declared(text, "context", ":"))
    assert.same(methods_of(mp.graph()), declared(text, "graph", ":"))
    assert.same(methods_of(mp.timer(print)), declared(text, "timer", ":"))
    assert.same(methods_of(mp.CallCounter(print)), declared(text, "counter", ":"))
    assert.same(methods_of(mp.memoize(print)), declared(text, "memo", ":"))
    assert.same(methods_of(mp.memoize_fast(print)), declared(text, "memo", ":"))
  end)

  it("names every option that is accepted", function()
    for name in text:match("makeparallel%.TaskOptions\n(.-)\n\n"):gmatch "%-%-%-@field ([%a_]+)" do
      local _, message = pcall(mp.parallel, print, { [name] = 0 / 0 })
      assert.is_nil(tostring(message):find("unknown option", 1, true), name)
    end
  end)
end)
