"""What a guest is told, run inside a real one."""

import os
import subprocess

from lab import DEADLINE, wait_until


def network_of(guest):
    return guest.ssh(
        "cat /etc/network/interfaces /etc/resolv.conf; ip -4 address show | grep inet; ip route"
    )


def test_the_script_works_twice_and_survives_a_reboot(lab, daemon):
    guest = lab.guest("web")
    script = daemon.call("domain.netconfig", domain_name="web")["script"]
    path = daemon.disks / "wso-web-netconfig.sh"
    assert path.read_text() == script == daemon.wsoctl("netconfig", "web").stdout
    told = guest.ssh("cat /sys/firmware/qemu_fw_cfg/by_name/opt/wso/netconfig/raw")
    assert told == script

    before = network_of(guest)
    assert "inet 192.168.100." in before and "nameserver 8.8.8.8" in before
    assert "default via 192.168.100.1" in before
    for _ in range(2):
        done = subprocess.run(
            guest.ssh_command("sh -s"), input=script, capture_output=True, text=True, timeout=DEADLINE
        )
        assert done.returncode == 0, done.stderr
        assert network_of(guest) == before

    # From now on the guest has but its own files to go by.
    guest.ssh("touch /state/no-netconfig; cp /proc/sys/kernel/random/boot_id /state/before; sync")
    guest.ssh_fails("reboot")
    boot_id = "/proc/sys/kernel/random/boot_id"

    def is_back():
        return not guest.ssh_fails(f"! cmp -s {boot_id} /state/before")

    wait_until(is_back, "the guest is back")
    assert network_of(guest) == before
    assert os.path.exists(path)
