-- Writes what a case returned, as lines "NAME VALUE UNIT": a value, or several by name.
local cases = require "cases"

local function write(name, value, unit) -- print is a log's in some libraries
  io.write(("%s %.6g %s\n"):format(name, value, unit))
end

return function(case, value)
  local unit
  for _, each in ipairs(cases) do
    if each.name == case then unit = each.unit end
  end
  if type(value) ~= "table" then return write(case, value, unit) end
  for part, number in pairs(value) do
    write(case .. "." .. part, number, unit)
  end
end
