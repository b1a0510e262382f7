"""Disks that are full or fail, and a kill, under every write of every operation: it fails with an error
that says so, what was there stays, and when the disk is well again the same operation succeeds."""

import contextlib
import dataclasses
import os
import re
import signal

import pytest
from failing_disk import WRITE_ERROR, disk, look, state_of
from file_faults import failing_sync, full_disk, kill
from lab import RpcError, everything, qemus, wait_until


@dataclasses.dataclass
class Operation:
    before: str | None  # the domain's state; None: there is none
    method: str
    params: dict
    after: str | None
    n_writes: int  # that it has today, at the least
    n_syncs: int

    def __str__(self):
        return f"{self.method.removeprefix('domain.')}-{self.before}"

    def request(self, daemon):
        """The error that it has failed with, or ""."""
        with daemon.connect() as connection:
            connection.send(self.method, domain_name="web", **self.params)
            try:
                reply = connection.receive()
            except ConnectionError:
                reply = None
        if reply is None:
            return "killed"
        return reply["error"]["message"] if "error" in reply else ""


OPERATIONS = [
    Operation(None, "domain.launch", {"paused": True, "memory_kib": 32 * 1024}, "paused", 15, 3),
    Operation("stopped", "domain.start", {"paused": True}, "paused", 8, 3),
    Operation("paused", "domain.stop", {"force": True, "timeout_ms": 0}, "stopped", 8, 3),
    Operation("running", "domain.pause", {}, "paused", 3, 1),
    Operation("paused", "domain.resume", {}, "running", 3, 1),
    Operation("paused", "domain.destroy", {}, None, 3, 2),
    Operation("stopped", "domain.destroy", {}, None, 3, 2),
]
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def prepare(daemon, state):
    if state is None:
        return
    daemon.launch("web", paused=state != "running", memory_kib=32 * 1024)
    if state == "stopped":
        daemon.call("domain.stop", domain_name="web", force=True, timeout_ms=0)


def finish(bench, operation):
    """All is well again: what is left to do of the operation succeeds."""
    state = state_of(look(bench.daemon))
    if state != operation.after:
        assert operation.request(bench.daemon) == ""
        assert state_of(look(bench.daemon)) == operation.after
    if operation.after is not None:
        bench.daemon.call("domain.destroy", domain_name="web")
    assert everything(bench.daemon) == bench.empty


def strike(bench, operation, fault, n, crash):
    """The operation with a fault from the n-th write on; the calls that were struck."""
    prepare(bench.daemon, operation.before)
    before, disk_before = look(bench.daemon), disk()
    bench.faults.arm(fault, after=n)
    error = operation.request(bench.daemon)
    listed = None
    if error != "killed":
        try:
            listed = look(bench.daemon)
        except ConnectionError:  # killed by a write that came after the answer
            error = "killed"
    if error != "killed":
        if error:
            assert re.search(WRITE_ERROR, error)
            assert state_of(listed) in (operation.before, "stopped")
        else:
            assert state_of(listed) == operation.after
    if error == "killed" or crash:
        bench.daemon.stop(signal.SIGKILL)
        struck = bench.faults.disarm()
        bench.restart()
        found = look(bench.daemon)
        if error != "killed" and state_of(listed) != state_of(found):
            # Half a destruction, which the start has brought to its end.
            assert (operation.after, state_of(listed), found) == (None, "stopped", None)
        assert state_of(found) in (operation.before, operation.after)
    else:
        struck = bench.faults.disarm()
        found = listed
    if state_of(found) == operation.before == "paused":
        assert found["pid"] == before["pid"]
    if found and before:
        half_destroyed = operation.after is None and state_of(found) == "stopped"
        assert disk() == disk_before or (half_destroyed and disk() is None)
    finish(bench, operation)
    return struck


@every_operation
@pytest.mark.parametrize(
    ("fault", "crash"),
    [(full_disk, False), (failing_sync, False), (failing_sync, True), (kill, True)],
    ids=["full", "sync", "sync-crash", "kill"],
)
def test_every_write_fails(bench, operation, fault, crash):
    n = 0
    while struck := strike(bench, operation, fault, n, crash):
        print(f"after {n} writes: {struck}")
        n += 1
    assert n >= (operation.n_syncs if fault is failing_sync else operation.n_writes)


@pytest.mark.parametrize("policy", ["no", "always"])
@pytest.mark.parametrize("fault", [full_disk, failing_sync], ids=["full", "sync"])
def test_a_qemu_that_ends(bench, fault, policy):
    """Its network goes, and the list says so; with a restart policy it is back when the disk is well."""
    daemon, n, struck = bench.daemon, 0, True
    while struck:
        state = daemon.launch_paused("web", restart=policy)
        before = disk()
        bench.faults.arm(fault, after=n)
        os.kill(state["pid"], signal.SIGKILL)
        wait_until(lambda: seen_to(daemon, state["pid"], "stopped", "paused"), "its end is seen to")
        struck = bench.faults.disarm()
        if policy == "no":
            assert state_of(look(daemon)) == "stopped"
            assert daemon.call("domain.start", domain_name="web", paused=True)
        wait_until(lambda: seen_to(daemon, state["pid"], "paused"), "it is back")
        assert state_of(look(daemon)) == "paused"
        assert disk() == before
        daemon.call("domain.destroy", domain_name="web")
        assert everything(daemon) == bench.empty
        n += 1
    assert n > 4


def test_a_qemu_that_ends_while_its_stop_cannot_be_recorded(bench):
    state = bench.daemon.launch_paused("web")

    def full_disk_and_qemu_ends(call):
        if qemus():
            os.kill(state["pid"], signal.SIGKILL)
            # Until the daemon has seen it, unless it waits for this very answer to go on.
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not os.path.exists(f"/proc/{state['pid']}"), "it is reaped", 1)
        return full_disk(call)

    bench.faults.arm(full_disk_and_qemu_ends, after=0)
    with pytest.raises(RpcError, match="No space left"):
        bench.daemon.call("domain.stop", domain_name="web", force=True, timeout_ms=0)
    bench.daemon.wait_for_state("web", "stopped")
    bench.faults.disarm()
    look(bench.daemon)
    bench.daemon.call("domain.destroy", domain_name="web")
    assert everything(bench.daemon) == bench.empty


def test_an_unhealthy_domain_is_helped_when_the_disk_is_well(bench):
    """Until then it runs on."""
    health = {"probe": "ping", "interval_ms": 50, "timeout_ms": 50, "failures": 2}
    health |= {"initial_delay_ms": 500, "on_unhealthy": "restart"}
    state = bench.daemon.launch("web", memory_kib=32 * 1024, health=health)
    bench.faults.arm(full_disk, after=0)
    wait_until(lambda: bench.faults.struck, "it is to be stopped")
    assert bench.daemon.wait_for_state("web", "running")["pid"] == state["pid"]
    bench.faults.disarm()
    wait_until(lambda: seen_to(bench.daemon, state["pid"], "running"), "it is restarted")


def seen_to(daemon, old_pid, *states):
    domain = daemon.call("domain.list")["domains"][0]
    return domain["pid"] != old_pid and domain["state"] in states
