-- What is to be called at a certain time: a heap, first come first served among equals. Whoever drives calls `fire`.
local core = require "makeparallel.core"
local worlds = require "makeparallel.worlds"
local table <const> = table

local timers = {}

local number = 0
local on_earlier -- called when a timer becomes the earliest

-- Of the running task, or the state: {at, number, fn or false}, the earliest first.
local function heap_of(world)
  return worlds.table(world, "timers")
end

local function before(a, b)
  if a.at ~= b.at then return a.at < b.at end
  return a.number < b.number
end

local function pop(heap)
  local first, last = heap[1], table.remove(heap)
  first.heap = nil
  if #heap == 0 then return first end
  local i = 1
  while true do
    local child = 2 * i
    if child > #heap then break end
    if child < #heap and before(heap[child + 1], heap[child]) then child = child + 1 end
    if not before(heap[child], last) then break end
    heap[i], i = heap[child], child
  end
  heap[i] = last
  return first
end

--- Calls fn() once, at `at` (core.now) or later, while that world is driven (nil: this one). Returns what timers.drop takes.
function timers.add(at, fn, world)
  local heap = heap_of(world or core.world())
  number = number + 1
  local entry, i = { at = at, number = number, fn = fn, heap = heap }, #heap + 1
  while i > 1 and before(entry, heap[i // 2]) do
    heap[i], i = heap[i // 2], i // 2
  end
  heap[i] = entry
  if i == 1 and on_earlier then on_earlier(at) end
  return entry
end

-- Takes out those that were dropped. What is sorted is a heap.
local function sweep(heap)
  local n = 0
  for i = 1, #heap do
    local entry = heap[i]
    heap[i] = nil
    if entry.fn then
      n = n + 1
      heap[n] = entry
    end
  end
  table.sort(heap, before)
  heap.dropped = 0
end

--- It will not be called; nobody waits for it any more.
function timers.drop(entry)
  local heap = entry.heap
  if not entry.fn then return end
  entry.fn = false
  if not heap then return end -- it has been called
  heap.dropped = (heap.dropped or 0) + 1
  if heap.dropped > 100 and heap.dropped > #heap // 2 then sweep(heap) end
end

--- When the earliest is due, or nil.
function timers.next_due()
  local heap = heap_of(core.world())
  while heap[1] and not heap[1].fn do
    pop(heap)
  end
  return heap[1] and heap[1].at
end

--- Calls those that are due, and none that were added meanwhile; returns how many.
function timers.fire()
  local heap = heap_of(core.world())
  if not heap[1] then return 0 end
  local now, last, fired = core.now(), number, 0
  local later = {}
  while heap[1] and heap[1].at <= now do
    local entry = pop(heap)
    if entry.number > last then
      later[#later + 1] = entry
    elseif entry.fn then
      fired = fired + 1
      entry.fn()
    end
  end
  for _, entry in ipairs(later) do
    timers.add(entry.at, entry.fn)
  end
  return fired
end

--- fn(at) is called whenever the earliest time changes to an earlier one; nil: nobody. For event loops with timers of their own.
function timers.listen(fn)
  on_earlier = fn
end

return timers
