-- What our modules keep for a task, or for the state where none runs (core.world): it goes with the task.
local worlds = {}

local weak_keys <const> = { __mode = "k" }

--- The world's table of that name, made when it is first asked for. weak: with weak keys.
function worlds.table(world, name, weak)
  local kept = world[name]
  if not kept then
    kept = setmetatable({}, weak and weak_keys)
    world[name] = kept
  end
  return kept
end

return worlds
