-- mp.profiled: how often a function is called and how long that takes, wherever it runs.
--
-- Calls are counted by a meter of the engine's (engine/meter.c), which travels with the function: a call in a worker counts at once in
-- the state that made the wrapper, also when it runs inside another task, and whoever waits for it or not. A call counts when it ends:
-- completed, or failed if it raised (a task that is cancelled while it runs raises); one that never returns does not.
local core = require "makeparallel.core"
local wrap = require "makeparallel.wrap"
local debug <const>, table <const> = debug, table

local profiled = {}

local profiled_mt = { __name = "makeparallel.Profiled" }
profiled.profiled_mt = profiled_mt

local meters = {} -- [name]: those made in this state

local call_mt = {
  __close = function(call)
    core.meter_record(call.meter, call.started, not call.completed)
  end,
}

local function note(call, ...)
  call.completed = true
  return ...
end

local function call_and_note(call, fn, ...)
  return note(call, fn(...))
end

function profiled_mt:__call(...)
  local call = setmetatable({ meter = self.meter, started = core.now(), completed = false }, call_mt)
  return wrap.call(call, call_and_note, call, wrap.callable(self.fn), ...)
end

local function default_name(fn)
  fn = core.function_of(fn)
  if type(fn) ~= "function" then return tostring(fn) end
  local info = debug.getinfo(fn, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

--- A callable like `fn` whose calls are counted under `name` (where it was defined, unless given). Equal names count together.
function profiled.profiled(fn, name)
  wrap.check(fn, "profiled")
  if name ~= nil and type(name) ~= "string" then
    error(("bad argument #2 to 'profiled' (string expected, got %s)"):format(type(name)), 2)
  end
  name = name or default_name(fn)
  local meter = meters[name] or core.meter_create()
  meters[name] = meter
  return wrap.around(fn, function(inner)
    return setmetatable({ fn = inner, name = name, meter = meter }, profiled_mt)
  end)
end

local function sorted_names()
  local names = {}
  for name in pairs(meters) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- What was counted under the name, or nil if nothing has it; without a name, under all names together:
-- {total, completed, failed, total_ms, average_ms, min_ms, max_ms, p50_ms, p90_ms, p99_ms}, percentiles to within 7 %.
function profiled.get_metrics(name)
  if name == nil then
    local all = {}
    for _, meter in pairs(meters) do all[#all + 1] = meter end
    return core.meter_info(all)
  end
  if type(name) ~= "string" then error(("bad argument #1 to 'get_metrics' (string expected, got %s)"):format(type(name)), 2) end
  return meters[name] and core.meter_info { meters[name] }
end

--- The same by name.
function profiled.get_all_metrics()
  local all = {}
  for name, meter in pairs(meters) do all[name] = core.meter_info { meter } end
  return all
end

--- Counts begin anew; names stay.
function profiled.reset_metrics()
  for _, meter in pairs(meters) do core.meter_reset(meter) end
end

-- With a point, whatever the locale's decimal separator.
local function plain(number)
  return (("%.9g"):format(number):gsub(",", "."))
end

local QUANTILES <const> = { { "0.5", "p50_ms" }, { "0.9", "p90_ms" }, { "0.99", "p99_ms" } }

-- The text exposition format, version 0.0.4.
local function prometheus()
  local calls = { "# HELP makeparallel_calls_total Calls that have ended.", "# TYPE makeparallel_calls_total counter" }
  local seconds = { "# HELP makeparallel_call_seconds How long they took.", "# TYPE makeparallel_call_seconds summary" }
  for _, name in ipairs(sorted_names()) do
    local metrics = core.meter_info { meters[name] }
    local label = name:gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" })
    for _, outcome in ipairs { "completed", "failed" } do
      calls[#calls + 1] = ('makeparallel_calls_total{name="%s",outcome="%s"} %d'):format(label, outcome, metrics[outcome])
    end
    for _, quantile in ipairs(QUANTILES) do
      seconds[#seconds + 1] = ('makeparallel_call_seconds{name="%s",quantile="%s"} %s')
        :format(label, quantile[1], plain(metrics[quantile[2]] / 1000))
    end
    seconds[#seconds + 1] = ('makeparallel_call_seconds_sum{name="%s"} %s'):format(label, plain(metrics.total_ms / 1000))
    seconds[#seconds + 1] = ('makeparallel_call_seconds_count{name="%s"} %d'):format(label, metrics.total)
  end
  return table.concat(calls, "\n") .. "\n" .. table.concat(seconds, "\n") .. "\n"
end

local FIELDS <const> = { "total", "completed", "failed", "total_ms", "average_ms", "min_ms", "max_ms", "p50_ms", "p90_ms", "p99_ms" }

local function json_string(text)
  return '"' .. text:gsub('[%c\\"\x7f]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function json()
  local objects = {}
  for _, name in ipairs(sorted_names()) do
    local metrics, fields = core.meter_info { meters[name] }, {}
    for i, field in ipairs(FIELDS) do fields[i] = ('"%s":%s'):format(field, plain(metrics[field])) end
    objects[#objects + 1] = ("%s:{%s}"):format(json_string(name), table.concat(fields, ","))
  end
  return "{" .. table.concat(objects, ",") .. "}"
end

--- All metrics as text: "prometheus" or "json".
function profiled.export_metrics(format)
  if format == "prometheus" then return prometheus() end
  if format == "json" then return json() end
  error(("bad argument #1 to 'export_metrics' ('prometheus' or 'json' expected, got %s)"):format(tostring(format)), 2)
end

return profiled
