// The real host, with a test's hand on it before and after every step.
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include <wso/domain/lifecycle.hpp>

#include "../../src/domain/linux_host.hpp"

namespace wso::domain {

class WrappedHost : public Host {
 public:
  explicit WrappedHost(LinuxHost& real) : real_(real) {}

  // "record STATE", for each state that is written.
  Task<> write_record(const DomainRecord& record) override {
    return step("record " + std::string(wso::name(record.state)), real_.write_record(record));
  }
  Task<> erase_record(const std::string& name) override {
    return step("erase record", real_.erase_record(name));
  }
  Task<DomainFiles> make_files(const DomainPlan& plan) override {
    return step("make files", real_.make_files(plan));
  }
  Task<> publish_files(const DomainRecord& record, const DomainFiles& files) override {
    return step("publish files", real_.publish_files(record, files));
  }
  Task<DomainFiles> open_files(const DomainRecord& record) override {
    return step("open files", real_.open_files(record));
  }
  Task<> unpublish_files(const DomainRecord& record) override {
    return step("unpublish files", real_.unpublish_files(record));
  }
  Task<> remove_files(const DomainRecord& record) override {
    return step("remove files", real_.remove_files(record));
  }
  Task<UniqueFd> build_network(const DomainPlan& plan) override {
    return step("build network", real_.build_network(plan));
  }
  Task<> destroy_network(const DomainPlan& plan) override {
    return step("destroy network", real_.destroy_network(plan));
  }
  Task<StartedQemu> start_qemu(const DomainPlan& plan, const DomainFiles& files,
                               const UniqueFd& tap) override {
    return step("start QEMU", real_.start_qemu(plan, files, tap));
  }
  Task<std::optional<proc::Process>> find_qemu(const DomainRecord& record) override {
    return step("find QEMU", real_.find_qemu(record));
  }
  Task<> stop_qemu(const DomainPlan& plan, const proc::Process& process) override {
    return step("stop QEMU", real_.stop_qemu(plan, process));
  }
  Task<> remove_channels(const DomainPlan& plan) override {
    return step("remove channels", real_.remove_channels(plan));
  }
  Task<std::shared_ptr<qmp::Client>> connect_monitor(const DomainPlan& plan,
                                                     const StartedQemu& qemu) override {
    return step("connect monitor", real_.connect_monitor(plan, qemu));
  }
  Task<> verify(const DomainPlan& plan, const std::shared_ptr<qmp::Client>& monitor) override {
    return step("verify", real_.verify(plan, monitor));
  }
  Task<> resume(const std::shared_ptr<qmp::Client>& monitor) override {
    return step("resume", real_.resume(monitor));
  }

 protected:
  virtual void before(const std::string& step) = 0;  // may throw in the step's place
  virtual void after(const std::string& step) = 0;

 private:
  template <typename T>
  Task<T> step(std::string name, Task<T> work) {
    before(name);
    if constexpr (std::is_void_v<T>) {
      co_await std::move(work);
      after(name);
    } else {
      T result = co_await std::move(work);
      after(name);
      co_return result;
    }
  }

  LinuxHost& real_;
};

}  // namespace wso::domain
