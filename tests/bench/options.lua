-- The programs' options: (arg, from, { reps = 5, suite = "", quick = false }) gives the defaults with what was set from arg[from] on.
-- A number stands for a number, false for an option without a value.
return function(arguments, from, defaults)
  local options = {}
  for name, value in pairs(defaults) do
    options[name] = value
  end
  local i = from
  while arguments[i] do
    local name = arguments[i]:match "^%-%-(.+)$"
    local default = defaults[name]
    local value = arguments[i + 1]
    if default == nil then error(("unknown option '%s'"):format(arguments[i]), 0) end
    if default == false then
      value, i = true, i - 1
    elseif type(default) == "number" then
      value = tonumber(value) or error(("%s needs a number, got '%s'"):format(arguments[i], value or ""), 0)
    elseif value == nil then
      error(arguments[i] .. " needs a value", 0)
    end
    options[name] = value
    i = i + 2
  end
  return options
end
