-- Counts the words of every text file below the folders given: lua5.4 examples/wordcount.lua [DIR...]
-- A map over batches of files, then a reduction; first on all cores, then on one, and both must agree to the last word.
local mp = require "makeparallel"

local folders = #arg > 0 and { table.unpack(arg) } or { "/usr/include", "/usr/share/common-licenses" }
local BATCHES_PER_WORKER <const> = 16
local SHOWN <const> = 20

-- Every regular file below the folders, with its size, largest first.
local function list_files()
  local quoted = {}
  for i, folder in ipairs(folders) do
    quoted[i] = "'" .. folder:gsub("'", "'\\''") .. "'"
  end
  local find = assert(io.popen("find -H " .. table.concat(quoted, " ") .. " -type f -printf '%s %p\\0' | sort -z -u"))
  local files = {}
  for size, path in find:read("a"):gmatch "(%d+) (%Z+)%z" do
    files[#files + 1] = { path = path, size = tonumber(size) }
  end
  find:close()
  table.sort(files, function(a, b)
    if a.size ~= b.size then return a.size > b.size end
    return a.path < b.path
  end)
  return files
end

-- Deals the files out, so that all batches are of about the same size.
local function make_batches(files, n)
  local batches = {}
  for i = 1, math.min(n, #files) do
    batches[i] = {}
  end
  for i, file in ipairs(files) do
    local round, at = (i - 1) // #batches, (i - 1) % #batches
    local batch = batches[round % 2 == 0 and at + 1 or #batches - at]
    batch[#batch + 1] = file.path
  end
  return batches
end

-- Runs in a worker: the words of some files, and the files it skipped with the reason.
local function count_words(paths)
  local counts, skipped = {}, {}
  for _, path in ipairs(paths) do
    local file, reason = io.open(path, "rb")
    local text = file and file:read "a"
    if file then file:close() end
    if not text then
      skipped[#skipped + 1] = { path = path, reason = reason or "cannot be read" }
    elseif text:find("\0", 1, true) then
      skipped[#skipped + 1] = { path = path, reason = "binary" }
    else
      for word in text:lower():gmatch "%a+" do
        counts[word] = (counts[word] or 0) + 1
      end
    end
  end
  return { counts = counts, skipped = skipped }
end

local function merge(into, part)
  local counts, skipped = into.counts, into.skipped
  for word, n in pairs(part.counts) do
    counts[word] = (counts[word] or 0) + n
  end
  table.move(part.skipped, 1, #part.skipped, #skipped + 1, skipped)
  return into
end

local function reduce(parts)
  local whole = { counts = {}, skipped = {} }
  for _, part in ipairs(parts) do
    merge(whole, part)
  end
  return whole
end

local function commonest(counts)
  local words, total = {}, 0
  for word, n in pairs(counts) do
    words[#words + 1] = word
    total = total + n
  end
  table.sort(words, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  return words, total
end

local function same(a, b)
  for word, n in pairs(a) do
    if b[word] ~= n then return false end
  end
  for word in pairs(b) do
    if a[word] == nil then return false end
  end
  return true
end

local function report_skipped(skipped)
  if #skipped == 0 then return end
  table.sort(skipped, function(a, b)
    return a.path < b.path
  end)
  print(("skipped %d files, for example:"):format(#skipped))
  for i = 1, math.min(3, #skipped) do
    print(("  %s (%s)"):format(skipped[i].path, skipped[i].reason))
  end
end

local files = list_files()
if #files == 0 then
  io.stderr:write("no files below " .. table.concat(folders, ", ") .. "\n")
  os.exit(1)
end
local workers = mp.get_thread_pool_info().workers
local batches = make_batches(files, BATCHES_PER_WORKER * workers)
print(("%d files below %s, %d workers"):format(#files, table.concat(folders, ", "), workers))

-- Once through the disk beforehand, so that the first of the two does not pay for it alone.
for _, file in ipairs(files) do
  local opened = io.open(file.path, "rb")
  if opened then
    opened:read "a"
    opened:close()
  end
end

local started = mp.now()
local parallel = reduce(mp.map(count_words, batches, { chunk = 1, progress = true }))
local parallel_time = mp.now() - started

started = mp.now()
local parts = {}
for i, batch in ipairs(batches) do
  parts[i] = count_words(batch)
end
local serial = reduce(parts)
local serial_time = mp.now() - started

local words, total = commonest(parallel.counts)
print(("%d words, %d different; the commonest:"):format(total, #words))
for i = 1, math.min(SHOWN, #words) do
  print(("%10d  %s"):format(parallel.counts[words[i]], words[i]))
end
report_skipped(parallel.skipped)
print(("one core %.2f s, %d workers %.2f s: %.2f times as fast"):format(serial_time, workers, parallel_time, serial_time / parallel_time))
if not same(parallel.counts, serial.counts) or #parallel.skipped ~= #serial.skipped then
  io.stderr:write "the two results differ\n"
  os.exit(1)
end
print "both results are the same"
