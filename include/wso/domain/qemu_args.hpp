// QEMU's command line as a pure function. Sources: qemu(1) and the QAPI schema of QEMU 7.2.
#pragma once

#include <string>
#include <vector>

#include <wso/domain/plan.hpp>

namespace wso::domain {

// The open files that QEMU is started with, under the numbers that they have in the daemon.
struct QemuFds {
  int monitor = -1;  // listening
  int console = -1;  // listening
  int tap = -1;
  int disk = -1;            // read and write
  int iso = -1;             // read; -1: no CD-ROM
  int network_script = -1;  // read
};

// Without the program's own name. QEMU comes up with its vCPUs stopped.
std::vector<std::string> qemu_arguments(const DomainPlan& plan, const std::string& accel,
                                        const QemuFds& fds);

}  // namespace wso::domain
