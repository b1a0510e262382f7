// The steps that a launch and a destruction are made of, each one verb. The seam at which tests
// make any step fail: LinuxHost does them for real.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <wso/base/task.hpp>
#include <wso/base/unique_fd.hpp>
#include <wso/domain/record.hpp>
#include <wso/proc/process.hpp>
#include <wso/qmp/client.hpp>

namespace wso::domain {

// The files of a domain, open for QEMU.
struct DomainFiles {
  UniqueFd disk;
  UniqueFd script;
  UniqueFd iso;  // empty: no CD-ROM
};

// A QEMU that was started, with the daemon's ends of what it was given.
struct StartedQemu {
  proc::Process process;
  UniqueFd console;   // connected, so that nothing of what the guest prints is lost
  UniqueFd messages;  // of domain/messages.hpp
};

// References that a step takes belong to the coroutine that awaits it.
class Host {
 public:
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  virtual ~Host() = default;

  virtual Task<> write_record(const DomainRecord& record) = 0;
  virtual Task<> erase_record(const std::string& domain_name) = 0;

  // Disk and script have no name yet: a crash leaves nothing of them.
  virtual Task<DomainFiles> make_files(const DomainPlan& plan) = 0;
  // Gives disk and script their names. Never overwrites; leaves none of the two if one fails.
  virtual Task<> publish_files(const DomainRecord& record, const DomainFiles& files) = 0;
  // The domain's own files, by their names.
  virtual Task<DomainFiles> open_files(const DomainRecord& record) = 0;
  // Removes the two, and only the very files that the record names.
  virtual Task<> unpublish_files(const DomainRecord& record) = 0;
  // The same with the logs; the disk stays if `keep_disk` says so.
  virtual Task<> remove_files(const DomainRecord& record) = 0;

  virtual Task<UniqueFd> build_network(const DomainPlan& plan) = 0;
  virtual Task<> destroy_network(const DomainPlan& plan) = 0;

  // QEMU with its vCPUs stopped.
  virtual Task<StartedQemu> start_qemu(const DomainPlan& plan, const DomainFiles& files,
                                       const UniqueFd& tap) = 0;
  // QEMU of this domain, if one runs: by the record's identity, or else by its UUID.
  virtual Task<std::optional<proc::Process>> find_qemu(const DomainRecord& record) = 0;
  // Asks it to end, then kills it; done when it is gone, with its channels.
  virtual Task<> stop_qemu(const DomainPlan& plan, const proc::Process& process) = 0;
  // The sockets and the FIFO of a QEMU that has gone by itself, or was never started.
  virtual Task<> remove_channels(const DomainPlan& plan) = 0;

  virtual Task<std::shared_ptr<qmp::Client>> connect_monitor(const DomainPlan& plan,
                                                             const StartedQemu& qemu) = 0;
  // That the one who answers is this domain's QEMU, with its vCPUs stopped.
  virtual Task<> verify(const DomainPlan& plan, const std::shared_ptr<qmp::Client>& monitor) = 0;
  virtual Task<> resume(const std::shared_ptr<qmp::Client>& monitor) = 0;
};

}  // namespace wso::domain
