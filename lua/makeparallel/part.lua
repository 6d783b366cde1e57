-- core.part: how our modules are loaded, whatever a program has done to its globals since it loaded us.
local core = require "makeparallel.core"

local require <const>, globals <const>, loaded <const> = require, _G, package.loaded
local needed <const> = {} -- what our modules take into locals when they load
for _, name in ipairs { "coroutine", "debug", "io", "math", "os", "package", "require", "string", "table" } do
  needed[name] = globals[name]
end

local function give_back(missing)
  for name in next, missing do rawset(globals, name, nil) end
end

--- Our module of that name. It sees what it needs while it loads, though a program may have taken that away.
function core.part(name)
  name = "makeparallel." .. name
  if loaded[name] then return loaded[name] end
  local missing <const> = {}
  for global, value in next, needed do
    if rawget(globals, global) == nil then
      missing[global] = true
      rawset(globals, global, value)
    end
  end
  local ok, module = pcall(require, name)
  give_back(missing)
  if not ok then error(module, 0) end
  return module
end

return core.part
