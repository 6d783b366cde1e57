-- An HTTP server on luv that answers while workers compute: lua5.4 examples/httpserver.lua [PORT] serves http://127.0.0.1:PORT/
-- until Ctrl-C: /hello answers at once, /primes?100000 counts primes on a worker. With --test it asks itself instead, tells how long light
-- requests take while heavy ones compute, and ends.
local has_luv, uv = pcall(require, "luv")
if not has_luv then
  io.stderr:write "this example needs luv (Debian: lua-luv)\n"
  os.exit(77)
end
local mp = require "makeparallel"
local mpluv = require "makeparallel.luv"

local testing = arg[1] == "--test"
local port = testing and 0 or math.tointeger(tonumber(arg[1] or 8080))
if not port then
  io.stderr:write "usage: httpserver.lua [PORT | --test]\n"
  os.exit(1)
end
local LIMIT <const> = 2000000

-- Runs in a worker.
local count_primes = mp.parallel(function(n)
  local count = 0
  for i = 2, n do
    local prime = true
    for d = 2, i ^ 0.5 // 1 do
      if i % d == 0 then
        prime = false
        break
      end
    end
    if prime then count = count + 1 end
  end
  return count
end, { name = "primes", timeout = 30 })

--
-- The server: a coroutine for each connection
--

local function respond(client, status, body)
  client:write(("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(status, #body, body))
  client:shutdown(function()
    if not client:is_closing() then client:close() end
  end)
end

local function answer(client, request)
  local path, query = request:match "^GET (/[^%s?]*)%??(%S*) HTTP"
  if path == "/hello" then return respond(client, "200 OK", "hello\n") end
  if path ~= "/primes" then return respond(client, "404 Not Found", "there are /hello and /primes?N\n") end
  local n = math.tointeger(tonumber(query))
  if not n or n < 1 or n > LIMIT then return respond(client, "400 Bad Request", "N must be from 1 to " .. LIMIT .. "\n") end
  local ok, count = pcall(mpluv.await, count_primes(n)) -- others are served meanwhile
  if ok then return respond(client, "200 OK", count .. " primes up to " .. n .. "\n") end
  respond(client, "500 Internal Server Error", count.message .. "\n")
end

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", port))
port = server:getsockname().port
assert(server:listen(128, function(problem)
  assert(not problem, problem)
  local client, request = uv.new_tcp(), ""
  server:accept(client)
  client:read_start(function(_, data)
    if not data then
      if not client:is_closing() then client:close() end
      return
    end
    request = request .. data
    if #request > 8192 then return respond(client, "431 Request Header Fields Too Large", "") end
    if not request:find "\r\n\r\n" then return end
    client:read_stop()
    coroutine.wrap(answer)(client, request)
  end)
end))
mpluv.attach()

if not testing then
  print(("listening on http://127.0.0.1:%d/"):format(port))
  uv.run()
  os.exit(0, true)
end

--
-- The test: clients in the same loop
--

-- In a coroutine: the response to GET path, whole.
local function get(path)
  local co, socket, parts = coroutine.running(), uv.new_tcp(), {}
  socket:connect("127.0.0.1", port, function(problem)
    assert(not problem, problem)
    socket:write("GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n")
    socket:read_start(function(_, data)
      if data then
        parts[#parts + 1] = data
        return
      end
      socket:close()
      assert(coroutine.resume(co, table.concat(parts)))
    end)
  end)
  return coroutine.yield()
end

local N <const>, HEAVY <const>, LIGHT <const> = 200000, 6, 50

local started = mp.now()
for _ = 1, HEAVY do
  assert(count_primes(N):get() == 17984)
end
local one_by_one = mp.now() - started

local heavy, latencies, wrong, overlap = 0, {}, 0, 0
local finished
started = mp.now()
for _ = 1, HEAVY do
  coroutine.wrap(function()
    if not get("/primes?" .. N):find "\r\n\r\n17984 primes" then wrong = wrong + 1 end
    heavy = heavy + 1
    if heavy == HEAVY then finished = mp.now() - started end
  end)()
end
coroutine.wrap(function()
  for i = 1, LIGHT do
    local asked = mp.now()
    if not get("/hello"):find "\r\n\r\nhello\n$" then wrong = wrong + 1 end
    latencies[i] = mp.now() - asked
    if heavy < HEAVY then overlap = overlap + 1 end
  end
  if not get("/nothing"):find "^HTTP/1.1 404" then wrong = wrong + 1 end
  if not get("/primes?x"):find "^HTTP/1.1 400" then wrong = wrong + 1 end
  while heavy < HEAVY do
    get "/hello"
  end
  server:close()
  mpluv.detach()
end)()
uv.run()

table.sort(latencies)
print(("%d light requests, %d of them while heavy ones computed: median %.2f ms, longest %.1f ms"):format(
  LIGHT, overlap, latencies[LIGHT // 2] * 1000, latencies[LIGHT] * 1000))
print(("%d heavy ones: one after the other %.2f s, side by side %.2f s"):format(HEAVY, one_by_one, finished))
if wrong > 0 or overlap == 0 then
  io.stderr:write(wrong, " wrong answers, ", overlap, " light requests beside heavy ones\n")
  os.exit(1)
end
print "all answers are right"
