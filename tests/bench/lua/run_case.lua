-- One repetition of one case: lua5.4 run_case.lua SUBJECT CASE SCALE. Prints lines "NAME VALUE UNIT"; exit 3: the subject has no such case.
local name, case, scale = arg[1], arg[2], tonumber(arg[3] or 1)
local subject = require("subjects." .. name)
if not subject[case] then os.exit(3) end

local unit
for _, each in ipairs(require "cases") do
  if each.name == case then unit = each.unit end
end
local value = subject[case](scale)
if type(value) == "table" then
  for part, number in pairs(value) do
    print(("%s.%s %.6g %s"):format(case, part, number, unit))
  end
elseif value then
  print(("%s %.6g %s"):format(case, value, unit))
else
  os.exit(3)
end
