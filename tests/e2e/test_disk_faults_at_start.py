"""Disks that are full or fail, and a kill, under every write of a daemon that starts."""

import json
import os
import re
import signal

import pytest
from failing_disk import STATE, WRITE_ERROR, disk, look, state_of
from file_faults import failing_sync, full_disk, kill
from lab import everything, qemus, wait_until


def rewrite_record(**fields):
    path = STATE / "domains/web.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def leave_alive(_pid):
    pass


def leave_gone(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not qemus(), "QEMU ends")


def leave_launching(_pid):
    rewrite_record(state="launching", pid=0, start_time=0)


def leave_starting(_pid):
    rewrite_record(state="starting", pid=0, start_time=0)


def leave_stopping(_pid):
    rewrite_record(state="stopping")


def leave_destroying(_pid):
    rewrite_record(state="destroying")


# What a daemon that was killed has left, and what the next one makes of it.
LEFT = {
    leave_alive: "paused",
    leave_gone: "stopped",
    leave_launching: None,
    leave_starting: "stopped",
    leave_stopping: "running",
    leave_destroying: None,
}


@pytest.mark.parametrize("fault", [full_disk, failing_sync, kill], ids=["full", "sync", "kill"])
@pytest.mark.parametrize("leave", LEFT, ids=lambda leave: leave.__name__.removeprefix("leave_"))
def test_every_write_of_a_start_fails(bench, leave, fault):
    """It tells the truth or ends with the reason; and the next one, on a disk that is well, finds all in order."""
    n, struck = 0, True
    while struck:
        daemon = bench.daemon
        daemon.launch_paused("web")
        daemon.call("domain.resume", domain_name="web")
        if LEFT[leave] != "running":
            daemon.call("domain.pause", domain_name="web")
        before, disk_before = look(daemon), disk()
        daemon.stop(signal.SIGKILL)
        leave(before["pid"])
        bench.lab.daemons.remove(daemon)
        bench.faults.arm(fault, after=n)
        daemon = bench.daemon = bench.lab.start_daemon(wrapper=bench.faults.wrapper, ready=False)
        up = is_up(daemon)
        if up and fault is not kill:
            assert state_of(look(daemon)) in (LEFT[leave], "stopped")
        assert up or fault is kill or re.search(WRITE_ERROR, daemon.log)
        struck = bench.faults.disarm()
        bench.restart()
        found = look(bench.daemon)
        assert state_of(found) == LEFT[leave]
        if state_of(found) in ("paused", "running"):
            assert found["pid"] == before["pid"]
        if found:
            assert disk() == disk_before
            bench.daemon.call("domain.destroy", domain_name="web")
        assert everything(bench.daemon) == bench.empty
        print(f"after {n} writes: {struck}")
        n += 1


def is_up(daemon):
    """False if it has ended instead."""

    def decided():
        if daemon.process.poll() is not None:
            return "ended"
        try:
            daemon.call("daemon.info")
        except (OSError, AssertionError):
            return None
        return "up"

    return wait_until(decided, "it is up, or has ended") == "up"
