// What a program that wso starts finds around it, asked of the kernel from inside the program.
#include <algorithm>
#include <csignal>
#include <optional>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "program_test.hpp"

namespace wso::proc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// The words behind "KEY:" in a file such as /proc/PID/status.
std::vector<std::string> field(const std::string& status, const std::string& key) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + ":")) return words_of(line.substr(key.size() + 1));
  ADD_FAILURE() << "no " << key << " in " << status;
  return {};
}

class ConfinementTest : public ProgramTest {
 protected:
  std::string status() { return output_of(spec_of("/bin/cat", {"/proc/self/status"})); }

  // The numbers of the file descriptors that are open in the program.
  std::set<int> open_fds(const std::vector<int>& inherited) {
    // The directory that the shell reads them from is closed again when it looks at the links.
    auto spec = shell("for fd in /proc/$$/fd/*; do [ -L $fd ] && echo ${fd##*/}; done; true");
    spec.inherited_fds = inherited;
    std::set<int> fds;
    for (const auto& word : words_of(output_of(spec))) fds.insert(std::stoi(word));
    return fds;
  }
};

TEST_F(ConfinementTest, RunsAsTheUserAndTheGroup) {
  const std::string found = status();
  const auto user = std::to_string(uid);
  const auto group = std::to_string(gid);
  EXPECT_THAT(field(found, "Uid"), ElementsAre(user, user, user, user));
  EXPECT_THAT(field(found, "Gid"), ElementsAre(group, group, group, group));
}

TEST_F(ConfinementTest, IsInTheGroupsThatItIsGivenAndInNoOthers) {
  std::vector<gid_t> ours(64);
  ours.resize(static_cast<std::size_t>(::getgroups(64, ours.data())));
  const std::vector<gid_t> many = {0, 4, 27};
  ASSERT_EQ(::setgroups(many.size(), many.data()), 0);
  const std::string without = status();
  auto spec = spec_of("/bin/cat", {"/proc/self/status"});
  spec.supplementary_groups = {108};
  const std::string with = output_of(spec);
  ASSERT_EQ(::setgroups(ours.size(), ours.data()), 0);
  EXPECT_THAT(field(without, "Groups"), ElementsAre());
  EXPECT_THAT(field(with, "Groups"), ElementsAre("108"));
}

void expect_no_capabilities(const std::string& status) {
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_THAT(field(status, set), ElementsAre("0000000000000000")) << set;
}

TEST_F(ConfinementTest, HasNoCapabilities) { expect_no_capabilities(status()); }

TEST_F(ConfinementTest, HasNoCapabilitiesOfAParentThatHandsThemDown) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct ours[_LINUX_CAPABILITY_U32S_3] = {};
  ASSERT_EQ(::syscall(SYS_capget, &header, ours), 0);
  __user_cap_data_struct inheritable[_LINUX_CAPABILITY_U32S_3] = {ours[0], ours[1]};
  inheritable[0].inheritable |= 1U << CAP_NET_ADMIN;
  ASSERT_EQ(::syscall(SYS_capset, &header, inheritable), 0);
  ASSERT_EQ(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0), 0);
  const std::string found = status();
  ASSERT_EQ(::syscall(SYS_capset, &header, ours), 0);
  expect_no_capabilities(found);
}

TEST_F(ConfinementTest, HasNoCapabilitiesOfAParentThatKeepsThemOverAChangeOfUser) {
  ASSERT_EQ(::prctl(PR_SET_KEEPCAPS, 1), 0);
  const std::string found = status();
  ASSERT_EQ(::prctl(PR_SET_KEEPCAPS, 0), 0);
  expect_no_capabilities(found);
}

TEST_F(ConfinementTest, CanGainNoPrivileges) {
  EXPECT_THAT(field(status(), "NoNewPrivs"), ElementsAre("1"));
}

TEST_F(ConfinementTest, BlocksAndIgnoresNoSignalsOfItsParent) {
  sigset_t blocked;
  sigset_t before;
  ::sigemptyset(&blocked);
  for (const int number : {SIGUSR1, SIGTERM, SIGCHLD, SIGRTMAX}) ::sigaddset(&blocked, number);
  ASSERT_EQ(::sigprocmask(SIG_BLOCK, &blocked, &before), 0);
  for (const int number : {SIGHUP, SIGINT, SIGPIPE, SIGRTMIN}) ::signal(number, SIG_IGN);
  const std::string found = status();
  for (const int number : {SIGHUP, SIGINT, SIGPIPE, SIGRTMIN}) ::signal(number, SIG_DFL);
  ASSERT_EQ(::sigprocmask(SIG_SETMASK, &before, nullptr), 0);
  for (const char* set : {"SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"})
    EXPECT_THAT(field(found, set), ElementsAre("0000000000000000")) << set;
}

TEST_F(ConfinementTest, LeadsASessionOfItsOwnWithoutATerminal) {
  const auto stat = words_of(output_of(spec_of("/bin/cat", {"/proc/self/stat"})));
  ASSERT_GT(stat.size(), 6U);
  const std::string& pid = stat[0];
  EXPECT_EQ(stat[4], pid) << "process group";
  EXPECT_EQ(stat[5], pid) << "session";
  EXPECT_EQ(stat[6], "0") << "terminal";
}

TEST_F(ConfinementTest, HasAnEmptyNetworkNamespace) {
  const auto devices = output_of(spec_of("/bin/cat", {"/proc/self/net/dev"}));
  std::istringstream lines(devices);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);)
    if (line.find(':') != std::string::npos) names.push_back(words_of(line).front());
  EXPECT_THAT(names, ElementsAre("lo:")) << devices;
  EXPECT_THAT(output_of(spec_of("/bin/cat", {"/proc/self/net/if_inet6"})), "");
}

TEST_F(ConfinementTest, StandsInTheRootDirectory) {
  EXPECT_EQ(output_of(spec_of("/bin/readlink", {"/proc/self/cwd"})), "/\n");
}

TEST_F(ConfinementTest, MakesFilesForItsUserOnlyAndDumpsNoCore) {
  EXPECT_THAT(field(status(), "Umask"), ElementsAre("0077"));
  const auto limits = output_of(spec_of("/bin/cat", {"/proc/self/limits"}));
  EXPECT_THAT(limits, testing::ContainsRegex("Max core file size +0 +0 "));
}

TEST_F(ConfinementTest, HasNothingOfItsParentsEnvironment) {
  EXPECT_EQ(output_of(spec_of("/usr/bin/env")), "LANG=C\n");
}

TEST_F(ConfinementTest, GetsItsArgumentsAsTheyAre) {
  const auto spec = spec_of("/usr/bin/printf", {"<%s>", "a b", "", "*", "$HOME", "a\nb", "--"});
  EXPECT_EQ(output_of(spec), "<a b><><*><$HOME><a\nb><-->");
}

TEST_F(ConfinementTest, ReadsNothingAndIsHeardOnBothOutputs) {
  EXPECT_EQ(output_of(shell("/bin/cat; echo out; echo err >&2")), "out\nerr\n");
  EXPECT_EQ(output_of(spec_of("/bin/readlink", {"/proc/self/fd/0"})), "/dev/null\n");
}

TEST_F(ConfinementTest, HasAnInputAlsoIfItsParentHasNone) {
  const auto spec = spec_of("/bin/readlink", {"/proc/self/fd/0"});
  const UniqueFd ours(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  ::close(STDIN_FILENO);
  const std::string found = output_of(spec);
  ASSERT_EQ(::dup2(ours.get(), STDIN_FILENO), STDIN_FILENO);
  EXPECT_EQ(found, "/dev/null\n");
}

TEST_F(ConfinementTest, HasNoFileDescriptorsButThoseThatItIsGiven) {
  EXPECT_THAT(open_fds({}), UnorderedElementsAre(0, 1, 2));
  std::vector<UniqueFd> ours;
  for (int i = 0; i < 300; ++i) {
    const int close_on_exec = i % 2 == 0 ? O_CLOEXEC : 0;
    ours.emplace_back(::open("/dev/null", O_RDONLY | close_on_exec));
    ASSERT_TRUE(ours.back());
  }
  EXPECT_THAT(open_fds({}), UnorderedElementsAre(0, 1, 2));
  // In no order, with and without O_CLOEXEC, with many of ours between.
  const std::vector<int> given = {ours[299].get(), ours[0].get(), ours[151].get()};
  EXPECT_THAT(open_fds(given), UnorderedElementsAre(0, 1, 2, given[0], given[1], given[2]));
  for (const int fd : given)
    EXPECT_NE(::fcntl(fd, F_GETFD), -1) << "the parent keeps what it hands over";
}

TEST_F(ConfinementTest, UsesWhatItIsGivenUnderItsNumber) {
  Pipe input = make_pipe();
  ASSERT_EQ(::write(input.write_end.get(), "hello", 5), 5);
  input.write_end.reset();
  auto spec = shell(fmt::format("/bin/cat <&{}", input.read_end.get()));
  ASSERT_LT(input.read_end.get(), 10) << "the shell knows no number of two digits";
  spec.inherited_fds = {input.read_end.get()};
  EXPECT_EQ(output_of(spec), "hello");
}

TEST_F(ConfinementTest, OpensNoMoreByNameThanItIsToldTo) {
  ASSERT_GE(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION), 1);
  const std::string script =
      "try() { (eval \"$1\") 2>/dev/null && echo \"$1\"; }; "
      "try 'read line </etc/group'; try 'read line </etc/passwd'; try ': >/dev/null'; "
      "try ': </dev/zero'; try \": >>$1\"; try ': >/tmp/wso-confinement-test'; "
      "try '/bin/ls /usr >/dev/null'; try '/bin/ls / >/dev/null'; rm -f /tmp/wso-confinement-test";
  // Of its user, and yet no more than what it is given.
  const UniqueFd given(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_EQ(::fchown(given.get(), uid, gid), 0);
  const std::string name = fmt::format("/proc/self/fd/{}", given.get());
  auto spec = spec_of("/bin/sh", {"-c", script, "sh", name});
  spec.inherited_fds = {given.get()};
  const std::string everything = output_of(spec);
  spec = spec_of("/bin/sh", {"-c", script, "sh", name});
  spec.inherited_fds = {given.get()};
  spec.readable = {"/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/group", "/nowhere"};
  spec.devices = {"/dev/null"};
  EXPECT_EQ(output_of(spec), fmt::format("read line </etc/group\n: >/dev/null\n: >>{}\n"
                                         "/bin/ls /usr >/dev/null\n",
                                         name));
  EXPECT_EQ(std::count(everything.begin(), everything.end(), '\n'), 8) << everything;
}

TEST_F(ConfinementTest, ChangesNothingInItsParent) {
  const mode_t mask = ::umask(022);
  const pid_t session = ::getsid(0);
  output_of(spec_of("/bin/true"));
  EXPECT_EQ(::umask(mask), 022U);
  EXPECT_EQ(::geteuid(), 0U);
  EXPECT_EQ(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  EXPECT_GT(::prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0), 0);
  EXPECT_EQ(::getsid(0), session);
}

}  // namespace
}  // namespace wso::proc
