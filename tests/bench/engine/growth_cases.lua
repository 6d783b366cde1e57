-- The cases of growth.c, in the order in which they are shown.
return {
  { name = "live_1k", goal = "" },
  { name = "live_100k", goal = "live_1k within 20 %" },
  { name = "live_1m", goal = "live_1k within 20 %" },
  { name = "after_1k", goal = "" },
  { name = "after_100k", goal = "linear: near after_1k" },
  { name = "graph_1k", goal = "" },
  { name = "graph_100k", goal = "linear: near graph_1k" },
  { name = "pending_bytes", goal = "<= 256" },
  { name = "timeouts", goal = "threads <= 1" },
}
