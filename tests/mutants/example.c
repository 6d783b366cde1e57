/* What mutants.lua finds here is in example.txt: nothing before main, nor here: 1 < 2. */
#include <assert.h>
#define TWICE(x) ((x) + (x))

enum { FIRST = 1, SECOND = 1 + 1 };
struct place {
  int of[1];
};
static const int table[] = {0, 1, 1 + 1};
static int *find(const int *from, int count);
static void drop(int *from);

int main(int count, char **argv) {
  static const int inner[] = {0, 1};
  struct place place[1];
  const char *text = "a && b", quote = '!';
  int *found = find(inner, -count), left = count - (int)-count;
  assert(found != 0);
  static_assert(1 == 1, "1 == 1");
  if (MP_BUGGY(EXAMPLE) && count == 1) return 0;
  if (found) drop(found);
  if (count < 2 || !argv) left += table[count & 7]; /* || and && */
  for (int i = 0; i < count; i++) left--;
  switch (count) {
    case 1: drop(found); break;
    default: return left == -1;
  }
  mp_prefetch(found + 1);
  return find(found, TWICE(count)) > found;
}
