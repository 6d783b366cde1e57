-- ltask: two workers, each of which has a service that runs tasks; a third service runs the case, as a program of ltask's must.
-- LUA_PATH has to name the folders lualib and service of its sources.
local began = require "clock"()
local boot = require "ltask.bootstrap"

local function find(name)
  return assert(package.searchpath(name, package.path))
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local here <const> = debug.getinfo(1, "S").source:match "^@(.*)subjects/"
local service <const>, bootstrap <const> = find "service", find "bootstrap"
find "root"

-- How a service finds its code: the searcher's text runs in each.
local find_service <const> = ([[
  package.path, package.cpath = %q, %q
  local path, problem = package.searchpath(..., %q .. package.path)
  if not path then return nil, problem end
  return loadfile(path)
]]):format(package.path, package.cpath, here .. "ltask/?.lua;")

local function run(case, scale)
  boot.init_socket()
  local ltask = dofile(bootstrap)
  ltask.wait(ltask.start {
    core = { worker = 2 },
    root = {
      bootstrap = { { name = "bench_case", args = { case, scale, began } } },
      service_source = read(service),
      service_chunkname = "@" .. service,
      initfunc = find_service,
    },
    root_initfunc = find_service,
  })
  return false
end

local subject = {}

for _, case in ipairs(require "cases") do
  subject[case.name] = function(scale)
    return run(case.name, scale)
  end
end

return subject
