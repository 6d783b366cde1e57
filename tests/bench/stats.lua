-- Order statistics of a list of numbers, which they sort.
local stats = {}

--- The value below which the given share of the list lies, 0 to 1.
function stats.quantile(values, share)
  table.sort(values)
  return values[1 + math.floor(share * (#values - 1) + 0.5)]
end

function stats.median(values)
  return stats.quantile(values, 0.5)
end

return stats
