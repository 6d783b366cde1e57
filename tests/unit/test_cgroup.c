/* Control groups in a made-up /proc and /sys. */
#include "cgroup.h"
#include "os.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MEBIBYTE ((uint64_t)1 << 20)

static char root[64];

static void tree_open(void) {
  snprintf(root, sizeof root, "/tmp/mp_cgroup_XXXXXX");
  assert_non_null(mkdtemp(root));
}

static void tree_close(void) {
  char command[96];
  snprintf(command, sizeof command, "rm -r %s", root);
  assert_int_equal(system(command), 0);
}

/* Writes a file of the tree, and makes the folders it is in. */
static void put(const char *path, const char *text) {
  char full[512];
  snprintf(full, sizeof full, "%s%s", root, path);
  for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    mkdir(full, 0700);
    *slash = '/';
  }
  FILE *file = fopen(full, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

/* What is left of 8 GiB, 6 of them available. */
static uint64_t left_mib(uint64_t *total_mib) {
  uint64_t available = 6144 * MEBIBYTE, total = 8192 * MEBIBYTE;
  mp_cgroup_memory(root, &available, &total);
  *total_mib = total / MEBIBYTE;
  return available / MEBIBYTE;
}

static void assert_memory_mib(uint64_t available, uint64_t total) {
  uint64_t got_total, got = left_mib(&got_total);
  assert_int_equal(got, available);
  assert_int_equal(got_total, total);
}

static void test_cgroup_no_groups_leaves_all(void **state) {
  (void)state;
  tree_open();
  assert_int_equal(mp_cgroup_cores(root), 0);
  assert_memory_mib(6144, 8192);
  tree_close();
}

static void test_cgroup_cores_own_quota_is_rounded_up(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "0::/app\n");
  put("/sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 2);
  put("/sys/fs/cgroup/app/cpu.max", "1000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 1);
  tree_close();
}

static void test_cgroup_cores_quota_of_the_slice_above_counts(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "0::/pod.slice/pod/container\n");
  put("/sys/fs/cgroup/pod.slice/pod/container/cpu.max", "max 100000\n");
  put("/sys/fs/cgroup/pod.slice/cpu.max", "300000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 3);
  put("/sys/fs/cgroup/pod.slice/pod/container/cpu.max", "400000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 3);
  put("/sys/fs/cgroup/pod.slice/pod/container/cpu.max", "200000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 2);
  tree_close();
}

static void test_cgroup_cores_path_only_the_host_knows_falls_back_to_the_mount(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "0::/kubepods/burstable/pod7/0123abc\n");
  put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 2);
  put("/proc/self/cgroup", "4:memory:/docker/0123abc\n3:cpuacct,cpu:/docker/0123abc\n");
  put("/sys/fs/cgroup/cpu.max", "max 100000\n");
  put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  assert_int_equal(mp_cgroup_cores(root), 1);
  tree_close();
}

static void test_cgroup_cores_version_1_goes_by_its_own_path(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup",
      "9:cpuset:/elsewhere\n5:cpu,cpuacct:/batch/job\n4:memory:/other\n1:name=systemd:/s\n0::/\n");
  put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  put("/sys/fs/cgroup/cpu/batch/job/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu/batch/job/cpu.cfs_period_us", "100000\n");
  assert_int_equal(mp_cgroup_cores(root), 0);
  put("/sys/fs/cgroup/cpu/batch/job/cpu.cfs_quota_us", "500000\n");
  assert_int_equal(mp_cgroup_cores(root), 5);
  put("/sys/fs/cgroup/cpu/batch/cpu.cfs_quota_us", "250000\n");
  put("/sys/fs/cgroup/cpu/batch/cpu.cfs_period_us", "100000\n");
  assert_int_equal(mp_cgroup_cores(root), 3);
  put("/sys/fs/cgroup/cpu/elsewhere/cpu.cfs_quota_us", "100000\n");
  put("/sys/fs/cgroup/cpu/elsewhere/cpu.cfs_period_us", "100000\n");
  assert_int_equal(mp_cgroup_cores(root), 3);
  tree_close();
}

static void test_cgroup_cores_nonsense_is_no_quota(void **state) {
  (void)state;
  tree_open();
  const char *const texts[] = {"", "\n", "x y", "0 0", "100000 0", "-5 100000", "100000"};
  put("/proc/self/cgroup", "0::/\nrubbish\n:\n::\n");
  for (size_t i = 0; i < LENGTH(texts); i++) {
    put("/sys/fs/cgroup/cpu.max", texts[i]);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", texts[i]);
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", i % 2 ? "0\n" : "");
    assert_int_equal(mp_cgroup_cores(root), 0);
  }
  tree_close();
}

static void test_cgroup_memory_limit_above_and_its_other_users_count(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "0::/pod/container\n");
  put("/sys/fs/cgroup/pod/container/memory.max", "max\n");
  put("/sys/fs/cgroup/pod/memory.max", "1073741824\n");
  put("/sys/fs/cgroup/pod/memory.current", "943718400\n");
  assert_memory_mib(1024 - 900, 1024);
  /* the container has a limit of its own, and most of what it may use is taken by the others */
  put("/sys/fs/cgroup/pod/container/memory.max", "536870912\n");
  put("/sys/fs/cgroup/pod/container/memory.current", "1048576\n");
  assert_memory_mib(1024 - 900, 512);
  tree_close();
}

static void test_cgroup_memory_kept_by_files_is_available(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "0::/app\n");
  put("/sys/fs/cgroup/app/memory.max", "1073741824\n");
  put("/sys/fs/cgroup/app/memory.current", "943718400\n"); /* 900 MiB */
  put("/sys/fs/cgroup/app/memory.stat",
      "anon 104857600\nfile 838860800\ninactive_anon 1\nactive_anon 2\n"
      "inactive_file 629145600\nactive_file 209715200\nunevictable 0\n");
  assert_memory_mib(1024 - 100, 1024);
  tree_close();
}

static void test_cgroup_memory_version_1_has_limits_too(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "4:memory:/batch/job\n0::/\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "7516192768\n");
  put("/sys/fs/cgroup/memory/batch/job/memory.limit_in_bytes", "9223372036854771712\n");
  assert_memory_mib(6144, 8192);
  put("/sys/fs/cgroup/memory/batch/job/memory.limit_in_bytes", "2147483648\n");
  put("/sys/fs/cgroup/memory/batch/job/memory.usage_in_bytes", "1073741824\n");
  put("/sys/fs/cgroup/memory/batch/job/memory.stat",
      "inactive_file 1\nactive_file 2\ntotal_inactive_file 314572800\n"
      "total_active_file 209715200\n");
  assert_memory_mib(2048 - 1024 + 500, 2048);
  put("/sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "1073741824\n");
  put("/sys/fs/cgroup/memory/batch/memory.usage_in_bytes", "1073741824\n");
  assert_memory_mib(0, 1024);
  tree_close();
}

static void test_cgroup_memory_used_over_the_limit_leaves_none(void **state) {
  (void)state;
  tree_open();
  put("/proc/self/cgroup", "0::/\n");
  put("/sys/fs/cgroup/memory.max", "1048576\n");
  put("/sys/fs/cgroup/memory.current", "2097152\n");
  assert_memory_mib(0, 1);
  put("/sys/fs/cgroup/memory.max", "0\n");
  assert_memory_mib(0, 0);
  tree_close();
}

static void test_cgroup_path_too_long_falls_back_to_the_mount(void **state) {
  char line[6000] = "0::/";
  (void)state;
  tree_open();
  memset(line + 4, 'x', sizeof line - 5);
  put("/proc/self/cgroup", line);
  put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  assert_int_equal(mp_cgroup_cores(root), 2);
  tree_close();
}

static void test_os_cores_and_memory_of_this_machine_are_within_its_groups(void **state) {
  uint64_t available, total, again_available, again_total;
  (void)state;
  mp_usable_memory(&available, &total);
  again_available = available, again_total = total;
  mp_cgroup_memory("", &again_available, &again_total);
  assert_true(again_total == total && again_available <= available);
#if defined(MP_OS_LINUX)
  unsigned quota = mp_cgroup_cores("");
  assert_true(quota == 0 || mp_usable_cores() <= quota);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cgroup_no_groups_leaves_all),
      cmocka_unit_test(test_cgroup_cores_own_quota_is_rounded_up),
      cmocka_unit_test(test_cgroup_cores_quota_of_the_slice_above_counts),
      cmocka_unit_test(test_cgroup_cores_path_only_the_host_knows_falls_back_to_the_mount),
      cmocka_unit_test(test_cgroup_cores_version_1_goes_by_its_own_path),
      cmocka_unit_test(test_cgroup_cores_nonsense_is_no_quota),
      cmocka_unit_test(test_cgroup_memory_limit_above_and_its_other_users_count),
      cmocka_unit_test(test_cgroup_memory_kept_by_files_is_available),
      cmocka_unit_test(test_cgroup_memory_version_1_has_limits_too),
      cmocka_unit_test(test_cgroup_memory_used_over_the_limit_leaves_none),
      cmocka_unit_test(test_cgroup_path_too_long_falls_back_to_the_mount),
      cmocka_unit_test(test_os_cores_and_memory_of_this_machine_are_within_its_groups),
  };
  return unit_main(tests);
}
