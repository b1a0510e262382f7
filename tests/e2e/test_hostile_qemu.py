"""QEMUs that ran well and then send nonsense: the daemon lives, and other domains do not notice."""

import pathlib
import re
import shutil
import time

import pytest
from lab import SUPPORT, sanitized, slowness, wait_until

CHOOSER = """#!/bin/sh
case "$*" in
  *guest=later-* | *guest=powers-off,* | *guest=is-ended,*) exec /usr/bin/python3 /run/lab/fake_qemu.py "$@" ;;
esac
exec /usr/bin/qemu-system-x86_64 "$@"
"""


def start_daemon(lab):
    chooser = pathlib.Path("/run/lab/qemu")
    chooser.write_text(CHOOSER)
    chooser.chmod(0o755)
    shutil.copy(SUPPORT / "fake_qemu.py", "/run/lab")
    return lab.start_daemon("--qemu", str(chooser))


def seconds(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


@pytest.mark.parametrize("how", ["garbage", "half", "endless", "unknown-id", "silent", "hangs-up"])
def test_others_do_not_notice(lab, how):
    daemon = start_daemon(lab)
    daemon.launch_paused("good")
    bad = f"later-{how}"
    daemon.launch(bad, memory_kib=32 * 1024)

    def is_unresponsive():
        daemon.call("domain.status", names=[bad])
        return daemon.state_of(bad)["state"] == "unresponsive"

    wait_until(is_unresponsive, f"{bad} is unresponsive")
    times = []
    for _ in range(100):
        with daemon.connect() as connection:
            times.append(seconds(lambda: connection.call("domain.status", names=["good"])))
            times.append(seconds(lambda: connection.call("domain.list")))
    # But for the few that the machine itself held up.
    assert sorted(times)[190] < 0.020 * slowness()
    assert "problem" not in daemon.call("domain.status", names=["good"])["domains"][0]
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 100 * 1024 * (6 if sanitized() else 1)
    daemon.call("domain.stop", domain_name=bad, force=True, timeout_ms=0)
    assert daemon.state_of(bad)["state"] == "stopped"
    daemon.call("domain.destroy", domain_name=bad)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("powers-off", "the guest has powered off"),
        ("is-ended", "QEMU exited with status 0, told to by somebody else"),
    ],
)
def test_an_end_in_its_first_moment_is_told_as_what_it_is(lab, how, reason):
    daemon = start_daemon(lab)
    daemon.launch(how, memory_kib=32 * 1024)
    assert daemon.wait_for_state(how, "stopped")["reason"] == reason
