-- Profiles with perf: samples with their call chains, unwound by the tables that every program carries.
local plain = require("profile.parts").plain

local perf = {}

--- May perf be used here?
function perf.works(build)
  return (os.execute(("perf record -o %s/profile/probe.data -- true >/dev/null 2>&1"):format(build)))
end

local function record(data, command, seconds)
  -- the case again and again, so that a short one gives enough samples
  local loop = ([[end=$(($(date +%%s) + %d)); while [ $(date +%%s) -lt $end ]; do %s >/dev/null || exit 1; done]]):format(seconds, command)
  local quoted = "'" .. loop:gsub("'", "'\\''") .. "'"
  local recorded = ("perf record -q -o %s -F 1499 --call-graph dwarf,16384 -- sh -c %s 2>%s.log"):format(data, quoted, data)
  if not os.execute(recorded) then error(recorded .. " failed; see " .. data .. ".log", 0) end
end

-- Calls sample(is_main, frames) for each sample of the program, frames = { {symbol, object} } from the innermost.
local function each_sample(data, sample)
  local pipe <close> = assert(io.popen(("perf script -i %s --no-inline -F comm,pid,tid,ip,sym,dso 2>/dev/null"):format(data)))
  local frames, is_main, skip
  for line in pipe:lines() do
    local symbol, object = line:match "^%s+%x+ (.-) %((.*)%)$"
    if symbol then
      frames[#frames + 1] = { plain(symbol), object }
    elseif line == "" then
      if frames and #frames > 0 and not skip then sample(is_main, frames) end
      frames = nil
    else
      local comm, pid, tid = line:match "^%s*(.-)%s+(%d+)/(%d+)%s*$"
      frames, is_main, skip = {}, pid == tid, comm == "sh" or comm == "date"
    end
  end
end

function perf.run(build, suite, program, case, seconds)
  local data = ("%s/profile/%s.data"):format(build, case)
  record(data, suite.command(program, case, 1), seconds)
  local by_name, functions, total = {}, {}, 0

  local function entry_of(frame)
    local key = frame[1] .. "\0" .. frame[2]
    local entry = by_name[key]
    if not entry then
      entry = { symbol = frame[1], object = frame[2], self = 0, inclusive = 0, owner = 0 }
      by_name[key] = entry
      functions[#functions + 1] = entry
    end
    return entry
  end

  each_sample(data, function(is_main, frames)
    total = total + 1
    local seen = {}
    for i, frame in ipairs(frames) do
      local entry = entry_of(frame)
      if i == 1 then
        entry.self = entry.self + 1
        if is_main then entry.owner = entry.owner + 1 end
      end
      if not seen[entry] then entry.inclusive = entry.inclusive + 1 end -- a recursive function counts once
      seen[entry] = true
    end
  end)
  if total == 0 then error("perf saw nothing; --tool callgrind needs no kernel's help", 0) end
  return { what = total .. " samples by perf", total = total, functions = functions, threads = true }
end

return perf
