-- Renders the Mandelbrot set to a PPM picture, rows in parallel: lua5.4 examples/mandelbrot.lua [WIDTH [FILE]]
local mp = require "makeparallel"

local width = math.tointeger(arg[1] or 800)
if not width or width < 2 then
  io.stderr:write "usage: mandelbrot.lua [WIDTH [FILE]]\n"
  os.exit(1)
end
local height <const> = width * 3 // 4
local path = arg[2] or "mandelbrot.ppm"
local ROUNDS <const> = 200

-- How many rounds until z leaves the circle of radius 2; ROUNDS if it stays.
local function escape(cr, ci)
  local zr, zi = 0.0, 0.0
  for round = 0, ROUNDS - 1 do
    local rr, ii = zr * zr, zi * zi
    if rr + ii > 4 then return round end
    zr, zi = rr - ii + cr, 2 * zr * zi + ci
  end
  return ROUNDS
end

-- One row as bytes: red, green, blue for each point. `escape`, the sizes and the limit travel with it as upvalues.
local function row(y)
  local bytes = {}
  for x = 0, width - 1 do
    local t = escape(3.0 * x / width - 2.25, 2.25 * y / height - 1.125) / ROUNDS
    local red, green, blue = 9 * (1 - t) * t ^ 3, 15 * (1 - t) ^ 2 * t ^ 2, 8.5 * (1 - t) ^ 3 * t
    bytes[#bytes + 1] = string.char(red * 255 // 1 | 0, green * 255 // 1 | 0, blue * 255 // 1 | 0)
  end
  return table.concat(bytes)
end

local rows = {}
for y = 0, height - 1 do
  rows[y + 1] = y
end

local workers = mp.get_thread_pool_info().workers
local started = mp.now()
local picture = table.concat((mp.map(row, rows, { progress = true })))
local parallel_time = mp.now() - started

started = mp.now()
local serial = {}
for i, y in ipairs(rows) do
  serial[i] = row(y)
end
local serial_time = mp.now() - started

print(("%d x %d points: one core %.2f s, %d workers %.2f s: %.2f times as fast"):format(
  width, height, serial_time, workers, parallel_time, serial_time / parallel_time))
if picture ~= table.concat(serial) then
  io.stderr:write "the two pictures differ\n"
  os.exit(1)
end

local file = assert(io.open(path, "wb"))
file:write(("P6\n%d %d\n255\n"):format(width, height), picture)
file:close()
print("written to " .. path)
