-- Profiles with valgrind's callgrind: instructions counted, one thread running at a time, nothing of the kernel.
local plain = require("profile.parts").plain

local callgrind = {}

local SCALE <const> = 0.02 -- it is fifty times slower

-- Calls add(symbol, object, instructions) for each function.
local function annotate(data, inclusive, add)
  local command = ("callgrind_annotate --threshold=100 --auto=no --inclusive=%s %s 2>/dev/null"):format(inclusive, data)
  local pipe <close> = assert(io.popen(command))
  for line in pipe:lines() do
    local count, rest = line:match "^%s*([%d,]+) %([^)]*%)%s+(%S.*)$"
    local symbol, object = (rest or ""):match "^[^:]*:(.-) %[(.-)%]"
    if not symbol then symbol, object = (rest or ""):match "^[^:]*:(.-)%s*$", "?" end
    if symbol then add(plain(symbol), object, tonumber((count:gsub(",", "")))) end
  end
end

function callgrind.run(build, suite, program, case)
  local data = ("%s/profile/%s.callgrind"):format(build, case)
  local command = suite.command(("valgrind -q --tool=callgrind --callgrind-out-file=%s %s"):format(data, program), case, SCALE)
  if not os.execute(("%s >%s.log 2>&1"):format(command, data)) then error(command .. " failed; see " .. data .. ".log", 0) end
  local by_name, functions, total = {}, {}, 0

  local function add_to(key)
    return function(symbol, object, count)
      local name = symbol .. "\0" .. object
      local entry = by_name[name]
      if not entry then
        entry = { symbol = symbol, object = object, self = 0, inclusive = 0 }
        by_name[name] = entry
        functions[#functions + 1] = entry
      end
      if key == "self" then
        entry.self = entry.self + count
        total = total + count
      else
        entry.inclusive = math.max(entry.inclusive, count) -- each depth of a recursion holds the deeper ones
      end
    end
  end

  annotate(data, "no", add_to "self")
  annotate(data, "yes", add_to "inclusive")
  return { what = total .. " instructions by callgrind", total = total, functions = functions }
end

return callgrind
