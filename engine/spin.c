#include "spin.h"

#include <assert.h>

#define PROBE_OFTEN 32   /* one spin of so many is a probe */
#define PROBE_SELDOM 512 /* when they find nothing */

void mp_spin_budget_init(mp_spin_budget *budget, uint64_t free_ns) {
  assert(free_ns <= UINT32_MAX);
  mp_store_relaxed(&budget->free_ns, (uint32_t)free_ns);
  mp_store_relaxed(&budget->until_probe, PROBE_OFTEN);
  mp_store_relaxed(&budget->spacing, PROBE_OFTEN);
}

mp_spin mp_spin_begin(const mp_scheduler *scheduler, mp_spin_budget *budget) {
  uint32_t left = mp_load_relaxed(&budget->until_probe);
  bool probe = left == 0;
  if (!probe) mp_store_relaxed(&budget->until_probe, left - 1);
  uint64_t free_ns = probe ? scheduler->config.spin_free_ns : mp_load_relaxed(&budget->free_ns);
  return (mp_spin){scheduler, budget, mp_os_now(), free_ns, probe};
}

static void end_probe(mp_spin_budget *budget, bool found) {
  uint32_t twice = 2 * mp_load_relaxed(&budget->spacing);
  uint32_t spacing = found ? PROBE_OFTEN : twice < PROBE_SELDOM ? twice : PROBE_SELDOM;
  mp_store_relaxed(&budget->spacing, spacing);
  mp_store_relaxed(&budget->until_probe, spacing);
}

void mp_spin_end(const mp_spin *spin, bool found) {
  const mp_scheduler_config *config = &spin->scheduler->config;
  if (spin->probe) {
    end_probe(spin->budget, found);
    if (!found) return;
  }
  uint64_t free_ns = found ? 4 * spin->free_ns : spin->free_ns / 2;
  if (free_ns > config->spin_free_ns) free_ns = config->spin_free_ns;
  if (free_ns < config->spin_ns) free_ns = config->spin_ns;
  mp_store_relaxed(&spin->budget->free_ns, (uint32_t)free_ns);
}
