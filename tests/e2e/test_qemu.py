"""How QEMU is confined, and that nothing else is run."""

import os
import pathlib
import re
import signal

from lab import GUEST, run, wait_until


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_qemu_has_no_privileges(daemon):
    pids = [daemon.launch_paused(name)["pid"] for name in ("a", "b")]
    users = set()
    for pid in pids:
        status = status_of(pid)
        assert set(status["Uid"].split()) == set(status["Gid"].split())
        assert len(set(status["Uid"].split())) == 1 and status["Uid"].split()[0] != "0"
        users.add(status["Uid"].split()[0])
        assert status["Groups"].split() == []
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        interfaces = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert len(users) == 2, "each domain has a user of its own"


def test_qemu_holds_only_what_it_was_given(daemon):
    pid = daemon.launch_paused("web", iso_path=str(GUEST / "guest.iso"))["pid"]
    targets = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        targets.add(re.sub(r":\[\d+\]$", "", target))
    own = {
        "/dev/null",
        "/dev/net/tun",
        str(GUEST / "guest.iso"),
        str(daemon.disks / "wso-web-disk.qcow2"),
        str(daemon.disks / "wso-web-netconfig.sh"),
        str(daemon.runtime_dir / "web.messages"),
        "socket",
    }
    # What QEMU makes for itself.
    assert {target for target in targets - own if not target.startswith("anon_inode")} == set()


LOOKER = """#!/bin/sh
(read line </etc/passwd) && echo "passwd can be read"
(: >/tmp/wso-test-looker) && rm /tmp/wso-test-looker && echo "/tmp can be written"
(read line </usr/share/seabios/bios-256k.bin) && echo "firmware can be read"
exec /usr/bin/qemu-system-x86_64 "$@"
"""


def test_qemu_opens_no_more_than_it_needs(lab):
    """Though every user may read and write there: Landlock."""
    looker = pathlib.Path("/run/lab/qemu")
    looker.write_text(LOOKER)
    looker.chmod(0o755)
    daemon = lab.start_daemon("--qemu", str(looker))
    daemon.launch_paused("web")
    wait_until(lambda: "can be read" in daemon.wsoctl("logs", "--qemu", "web").stdout, "it has looked")
    said = daemon.wsoctl("logs", "--qemu", "web").stdout
    assert "firmware can be read" in said
    assert "passwd can be read" not in said and "can be written" not in said, said
    assert said.count("Permission denied") == 2


def test_sockets_are_roots_alone(daemon):
    daemon.launch_paused("web")
    for path in daemon.runtime_dir.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert daemon.socket_path.stat().st_mode & 0o777 == 0o660


def test_status_is_live(daemon):
    state = daemon.launch_paused("web", n_cpus=2)
    before = daemon.call("domain.status", names=["web"])["domains"][0]
    assert before["live"]["qemu_status"] == "prelaunch"
    assert before["live"]["n_vcpus"] == 2
    assert {drive["drive"] for drive in before["live"]["drives"]} == {"disk"}
    assert before["pid"] == state["pid"]


def test_counters_of_drives_and_network(lab, daemon):
    guest = lab.guest("web")
    guest.ssh("dd if=/dev/vda of=/dev/null bs=64k count=64 2>/dev/null; ping -c 3 192.168.100.1")
    status = daemon.call("domain.status", names=["web"])["domains"][0]
    assert status["live"]["qemu_status"] == "running"
    disk = next(d for d in status["live"]["drives"] if d["drive"] == "disk")
    assert disk["read_bytes"] >= 64 * 65536
    network = status["live"]["network"]
    assert network["sent_packets"] > 3 and network["received_packets"] > 3


def test_only_qemu_is_executed(lab):
    trace = "/run/lab/trace"
    daemon = lab.start_daemon(
        wrapper=["strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", trace]
    )
    daemon.launch_paused("web")
    daemon.call("domain.status")
    daemon.call("domain.destroy", domain_name="web")
    # strace itself would not pass the signal on.
    os.kill(daemon.call("daemon.info")["pid"], signal.SIGTERM)
    daemon.process.wait(20)
    executed = set(re.findall(r'execve(?:at)?\((?:\w+, )?"([^"]+)"', pathlib.Path(trace).read_text()))
    executed = {os.path.basename(path) for path in executed}
    assert executed == {"wsod", "qemu-system-x86_64"}


def test_a_guest_that_powers_off_is_stopped(lab, daemon):
    guest = lab.guest("web")
    guest.ssh_fails("poweroff")
    wait_until(
        lambda: daemon.call("domain.list")["domains"][0]["state"] == "stopped", "the domain stops"
    )
    state = daemon.call("domain.list")["domains"][0]
    assert state["reason"] == "the guest has powered off"
    assert state["pid"] == 0
    assert "virbrweb" not in run("ip", "link")
    assert sorted(path.name for path in daemon.runtime_dir.iterdir()) == ["boot", "lock"]
    daemon.call("domain.destroy", domain_name="web")


def test_a_killed_qemu_is_noticed(daemon):
    pid = daemon.launch_paused("web")["pid"]
    os.kill(pid, 9)
    wait_until(
        lambda: daemon.call("domain.list")["domains"][0]["state"] == "stopped", "the domain stops"
    )
    assert "signal 9" in daemon.call("domain.list")["domains"][0]["reason"]
