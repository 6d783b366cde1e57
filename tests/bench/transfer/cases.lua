-- The cases of the transfer suite: values as transfer.h makes them, encoded in one state and decoded in another; ns of CPU for both.
return {
  { name = "floats", goal = "<= every peer" },
  { name = "records", goal = "<= every peer" },
  { name = "small", goal = "<= every peer" },
}
