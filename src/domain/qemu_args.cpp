#include <fmt/format.h>

#include <wso/base/json.hpp>
#include <wso/domain/qemu_args.hpp>

namespace wso::domain {
namespace {

// QEMU's keyed options split at commas. JSON does not, so all that has a JSON form in QEMU 7.2 is
// given in it; the rest (-name, -chardev, -fw_cfg) gets only values without a comma: a domain name,
// numbers, the path of a descriptor.
std::string json(const Json& value) { return dump_json(value); }

// Numbers of the sets of -add-fd, by which QEMU is told of files without a name.
constexpr int disk_set = 1;
constexpr int iso_set = 2;

std::string fdset(int set) { return fmt::format("/dev/fdset/{}", set); }

class Arguments {
 public:
  void add(std::string option, std::string value) {
    list_.push_back(std::move(option));
    list_.push_back(std::move(value));
  }
  void add(std::string option) { list_.push_back(std::move(option)); }
  void add_fd(int set, int fd) { add("-add-fd", fmt::format("set={},fd={}", set, fd)); }
  std::vector<std::string> list() && { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

void add_machine(Arguments& arguments, const DomainPlan& plan, const std::string& accel) {
  arguments.add("-name", fmt::format("guest={},debug-threads=on", plan.spec.domain_name));
  arguments.add("-uuid", plan.uuid);
  arguments.add("-machine", "q35,usb=off,vmport=off,dump-guest-core=off");
  arguments.add("-accel", accel);
  arguments.add("-cpu", "max");
  arguments.add("-smp", fmt::format("{}", plan.spec.n_cpus));
  arguments.add("-m", fmt::format("{}k", plan.spec.memory_kib));
  arguments.add("-rtc", "base=utc");
  arguments.add("-boot", "strict=on");
  // A guest that has powered off or panicked leaves QEMU there to tell so, also to a daemon that
  // was not running at that moment. SIGTERM and `quit` still end it.
  arguments.add("-action", "shutdown=pause,panic=pause");
}

void add_drives(Arguments& arguments, const QemuFds& fds) {
  arguments.add_fd(disk_set, fds.disk);
  arguments.add(
      "-blockdev",
      json({{"driver", "qcow2"},
            {"node-name", "disk"},
            {"backing", nullptr},
            {"discard", "unmap"},
            {"file", {{"driver", "file"}, {"filename", fdset(disk_set)}, {"discard", "unmap"}}}}));
  arguments.add("-device", json({{"driver", "virtio-blk-pci"},
                                 {"id", "drive-disk"},
                                 {"drive", "disk"},
                                 {"bootindex", 2}}));
  if (fds.iso < 0) return;
  arguments.add_fd(iso_set, fds.iso);
  arguments.add(
      "-blockdev",
      json({{"driver", "raw"},
            {"node-name", "iso"},
            {"read-only", true},
            {"file", {{"driver", "file"}, {"filename", fdset(iso_set)}, {"read-only", true}}}}));
  arguments.add("-device", json({{"driver", "ide-cd"},
                                 {"id", "drive-iso"},
                                 {"bus", "ide.0"},
                                 {"drive", "iso"},
                                 {"bootindex", 1}}));
}

void add_network(Arguments& arguments, const DomainPlan& plan, const QemuFds& fds) {
  // QAPI takes the descriptor as a string: the name of one, or its number.
  arguments.add("-netdev",
                json({{"type", "tap"}, {"id", "net"}, {"fd", fmt::format("{}", fds.tap)}}));
  // Without the option ROM: nobody boots from this network, and loading it costs time.
  arguments.add("-device", json({{"driver", "virtio-net-pci"},
                                 {"id", "nic"},
                                 {"netdev", "net"},
                                 {"mac", net::to_string(plan.mac)},
                                 {"romfile", ""}}));
  // -fw_cfg reads by plain open(2), which knows no fdset.
  arguments.add("-fw_cfg",
                fmt::format("name=opt/wso/netconfig,file=/proc/self/fd/{}", fds.network_script));
}

void add_console(Arguments& arguments, const QemuFds& fds) {
  arguments.add("-chardev", fmt::format("socket,id=console,fd={},server=on,wait=off", fds.console));
  arguments.add("-device",
                json({{"driver", "isa-serial"}, {"id", "serial"}, {"chardev", "console"}}));
}

void add_monitor(Arguments& arguments, const QemuFds& fds) {
  arguments.add("-chardev", fmt::format("socket,id=monitor,fd={},server=on,wait=off", fds.monitor));
  arguments.add("-mon", "chardev=monitor,mode=control");
}

}  // namespace

std::vector<std::string> qemu_arguments(const DomainPlan& plan, const std::string& accel,
                                        const QemuFds& fds) {
  Arguments arguments;
  add_machine(arguments, plan, accel);
  arguments.add("-nodefaults");
  arguments.add("-no-user-config");
  arguments.add("-display", "none");
  arguments.add("-S");
  arguments.add("-sandbox",
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  arguments.add("-msg", "timestamp=on");
  add_monitor(arguments, fds);
  add_console(arguments, fds);
  add_drives(arguments, fds);
  add_network(arguments, plan, fds);
  arguments.add("-object", json({{"qom-type", "rng-builtin"}, {"id", "rng"}}));
  arguments.add("-device", json({{"driver", "virtio-rng-pci"}, {"rng", "rng"}}));
  arguments.add("-device", json({{"driver", "pvpanic"}}));
  return std::move(arguments).list();
}

}  // namespace wso::domain
