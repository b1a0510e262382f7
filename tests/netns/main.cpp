// Runs the tests of one binary in a network namespace of their own, so that no packet and no link
// of theirs is ever seen outside. Before any thread exists: a namespace belongs to a thread.
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

namespace {

void must(int result, const char* what) {
  if (result == 0) return;
  std::perror(what);
  std::exit(EXIT_FAILURE);
}

// One CPU: packets then arrive in the order in which they were sent, so that a test knows that a
// packet was dropped as soon as a later one has arrived.
void stay_on_one_cpu() {
  cpu_set_t allowed;
  must(::sched_getaffinity(0, sizeof allowed, &allowed), "sched_getaffinity");
  int first = 0;
  while (!CPU_ISSET(first, &allowed)) ++first;
  CPU_ZERO(&allowed);
  CPU_SET(first, &allowed);
  must(::sched_setaffinity(0, sizeof allowed, &allowed), "sched_setaffinity");
}

}  // namespace

int main(int argc, char** argv) {
  must(::unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare (are you root?)");
  must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make the mounts private");
  // /sys shows the network of whoever mounted it.
  must(::mount("sysfs", "/sys", "sysfs", 0, nullptr), "mount /sys");
  stay_on_one_cpu();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
