"""What guests and QEMUs do by themselves, and what is made of that: restarts, autostart, health."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from lab import GUEST, RpcError, everything, files_of, injected, qemus, run, wait_until


def test_what_guests_do_by_themselves(lab, daemon):
    guest = lab.guest("web")
    pid = daemon.state_of("web")["pid"]
    guest.ssh("(sleep 0.2; reboot -f) >/dev/null 2>&1 </dev/null &")
    wait_until(lambda: "domain.reset" in daemon.log, "the guest reboots")
    guest.wait_for_ssh()
    assert daemon.state_of("web")["pid"] == pid
    guest.ssh("(sleep 0.2; poweroff -f) >/dev/null 2>&1 </dev/null &")
    state = daemon.wait_for_state("web", "stopped")
    assert state["reason"] == "the guest has powered off"
    assert qemus() == []


def test_a_power_off_on_a_disk_that_is_read_only(lab, daemon):
    """The guest is off, whatever can be recorded of it."""
    guest = lab.guest("web")
    run("mount", "--bind", daemon.workdir, daemon.workdir)
    run("mount", "-o", "remount,ro,bind", daemon.workdir)
    try:
        guest.ssh("(sleep 0.2; poweroff -f) >/dev/null 2>&1 </dev/null &")
        state = daemon.wait_for_state("web", "stopped")
        assert "the guest has powered off" in state["reason"] and "Read-only" in state["reason"]
        assert qemus() == []
    finally:
        run("umount", daemon.workdir)
    assert daemon.call("domain.start", domain_name="web", paused=True)["state"] == "paused"


def test_a_qemu_that_does_not_die_when_its_guest_has(lab, daemon):
    """As one that waits for a disk which does not answer: it is seen to when it has died."""
    guest = lab.guest("web", restart="always")
    pid = guest.state["pid"]
    with injected(daemon, "pidfd_send_signal:retval=0"):
        guest.ssh("(sleep 0.2; poweroff -f) >/dev/null 2>&1 </dev/null &")
        wait_until(lambda: "SIGKILL" in daemon.state_of("web")["reason"], "it is not killed")
        state = daemon.state_of("web")
        assert (state["state"], state["pid"]) == ("running", pid)
        assert "virbrweb" in run("nft", "list", "set", "inet", "wso", "guests")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: daemon.state_of("web")["pid"] not in (0, pid), "it is restarted")


def test_a_guest_that_panics(lab, daemon):
    guest = lab.guest("web")
    guest.ssh("(sleep 0.2; echo c > /proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &")
    state = daemon.wait_for_state("web", "stopped")
    assert state["reason"] == "the guest has panicked"


def test_a_power_off_is_known_though_no_daemon_ran(lab, daemon):
    guest = lab.guest("web")
    daemon.stop(signal.SIGKILL)
    guest.ssh("(sleep 0.2; poweroff -f) >/dev/null 2>&1 </dev/null &")

    def is_off():
        done = subprocess.run(["ping", "-c", "1", "-W", "1", guest.address], capture_output=True)
        return done.returncode != 0

    wait_until(is_off, "the guest is off")
    again = lab.start_daemon()
    state = again.wait_for_state("web", "stopped")
    assert state["reason"] == "the guest has powered off"
    assert qemus() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_qemu_that_ends(daemon, number):
    os.kill(daemon.launch("web", memory_kib=32 * 1024)["pid"], number)
    state = daemon.wait_for_state("web", "stopped")
    if number == signal.SIGTERM:
        assert "told to by somebody else" in state["reason"]
    else:
        assert f"killed by signal {number.value}" in state["reason"]
    assert "virbrweb" not in run("ip", "link")


@contextlib.contextmanager
def memory_limit(pid, limit):
    """The process in a memory cgroup of its own, of either version of cgroups, with a limit for what it takes from now on."""
    hierarchy = pathlib.Path("/run/lab/cgroup")
    hierarchy.mkdir()
    group = hierarchy / f"wso-test-{os.urandom(4).hex()}"
    mounted = subprocess.run(["mount", "-t", "cgroup", "-o", "memory", "cgroup", hierarchy], capture_output=True)
    if mounted.returncode == 0:
        limit_file = group / "memory.limit_in_bytes"
    else:
        run("mount", "-t", "cgroup2", "cgroup2", hierarchy)
        (hierarchy / "cgroup.subtree_control").write_text("+memory")
        limit_file = group / "memory.max"
    group.mkdir()
    try:
        limit_file.write_text(str(limit))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the cgroup is empty")
        group.rmdir()
        run("umount", hierarchy)


def test_a_qemu_that_is_killed_for_want_of_memory(daemon):
    launched = daemon.launch_paused("other")
    pid = daemon.launch("web", paused=True, memory_kib=256 * 1024, iso_path=str(GUEST / "guest.iso"))["pid"]
    with daemon.connect() as events, memory_limit(pid, 16 * 1024 * 1024):
        events.call("events.subscribe")
        daemon.call("domain.resume", domain_name="web")
        state = daemon.wait_for_state("web", "stopped")
        assert "signal 9 (Killed), perhaps for want of memory" in state["reason"]
        seen = [events.receive()["params"]["event"] for _ in range(2)]
        assert seen == ["domain.resumed", "domain.stopped"]
    assert qemus() == [launched["pid"]]
    # One that ends for another reason is not said to have lacked memory.
    os.kill(launched["pid"], signal.SIGABRT)
    assert "memory" not in daemon.wait_for_state("other", "stopped")["reason"]


def fast_restarts(lab):
    config = lab.write_config("restart_pause_ms = 10\n")
    return lab.start_daemon("--config", config)


@pytest.mark.parametrize(
    ("policy", "number", "comes_back"),
    [
        ("no", signal.SIGKILL, False),
        ("on-failure", signal.SIGKILL, True),
        ("on-failure", signal.SIGTERM, False),
        ("always", signal.SIGTERM, True),
    ],
)
def test_the_restart_policy(lab, policy, number, comes_back):
    daemon = fast_restarts(lab)
    first = daemon.launch_paused("web", restart=policy)
    os.kill(first["pid"], number)
    if comes_back:
        again = wait_until(lambda: (s := daemon.state_of("web"))["pid"] not in (0, first["pid"]) and s, "restart")
        assert (again["state"], again["n_restarts"]) == ("paused", 1)
        assert again["ip_address"] == first["ip_address"]
        # Who stops it does not want it back.
        daemon.call("domain.stop", domain_name="web", force=True)
    daemon.wait_for_state("web", "stopped")
    assert qemus() == []


def test_restarts_have_a_limit(lab):
    daemon = fast_restarts(lab)
    daemon.launch_paused("web", restart="always", restart_limit=3)
    for _ in range(4):
        pid = wait_until(lambda: daemon.state_of("web")["pid"], "it runs")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: daemon.state_of("web")["pid"] != pid, "it has ended")
    state = wait_until(lambda: "not restarted again" in (s := daemon.state_of("web"))["reason"] and s, "limit")
    assert (state["state"], state["n_restarts"]) == ("stopped", 3)
    # The user may.
    started = daemon.call("domain.start", domain_name="web", paused=True)
    assert (started["state"], started["n_restarts"]) == ("paused", 0)


def test_a_restart_that_is_due_survives_the_daemon(lab):
    daemon = lab.start_daemon("--config", lab.write_config("restart_pause_ms = 60000\n"))
    os.kill(daemon.launch_paused("web", restart="always")["pid"], signal.SIGKILL)
    wait_until(lambda: "domain.restarting" in daemon.log, "the restart is due")
    daemon.stop(signal.SIGKILL)
    again = lab.start_daemon("--config", lab.write_config("restart_pause_ms = 10\n"))
    again.wait_for_state("web", "paused")


def record_of(daemon, name):
    return json.loads((daemon.workdir / f"domains/{name}.json").read_text())


@pytest.mark.parametrize("method", ["domain.destroy", "domain.stop"])
def test_a_domain_is_not_restarted_that_is_destroyed_or_stopped_when_it_is_due(lab, method):
    daemon = lab.start_daemon("--config", lab.write_config("restart_pause_ms = 300\n"))
    before = everything(daemon)
    names = [f"web{n}" for n in range(8)]
    pids = [daemon.launch_paused(name, restart="always")["pid"] for name in names]
    due = []
    with daemon.connect() as events:
        events.call("events.subscribe")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        while len(due) < len(names):
            event = events.receive()["params"]
            if event["event"] == "domain.restarting":
                due.append(event["time_ms"] / 1000 + 0.3)
    options = {"force": True} if method == "domain.stop" else {}
    with daemon.connect() as connection:
        connection.call("daemon.info")
        # The moment itself is what is to be hit: a daemon that sleeps finds both when it wakes up.
        daemon.process.send_signal(signal.SIGSTOP)
        asked = {connection.send(method, domain_name=name, **options): name for name in names}
        time.sleep(max(0.0, max(due) - time.time()))
        daemon.process.send_signal(signal.SIGCONT)
        answers = [connection.receive() for _ in names]
        late = [asked[answer["id"]] for answer in answers if "error" in answer]

        def done(name):
            with contextlib.suppress(RpcError):
                return connection.call(method, domain_name=name, **options)
            return False

        for name in late:
            wait_until(lambda name=name: done(name), f"{name} is no longer busy")
    if method == "domain.stop":
        assert {daemon.state_of(name)["state"] for name in names} == {"stopped"}
        assert not any(record_of(daemon, name)["restart_pending"] for name in names)
        daemon.wsoctl("destroy", *names)
    assert daemon.call("domain.list")["domains"] == []
    wait_until(lambda: everything(daemon) == before, "nothing is left")


def restart_host(daemon):
    """Leaves its workdir, with nothing running and an empty runtime directory."""
    daemon.stop(signal.SIGKILL)
    for pid in qemus():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not qemus(), "all QEMUs are gone")
    run("rm", "-r", daemon.runtime_dir)
    for link in json.loads(run("ip", "-j", "link")):
        if link["ifname"].startswith("virbr"):
            run("ip", "link", "delete", link["ifname"])
    run("nft", "flush", "ruleset")


def test_autostart_after_the_host_was_restarted(lab):
    daemon = lab.start_daemon("--config", lab.write_config("restart_pause_ms = 60000\n"))
    wanted = [daemon.launch_paused(f"auto{n}", autostart=True) for n in range(5)]
    daemon.launch_paused("manual", restart="always")
    os.kill(daemon.launch_paused("due", restart="always")["pid"], signal.SIGKILL)
    wait_until(lambda: "domain.restarting due" in daemon.log, "a restart is due")
    restart_host(daemon)
    again = lab.start_daemon()
    for before in wanted:
        state = again.wait_for_state(before["domain_name"], "paused")
        assert state["ip_address"] == before["ip_address"]
    manual = again.state_of("manual")
    assert (manual["state"], manual["reason"]) == ("stopped", "the host was restarted")
    assert again.state_of("due")["state"] == "stopped"
    for name in ("manual", "due", "auto0"):
        wait_until(lambda: not record_of(again, name)["restart_pending"], "nothing is due any more")
    # A restart of the daemon alone starts nothing.
    again.call("domain.stop", domain_name="auto0", force=True)
    again.stop()
    assert lab.start_daemon().state_of("auto0")["state"] == "stopped"


def test_autostart_goes_on_after_a_kill_of_the_daemon(lab, daemon):
    names = [f"auto{n}" for n in range(5)]
    for name in names:
        daemon.launch_paused(name, autostart=True)
    restart_host(daemon)
    first = lab.start_daemon(ready=False)
    wait_until((first.runtime_dir / "boot").exists, "it has decided what to start")
    first.stop(signal.SIGKILL)
    again = lab.start_daemon()
    for name in names:
        again.wait_for_state(name, "paused")


def test_health(lab, daemon):
    health = {"probe": "tcp", "port": 80, "interval_ms": 100, "timeout_ms": 300, "failures": 2}
    state = daemon.launch(
        "web",
        iso_path=str(GUEST / "guest.iso"),
        memory_kib=128 * 1024,
        health={**health, "failures": 1000},
    )
    assert state["healthcheck_state"] == "initializing"
    daemon.call("domain.wait", domain_name="web", timeout_ms=60_000, **{"for": "healthy"})
    assert daemon.state_of("web")["healthcheck_state"] == "healthy"
    # Bad health without an action is shown, no more.
    daemon.launch_paused("ill", health={**health, "port": 9})
    daemon.call("domain.resume", domain_name="ill")
    state = wait_until(
        lambda: (s := daemon.state_of("ill"))["healthcheck_state"] == "unhealthy" and s, "unhealthy"
    )
    assert state["n_failed_healthchecks"] >= 2
    assert state["state"] == "running"


@pytest.mark.parametrize("action", ["restart", "recreate"])
def test_an_unhealthy_domain_is_helped(lab, action):
    daemon = fast_restarts(lab)
    health = {"probe": "ping", "interval_ms": 50, "timeout_ms": 50, "failures": 2, "on_unhealthy": action}
    files = files_of(daemon)
    first = daemon.launch("web", memory_kib=32768, health=health, restart_limit=2)
    disk = os.stat(first["disk_path"]).st_ino
    console_log = daemon.workdir / "log/web.console"
    wait_until(console_log.exists, "the console is there")
    console_log.write_text("printed by the one that was ill\n")
    with open(first["disk_path"], "r+b") as file:
        file.seek(0, 2)
        file.write(b"marker")
    state = wait_until(lambda: (s := daemon.state_of("web"))["n_restarts"] == 2 and s["pid"] and s, "two restarts")
    assert state["ip_address"] == first["ip_address"]
    same_disk = os.stat(first["disk_path"]).st_ino == disk and b"marker" in open(first["disk_path"], "rb").read()
    assert same_disk == (action == "restart")
    assert console_log.read_text() == "printed by the one that was ill\n"
    # Then it is left as it is.
    wait_until(lambda: "restart_limit" in daemon.log, "the limit")
    assert daemon.state_of("web")["state"] == "running"
    daemon.call("domain.destroy", domain_name="web")
    assert files_of(daemon) == files
