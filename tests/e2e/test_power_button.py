"""What a guest's power button was pressed for holds when the guest takes longer than the verb's time to heed it,
and when the daemon that pressed it is gone."""

import json
import os
import signal
import socket
import subprocess

import pytest
from lab import RpcError, qemus, wait_until

# Says that the button was pressed, and powers off when it is told to.
SLOW = r"""printf '#!/bin/sh\ntouch /pressed\nwhile [ ! -e /off ]; do sleep 0.1; done\npoweroff -f\n' \
  >/etc/acpi/PWRF/00000080"""


def slow_guest(lab, **params):
    guest = lab.guest("web", **params)
    guest.ssh(SLOW)
    return guest


def let_power_off(guest):
    guest.ssh("touch /off")


def is_off(guest):
    done = subprocess.run(["ping", "-c", "1", "-W", "1", guest.address], capture_output=True)
    return done.returncode != 0


def record(daemon):
    return json.loads((daemon.workdir / "domains/web.json").read_text())


def press_and_lose_daemon(guest, daemon, verb, how=signal.SIGKILL):
    with daemon.connect() as connection:
        connection.send(f"domain.{verb}", domain_name="web", timeout_ms=600_000)
        guest.ssh("until [ -e /pressed ]; do sleep 0.1; done")
        daemon.stop(how)


def reset(daemon):
    """As a daemon does that is killed before it lets the guest go on."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(60)
        monitor.connect(record(daemon)["monitor_path"])
        lines = monitor.makefile("r")
        lines.readline()

        def execute(command):
            monitor.sendall(json.dumps({"execute": command}).encode() + b"\n")
            while "return" not in (answer := json.loads(lines.readline())):
                pass
            return answer["return"]

        execute("qmp_capabilities")
        execute("system_reset")
        wait_until(lambda: execute("query-status")["status"] == "prelaunch", "it is reset")


def expect_comes_up_again(guest, daemon):
    wait_until(lambda: "domain.rebooted" in daemon.log, "it is rebooted")
    state = daemon.call("domain.status")["domains"][0]
    assert (state["state"], state["pid"]) == ("running", guest.state["pid"])
    assert state["live"]["qemu_status"] == "running"
    assert record(daemon)["pressed_for"] == "none"


def test_a_reboot_that_takes_longer_than_its_verb(lab, daemon):
    guest = slow_guest(lab)
    with pytest.raises(RpcError, match="web has not powered off .* within 300 ms: .* comes up when it does") as error:
        daemon.call("domain.reboot", domain_name="web", timeout_ms=300)
    assert error.value.code == "timeout"
    assert daemon.state_of("web")["state"] == "running"
    let_power_off(guest)
    expect_comes_up_again(guest, daemon)
    # From now on a power-off is one.
    guest.wait_for_ssh()
    guest.ssh("(sleep 0.2; poweroff -f) >/dev/null 2>&1 </dev/null &")
    assert daemon.wait_for_state("web", "stopped")["reason"] == "the guest has powered off"


@pytest.mark.parametrize(
    ("goes_off", "how"),
    [
        ("before", signal.SIGKILL),
        ("half", signal.SIGKILL),
        ("after", signal.SIGTERM),
    ],
)
def test_a_reboot_that_the_daemon_does_not_live_to_see(lab, daemon, goes_off, how):
    guest = slow_guest(lab)
    press_and_lose_daemon(guest, daemon, "reboot", how)
    if goes_off != "after":
        let_power_off(guest)
        wait_until(lambda: is_off(guest), "the guest is off")
    if goes_off == "half":
        reset(daemon)
    daemon.log_path.write_text("")
    again = lab.start_daemon()
    if goes_off == "after":
        let_power_off(guest)
    expect_comes_up_again(guest, again)


def test_a_stop_that_the_daemon_does_not_live_to_see(lab, daemon):
    """One that the user has stopped is not restarted."""
    guest = slow_guest(lab, restart="always")
    press_and_lose_daemon(guest, daemon, "stop")
    again = lab.start_daemon()
    let_power_off(guest)
    expect_stays_stopped(again)


def test_a_stop_that_takes_longer_than_its_verb(lab, daemon):
    guest = slow_guest(lab, restart="always")
    with pytest.raises(RpcError, match="has not powered off within 300 ms"):
        daemon.call("domain.stop", domain_name="web", timeout_ms=300)
    assert record(daemon)["state"] == "running"
    let_power_off(guest)
    expect_stays_stopped(daemon)


def expect_stays_stopped(daemon):
    assert daemon.wait_for_state("web", "stopped")["reason"] == "the guest has powered off"
    assert not record(daemon)["restart_pending"]
    assert qemus() == []


def test_a_guest_that_begins_anew_has_not_heeded_it(daemon):
    daemon.launch("web", memory_kib=32 * 1024, restart="always")
    with pytest.raises(RpcError, match="within 100 ms"):
        daemon.call("domain.reboot", domain_name="web", timeout_ms=100)
    assert record(daemon)["pressed_for"] == "reboot"
    daemon.call("domain.reset", domain_name="web")
    wait_until(lambda: record(daemon)["pressed_for"] == "none", "it is on record")


def test_a_button_that_cannot_be_pressed_was_not(daemon):
    pid = daemon.launch("web", memory_kib=32 * 1024)["pid"]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(RpcError, match="no answer"):
        daemon.call("domain.reset", domain_name="web")
    with pytest.raises(RpcError, match="reboot web: QEMU does not answer: stop it by force"):
        daemon.call("domain.reboot", domain_name="web")
    assert record(daemon)["pressed_for"] == "none"
    os.kill(pid, signal.SIGCONT)
    daemon.wait_for_state("web", "running")
