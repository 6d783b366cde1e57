/*
** cgroup.h - what Linux's control groups leave this process: CPUs and memory, by version 2 and by
** version 1, in its own group and in every group above it.
**
** Reads files only, anew at each call. Any thread. Paths begin with `root`: "" on a system, the
** folder of a made-up one in tests. Inside a container the group's path may be one that only the
** host knows; then what is visible of it counts, the folder at which the groups are mounted at
** least.
*/
#ifndef MP_CGROUP_H
#define MP_CGROUP_H

#include <stdint.h>

/* The CPUs that the least quota pays for, rounded up; 0: there is no quota. */
unsigned mp_cgroup_cores(const char *root);
/*
** Lowers what the system has to what the groups leave. What files keep in memory counts as
** available: the kernel takes it back when it is needed. A limit that is not below the system's
** total is none. available <= total, before and after.
*/
void mp_cgroup_memory(const char *root, uint64_t *available, uint64_t *total);

/* Cores by affinity and the groups' quotas, at least 1. */
unsigned mp_usable_cores(void);
/*
** Bytes the process may still use and may use at all: the lesser of what the system has and what
** the groups leave. available <= total; both are 0 where unknown.
*/
void mp_usable_memory(uint64_t *available, uint64_t *total);

#endif
