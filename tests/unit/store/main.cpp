// The tests fill and write-protect file systems of their own: in a mount namespace of their own,
// and with all that they mount it ends with the process.
#include <cstdio>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    std::perror("a mount namespace of its own");
    return 1;
  }
  return RUN_ALL_TESTS();
}
