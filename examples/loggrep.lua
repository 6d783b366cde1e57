-- Finds slow and failed requests in a web server's log, in flat memory: lua5.4 examples/loggrep.lua [FILE [LINES]]
-- Without FILE it writes one of LINES lines (default 300,000) first. mp.imap reads it a window at a time.
local mp = require "makeparallel"

local path = arg[1]
local made_lines = math.tointeger(tonumber(arg[2] or 300000))
if not made_lines or made_lines < 1 then
  io.stderr:write "usage: loggrep.lua [FILE [LINES]]\n"
  os.exit(1)
end

local function write_log(to)
  local file = assert(io.open(to, "w"))
  for i = 1, made_lines do
    local status, ms = i % 997 == 0 and 500 or 200, i * 7919 % 900 + (i % 5000 == 0 and 9000 or 1)
    file:write(("10.0.%d.%d - - [12/Mar/2025:10:%02d:%02d] \"GET /shop/item/%d?ref=%x HTTP/1.1\" %d %d \"agent/%d.0\"\n"):format(
      i % 200, i % 250, i // 60 % 60, i % 60, i * 31 % 4000, i * 2654435761 % 65536, status, ms, i % 30))
  end
  file:close()
end

-- Runs in a worker: what is worth telling about a line, or nothing. A few patterns and a checksum, as a real filter would have.
local function inspect(line)
  local address, request, status, ms = line:match '^(%S+) %S+ %S+ %b[] "([^"]*)" (%d+) (%d+)'
  if not address then return nil end
  local checksum = 0
  for word in request:gmatch "[%w_]+" do
    checksum = (checksum * 31 + #word:upper()) % 65521
  end
  local slow = tonumber(ms) > 5000
  if status ~= "500" and not slow then return nil end
  return ("%s %s %s %s ms #%d"):format(status == "500" and "failed" or "slow", address, request:match "%S+ (%S+)", ms, checksum)
end

local function resident_kb()
  local status = io.open "/proc/self/status"
  local kb = status and status:read("a"):match "VmRSS:%s*(%d+)"
  if status then status:close() end
  return kb and tonumber(kb) or 0
end

local made = not path
if made then
  path = os.tmpname()
  write_log(path)
end
local size = assert(io.open(path)):seek "end"

local started = mp.now()
local found, lines, most = {}, 0, 0
for i, result in mp.imap(inspect, io.lines(path)) do
  lines = i
  if result then found[#found + 1] = ("%d: %s"):format(i, result) end
  if i % 50000 == 0 then most = math.max(most, resident_kb()) end
end
local parallel_time = mp.now() - started

started = mp.now()
local serial = {}
local number = 0
for line in io.lines(path) do
  number = number + 1
  local result = inspect(line)
  if result then serial[#serial + 1] = ("%d: %s"):format(number, result) end
end
local serial_time = mp.now() - started
if made then os.remove(path) end

for i = 1, math.min(5, #found) do
  print(found[i])
end
print(("%d of %d lines (%d kB) are worth a look"):format(#found, lines, size // 1024))
if most > 0 then print(("never more than %d kB of memory"):format(most)) end
print(("one core %.2f s, %d workers %.2f s: %.2f times as fast"):format(
  serial_time, mp.get_thread_pool_info().workers, parallel_time, serial_time / parallel_time))
if table.concat(found, "\n") ~= table.concat(serial, "\n") then
  io.stderr:write "the two results differ\n"
  os.exit(1)
end
print "both results are the same"
