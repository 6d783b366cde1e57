-- One line that tells on what, when and with what the figures were taken.
local function first_line(command)
  local pipe <close> = assert(io.popen(command .. " 2>/dev/null"))
  return pipe:read "l" or "?"
end

return function()
  local model = first_line "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo"
  return ("%s, %s, %s cores, %s, %s, revision %s"):format(os.date "%Y-%m-%d", model, first_line "nproc", first_line "uname -sr",
    _VERSION, first_line "git describe --always --dirty")
end
