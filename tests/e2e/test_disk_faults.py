"""Disks that are full, fail or turn read-only under every write of every operation: it fails with an error
that says so, what was there stays, and when the disk is well again the same operation succeeds."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal

import pytest
from file_faults import FileFaults, failing_sync, full_disk, kill
from lab import RpcError, everything, qemus, run, wait_until

STATE = pathlib.Path("/run/lab/wso/state")
DISKS = pathlib.Path("/run/lab/wso/disks")
WRITE_ERROR = r"/run/lab/wso/(state|disks)[^:]*: (No space left|Input/output error)"
DISK = DISKS / "wso-web-disk.qcow2"


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


def look(daemon):
    """The domain as the daemon lists it, or None; fails if that is not the truth."""
    domains = daemon.call("domain.list")["domains"]
    alive = [domain["pid"] for domain in domains if domain["state"] in ("running", "paused")]
    assert qemus() == alive
    links = run("ip", "-br", "link")
    rules = run("nft", "list", "set", "inet", "wso", "guests")
    assert links.count("virbrweb") == links.count("vnetweb") == rules.count("virbrweb") == len(alive)
    if alive:
        live = daemon.call("domain.status")["domains"][0]["live"]["qemu_status"]
        assert (live == "running") == (domains[0]["state"] == "running"), live
    return domains[0] if domains else None


def state_of(domain):
    return domain and domain["state"]


def disk():
    return (DISK.stat().st_ino, DISK.read_bytes()) if DISK.exists() else None


class Bench:
    """A daemon whose writes can be made to fail, and what its host is like without a domain."""

    def __init__(self, lab, faults):
        self.lab, self.faults = lab, faults
        self.daemon = lab.start_daemon(wrapper=faults.wrapper)
        self.empty = everything(self.daemon)

    def restart(self):
        self.daemon.stop(signal.SIGKILL)
        self.lab.daemons.remove(self.daemon)
        self.daemon = self.lab.start_daemon(wrapper=self.faults.wrapper)

    def finish(self, operation):
        """All is well again: what is left to do of the operation succeeds."""
        state = state_of(look(self.daemon))
        if state != operation.after:
            assert operation.request(self.daemon) == ""
            assert state_of(look(self.daemon)) == operation.after
        if operation.after is not None:
            self.daemon.call("domain.destroy", domain_name="web")
        assert everything(self.daemon) == self.empty


@pytest.fixture
def bench(lab):
    faults = FileFaults(STATE, DISKS)
    yield Bench(lab, faults)
    faults.disarm()


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
    bench.finish(operation)
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
