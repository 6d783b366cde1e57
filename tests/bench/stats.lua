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

--- Of ratios of pairs, below 1 being better: "better" or "WORSE" if that is outside noise, else "". It is when all pairs agree, but for one
--- in ten: with seven pairs chance does that once in 64.
function stats.verdict(ratios)
  local better, worse = 0, 0
  for _, ratio in ipairs(ratios) do
    if ratio < 1 then better = better + 1 end
    if ratio > 1 then worse = worse + 1 end
  end
  local enough = #ratios - #ratios // 10
  if #ratios < 5 then return "" end
  return better >= enough and "better" or worse >= enough and "WORSE" or ""
end

return stats
