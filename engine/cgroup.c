#include "cgroup.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

#define PATH_SIZE 2048
#define TEXT_SIZE 8192 /* /proc/self/cgroup and memory.stat are the longest */

/* A folder of a control group; the groups above it are the folders above it, down to `mount`. */
typedef struct group {
  char path[PATH_SIZE];
  size_t length;
  size_t mount; /* the length of where the groups are mounted; length >= mount */
} group;

/*
** {======================================================
** Where the process's groups are
** =======================================================
*/

/* `name` among the names that commas separate? A NULL name: is the list empty? */
static bool has_controller(const char *list, size_t size, const char *name) {
  if (name == NULL) return size == 0;
  const size_t length = strlen(name);
  for (const char *at = list, *end = list + size; at < end;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    size_t n = (size_t)((comma != NULL ? comma : end) - at);
    if (n == length && memcmp(at, name, n) == 0) return true;
    at += n + 1;
  }
  return false;
}

/*
** The path in a line "number:controllers:path" of /proc/self/cgroup, cut out of `text`. NULL: no
** line has the controller. Version 2 is the line without controllers.
*/
static const char *path_of_controller(char *text, const char *controller) {
  for (char *line = text, *next; line != NULL && *line != '\0'; line = next) {
    next = strchr(line, '\n');
    if (next != NULL) *next++ = '\0';
    const char *list = strchr(line, ':'), *path = list != NULL ? strchr(list + 1, ':') : NULL;
    if (path == NULL) continue;
    if (has_controller(list + 1, (size_t)(path - list - 1), controller)) return path + 1;
  }
  return NULL;
}

/* The process's own group, of version 2 if `controller` is NULL; `mount` below the usual place. */
static bool own_group(group *g, const char *root, const char *mount, const char *controller) {
  char file[PATH_SIZE], text[TEXT_SIZE];
  snprintf(file, sizeof file, "%s/proc/self/cgroup", root);
  const char *own =
      mp_os_read_file(file, text, sizeof text) ? path_of_controller(text, controller) : NULL;
  int n = snprintf(g->path, sizeof g->path, "%s/sys/fs/cgroup%s", root, mount);
  if (n < 0 || (size_t)n >= sizeof g->path) return false;
  g->length = g->mount = (size_t)n;
  if (own == NULL) return true;
  size_t length = strlen(own);
  if (length >= sizeof g->path - g->mount) return true;
  memcpy(g->path + g->mount, own, length + 1);
  g->length += length;
  while (g->length > g->mount && g->path[g->length - 1] == '/') g->path[--g->length] = '\0';
  return true;
}

/* Goes to the group above. False: there is none. */
static bool go_up(group *g) {
  assert(g->length >= g->mount && g->path[g->length] == '\0');
  if (g->length == g->mount) return false;
  while (g->length > g->mount && g->path[g->length - 1] != '/') g->length--;
  if (g->length > g->mount) g->length--; /* the slash */
  g->path[g->length] = '\0';
  return true;
}

static bool read_of_group(const group *g, const char *name, char *text, size_t size) {
  char file[PATH_SIZE + 64];
  snprintf(file, sizeof file, "%s/%s", g->path, name);
  return mp_os_read_file(file, text, size);
}

/* The number that *text begins with, and *text behind it. False: none, as "max" for no limit. */
static bool take_number(const char **text, uint64_t *number) {
  char *end;
  while (**text == ' ') ++*text;
  if (**text < '0' || **text > '9') return false;
  *number = strtoull(*text, &end, 10);
  *text = end;
  return true;
}

static bool number_of_group(const group *g, const char *name, uint64_t *number) {
  char text[64];
  const char *at = text;
  return read_of_group(g, name, text, sizeof text) && take_number(&at, number);
}

/* }====================================================== */

/*
** {======================================================
** CPUs
** =======================================================
*/

static void lower_cores(unsigned *cores, uint64_t quota, uint64_t period) {
  if (quota == 0 || period == 0) return;
  uint64_t n = quota / period + (quota % period != 0);
  if (n <= UINT_MAX && (*cores == 0 || n < *cores)) *cores = (unsigned)n;
}

static void lower_by_cpu_max(const group *g, unsigned *cores) {
  char text[64];
  const char *at = text;
  uint64_t quota, period;
  if (read_of_group(g, "cpu.max", text, sizeof text) && take_number(&at, &quota) &&
      take_number(&at, &period))
    lower_cores(cores, quota, period);
}

static void lower_by_cfs_quota(const group *g, unsigned *cores) {
  uint64_t quota, period;
  if (number_of_group(g, "cpu.cfs_quota_us", &quota) &&
      number_of_group(g, "cpu.cfs_period_us", &period))
    lower_cores(cores, quota, period);
}

unsigned mp_cgroup_cores(const char *root) {
  group g;
  unsigned cores = 0;
  for (bool in = own_group(&g, root, "", NULL); in; in = go_up(&g)) lower_by_cpu_max(&g, &cores);
  for (bool in = own_group(&g, root, "/cpu", "cpu"); in; in = go_up(&g))
    lower_by_cfs_quota(&g, &cores);
  return cores;
}

/* }====================================================== */

/*
** {======================================================
** Memory
** =======================================================
*/

/* How the two versions call the same. */
typedef struct memory_names {
  const char *mount, *controller;
  const char *limit, *used;
  const char *files[2]; /* in memory.stat: what files keep in memory, the group's and those below */
} memory_names;

static const memory_names version_1 = {
    "/memory",
    "memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    {"total_inactive_file", "total_active_file"},
};
static const memory_names version_2 = {
    "", NULL, "memory.max", "memory.current", {"inactive_file", "active_file"},
};

/* The number behind the key that begins a line; 0 if there is no such line. */
static uint64_t stat_of(const char *text, const char *key) {
  const size_t length = strlen(key);
  for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, key, length) == 0 && line[length] == ' ')
      return strtoull(line + length, NULL, 10);
  }
  return 0;
}

static uint64_t kept_by_files(const group *g, const memory_names *names) {
  char text[TEXT_SIZE];
  if (!read_of_group(g, "memory.stat", text, sizeof text)) return 0;
  return stat_of(text, names->files[0]) + stat_of(text, names->files[1]);
}

static void lower_by_limit(const group *g, const memory_names *names, uint64_t none_from,
                           uint64_t *available, uint64_t *total) {
  uint64_t limit, used = 0;
  if (!number_of_group(g, names->limit, &limit) || limit >= none_from) return;
  if (number_of_group(g, names->used, &used)) {
    uint64_t files = kept_by_files(g, names);
    used = used > files ? used - files : 0;
  }
  uint64_t left = used < limit ? limit - used : 0;
  if (limit < *total) *total = limit;
  if (left < *available) *available = left;
  if (*available > *total) *available = *total;
}

void mp_cgroup_memory(const char *root, uint64_t *available, uint64_t *total) {
  static const memory_names *const versions[] = {&version_2, &version_1};
  const uint64_t of_system = *total;
  assert(*available <= of_system);
  for (int i = 0; i < 2; i++) {
    group g;
    for (bool in = own_group(&g, root, versions[i]->mount, versions[i]->controller); in;
         in = go_up(&g))
      lower_by_limit(&g, versions[i], of_system, available, total);
  }
  assert(*available <= *total && *total <= of_system);
}

/* }====================================================== */

unsigned mp_usable_cores(void) {
  unsigned cores = mp_os_cores(), quota = MP_OS_HAS_CGROUPS ? mp_cgroup_cores("") : 0;
  assert(cores > 0);
  return quota != 0 && quota < cores ? quota : cores;
}

void mp_usable_memory(uint64_t *available, uint64_t *total) {
  mp_os_memory(available, total);
  if (MP_OS_HAS_CGROUPS) mp_cgroup_memory("", available, total);
}
