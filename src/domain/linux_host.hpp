// The Host that does it for real: files, kernel objects, QEMU. Blocking work runs on the worker.
#pragma once

#include <wso/domain/host.hpp>
#include <wso/domain/network.hpp>
#include <wso/store/record_store.hpp>

namespace wso::domain {

class LinuxHost final : public Host {
 public:
  // All references must outlive it.
  LinuxHost(const asio::any_io_executor& executor, asio::thread_pool& worker,
            const Settings& settings);

  // Networks::claim(), before the worker has any work.
  bool claim_networks() { return networks_.claim(); }
  Task<store::LoadedRecords> load_records();
  Task<std::filesystem::path> set_aside_record(const std::string& domain_name);
  Task<> write_boot_marker(const std::filesystem::path& path, const std::string& boot_id);
  // Networks::start() and stop() on the worker.
  Task<std::vector<KeptNetwork>> start_networks(std::vector<DomainPlan> running,
                                                std::vector<DomainPlan> gone);
  Task<> stop_networks();

  // What Networks has for damage done by others; the watches are for the executor's own thread.
  net::Watch& link_watch() { return networks_.link_watch(); }
  nft::Watch& firewall_watch() { return networks_.firewall_watch(); }
  Task<std::vector<std::string>> mend_network(DomainPlan plan);
  Task<> mend_firewall();
  Task<bool> mend_forwarding();

  Task<> write_record(const DomainRecord& record) override;
  Task<> erase_record(const std::string& domain_name) override;
  Task<DomainFiles> make_files(const DomainPlan& plan) override;
  Task<> publish_files(const DomainRecord& record, const DomainFiles& files) override;
  Task<DomainFiles> open_files(const DomainRecord& record) override;
  Task<> unpublish_files(const DomainRecord& record) override;
  Task<> remove_files(const DomainRecord& record) override;
  Task<UniqueFd> build_network(const DomainPlan& plan) override;
  Task<> destroy_network(const DomainPlan& plan) override;
  Task<StartedQemu> start_qemu(const DomainPlan& plan, const DomainFiles& files,
                               const UniqueFd& tap) override;
  Task<std::optional<proc::Process>> find_qemu(const DomainRecord& record) override;
  Task<> stop_qemu(const DomainPlan& plan, const proc::Process& process) override;
  Task<> remove_channels(const DomainPlan& plan) override;
  Task<std::shared_ptr<qmp::Client>> connect_monitor(const DomainPlan& plan,
                                                     const StartedQemu& qemu) override;
  Task<> verify(const DomainPlan& plan, const std::shared_ptr<qmp::Client>& monitor) override;
  Task<> resume(const std::shared_ptr<qmp::Client>& monitor) override;

 private:
  // Networks that are destroyed together, as each has to wait for the kernel's grace periods.
  struct Batch;

  asio::thread_pool& worker_;
  const Settings& settings_;
  store::RecordStore records_;
  Networks networks_;
  std::shared_ptr<Batch> next_batch_;
  bool destroying_ = false;
  asio::steady_timer batch_done_;
};

}  // namespace wso::domain
