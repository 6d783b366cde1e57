-- Trees of tasks that submit and wait inside tasks, by get, gather, map and wait_any, at random, also on one worker.
local mp = require "makeparallel"
local stress = require "stress"

local TREES <const>, DEPTH <const> = stress.scaled(40), 5

local function leaves(depth, seed)
  if depth == 0 then return 1 end
  local how <const> = seed % 5
  local n <const> = 1 + seed // 7 % 3
  local function child(i) return leaves(depth - 1, (seed * 31 + i * 17) % 1009) end
  local sum = 0
  if how == 0 then
    local results <const> = mp.map(child, { 1, 2, 3 }, { chunk = n })
    for _, result in ipairs(results) do sum = sum + result end
    return sum
  end
  local handles <const> = {}
  for i = 1, n do handles[i] = mp.spawn(child, i) end
  if how == 1 then
    for _, result in ipairs(mp.gather(handles)) do sum = sum + result end
  elseif how == 2 then
    for handle in mp.as_completed(handles) do sum = sum + handle:get() end
  elseif how == 3 then
    while #handles > 0 do
      local _, at = mp.wait_any(handles)
      sum = sum + table.remove(handles, at):get()
    end
  else
    for i = n, 1, -1 do sum = sum + handles[i]:get() end
  end
  return sum
end

local function expected(depth, seed)
  if depth == 0 then return 1 end
  local n <const> = seed % 5 == 0 and 3 or 1 + seed // 7 % 3
  local sum = 0
  for i = 1, n do sum = sum + expected(depth - 1, (seed * 31 + i * 17) % 1009) end
  return sum
end

local total = 0
for workers = 1, stress.workers do
  local pool <close> = mp.pool { workers = workers }
  local handles <const>, seeds <const> = {}, {}
  for i = 1, TREES do
    seeds[i] = math.random(1008)
    handles[i] = pool:spawn(leaves, DEPTH, seeds[i])
  end
  for i, handle in ipairs(handles) do
    local n <const>, wanted <const> = handle:get(), expected(DEPTH, seeds[i])
    stress.check(n == wanted, "tree %d has %d leaves, not %d", seeds[i], n, wanted)
    total = total + n
  end
end
stress.done("%d leaves", total)
