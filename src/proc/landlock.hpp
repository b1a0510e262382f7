// What a program may open by name: Landlock, as in the kernel's
// Documentation/userspace-api/landlock.rst.
#pragma once

#include <string>
#include <vector>

#include <wso/base/unique_fd.hpp>

namespace wso::proc {

// A ruleset that leaves of the file system what SpawnSpec says. Empty if this kernel has no
// Landlock.
UniqueFd make_landlock_ruleset(const std::vector<std::string>& readable,
                               const std::vector<std::string>& devices,
                               const std::vector<int>& inherited_fds);

// For the calling thread, and what it executes, for good. Makes nothing but a system call; -1 and
// errno if that fails. Without a ruleset nothing is restricted.
long restrict_by_landlock(const UniqueFd& ruleset);

}  // namespace wso::proc
