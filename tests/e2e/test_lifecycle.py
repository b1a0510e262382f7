"""The life of a domain: its verbs, what guests do by themselves, and what is made of that."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess

import pytest
from lab import BUILD, GUEST, RpcError, everything, files_of, kernel_state, qemus, run, wait_until

VERBS = ("start", "stop", "reboot", "reset", "pause", "resume")

# What each verb does in each state that lasts: the state after it, whether it changed anything, or the
# code of its refusal. (paused QEMUs without a guest: `stop` and `reboot` of a running one need a guest
# that listens, and are tested with one below.)
TABLE = {
    "running": {
        "start": ("running", False),
        "reset": ("running", True),
        "pause": ("paused", True),
        "resume": ("running", False),
    },
    "paused": {
        "start": "wrong_state",
        "stop": "wrong_state",
        "reboot": "wrong_state",
        "reset": ("paused", True),
        "pause": ("paused", False),
        "resume": ("running", True),
    },
    "stopped": {
        "start": ("running", True),
        "stop": ("stopped", False),
        "reboot": "wrong_state",
        "reset": "wrong_state",
        "pause": "wrong_state",
        "resume": "wrong_state",
    },
}


def state_of(daemon, name="web"):
    for domain in daemon.call("domain.list")["domains"]:
        if domain["domain_name"] == name:
            return domain
    return None


def wait_for_state(daemon, state, name="web"):
    return wait_until(
        lambda: (found := state_of(daemon, name)) and found["state"] == state and found,
        f"{name} becomes {state}, and is not {state_of(daemon, name)}",
    )


def bring_to(daemon, state):
    launched = daemon.launch_paused("web")
    if state == "running":
        daemon.call("domain.resume", domain_name="web")
    if state == "stopped":
        daemon.call("domain.stop", domain_name="web", force=True)
    assert state_of(daemon)["state"] == state
    return launched


@pytest.mark.parametrize(
    ("state", "verb"), [(state, verb) for state, verbs in TABLE.items() for verb in verbs]
)
def test_the_table(daemon, state, verb):
    bring_to(daemon, state)
    expected = TABLE[state][verb]
    if isinstance(expected, str):
        with pytest.raises(RpcError, match="web is") as error:
            daemon.call(f"domain.{verb}", domain_name="web")
        assert error.value.code == expected
        assert state_of(daemon)["state"] == state
    else:
        result = daemon.call(f"domain.{verb}", domain_name="web")
        assert (result["state"], result["changed"]) == expected
        assert state_of(daemon)["state"] == expected[0]


@pytest.mark.parametrize("verb", VERBS)
def test_a_domain_that_is_not_there(daemon, verb):
    with pytest.raises(RpcError, match="there is no domain web") as error:
        daemon.call(f"domain.{verb}", domain_name="web")
    assert error.value.code == "not_found"


@pytest.mark.parametrize("verb", (*VERBS, "destroy"))
def test_a_domain_in_transition_is_busy(daemon, verb):
    bring_to(daemon, "running")
    with daemon.connect() as stopping:
        stopping.send("domain.stop", domain_name="web", timeout_ms=600_000)
        wait_for_state(daemon, "stopping")
        with pytest.raises(RpcError, match="web is stopping") as error:
            daemon.call(f"domain.{verb}", domain_name="web")
        assert error.value.code == "busy"


@pytest.mark.parametrize("verb", (*VERBS, "destroy"))
def test_a_domain_that_reboots_is_busy(daemon, verb):
    bring_to(daemon, "running")
    with daemon.connect() as connection:
        reboot = connection.send("domain.reboot", domain_name="web", timeout_ms=300)
        refused = connection.send(f"domain.{verb}", domain_name="web")
        answers = {answer["id"]: answer["error"] for answer in (connection.receive(), connection.receive())}
        assert answers[refused]["data"]["code"] == "busy"
        assert "reboot under way" in answers[refused]["message"]
        # The guest has no ear for its power button.
        assert answers[reboot]["data"]["code"] == "timeout"
        assert connection.call("domain.reset", domain_name="web")["changed"]


def test_a_stopped_domain_keeps_what_it_is_and_holds_nothing(daemon):
    before = kernel_state()
    launched = bring_to(daemon, "stopped")
    assert kernel_state() == before
    assert qemus() == []
    assert set(files_of(daemon)) >= {"disks/wso-web-disk.qcow2", "state/domains/web.json"}
    assert not [path for path in files_of(daemon) if path.startswith("run/web")]
    stopped = state_of(daemon)
    for key in ("ip_address", "mac_address", "domain_id", "disk_path"):
        assert stopped[key] == launched[key]
    assert stopped["pid"] == 0
    disk = os.stat(launched["disk_path"]).st_ino
    started = daemon.call("domain.start", domain_name="web", paused=True)
    assert (started["ip_address"], started["state"]) == (launched["ip_address"], "paused")
    assert os.stat(launched["disk_path"]).st_ino == disk
    daemon.call("domain.destroy", domain_name="web")
    assert kernel_state() == before


def test_stop_without_an_answer_is_an_error_and_the_domain_runs_on(daemon):
    pid = bring_to(daemon, "running")["pid"]
    with pytest.raises(RpcError, match="has not powered off within 300 ms.*force") as error:
        daemon.call("domain.stop", domain_name="web", timeout_ms=300)
    assert error.value.code == "timeout"
    assert (state_of(daemon)["state"], qemus()) == ("running", [pid])
    record = json.loads((daemon.workdir / "domains/web.json").read_text())
    assert record["state"] == "running"
    stopped = daemon.call("domain.stop", domain_name="web", timeout_ms=300, force=True)
    assert (stopped["state"], qemus()) == ("stopped", [])


def test_a_qemu_that_does_not_end_is_killed(daemon):
    pid = bring_to(daemon, "running")["pid"]
    os.kill(pid, signal.SIGSTOP)
    stopped = daemon.call("domain.stop", domain_name="web", timeout_ms=100, force=True)
    assert (stopped["state"], qemus()) == ("stopped", [])


def test_several_at_once(daemon):
    names = ["a", "b", "c", "d"]
    for name in names:
        daemon.launch_paused(name)
    done = daemon.wsoctl("stop", "--force", *names)
    assert done.stdout == "".join(f"stopped {name}\n" for name in names)
    assert daemon.wsoctl("stop", *names).stdout == "".join(f"{n} is stopped already\n" for n in names)
    daemon.wsoctl("start", "--paused", *names)
    assert len(qemus()) == 4
    failed = daemon.wsoctl("destroy", *names, "nobody", check=False)
    assert (failed.returncode, qemus()) == (1, [])
    assert "there is no domain nobody" in failed.stderr


def test_a_guest_powers_off_when_it_is_asked_to(lab, daemon):
    guest = lab.guest("web")
    pid = state_of(daemon)["pid"]
    guest.ssh("echo kept > /etc/kept && sync")
    rebooted = daemon.call("domain.reboot", domain_name="web")
    assert (rebooted["state"], rebooted["pid"]) == ("running", pid)
    guest.wait_for_ssh()
    assert guest.ssh("cat /etc/kept") == "kept\n"
    assert float(guest.ssh("cut -d' ' -f1 /proc/uptime")) < 60
    stopped = daemon.call("domain.stop", domain_name="web")
    assert (stopped["state"], stopped["reason"]) == ("stopped", "stopped on request")
    assert qemus() == []
    daemon.call("domain.start", domain_name="web")
    guest.wait_for_ssh()
    assert guest.ssh("cat /etc/kept") == "kept\n"


def test_what_guests_do_by_themselves(lab, daemon):
    guest = lab.guest("web")
    pid = state_of(daemon)["pid"]
    guest.ssh("(sleep 0.2; reboot -f) >/dev/null 2>&1 </dev/null &")
    wait_until(lambda: "domain.reset" in daemon.log, "the guest reboots")
    guest.wait_for_ssh()
    assert state_of(daemon)["pid"] == pid
    guest.ssh("(sleep 0.2; poweroff -f) >/dev/null 2>&1 </dev/null &")
    state = wait_for_state(daemon, "stopped")
    assert state["reason"] == "the guest has powered off"
    assert qemus() == []


def test_a_guest_that_panics(lab, daemon):
    guest = lab.guest("web")
    guest.ssh("(sleep 0.2; echo c > /proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &")
    state = wait_for_state(daemon, "stopped")
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
    state = wait_for_state(again, "stopped")
    assert state["reason"] == "the guest has powered off"
    assert qemus() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_qemu_that_ends(daemon, number):
    os.kill(bring_to(daemon, "running")["pid"], number)
    state = wait_for_state(daemon, "stopped")
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
        state = wait_for_state(daemon, "stopped")
        assert "signal 9 (Killed), perhaps for want of memory" in state["reason"]
        seen = [events.receive()["params"]["event"] for _ in range(2)]
        assert seen == ["domain.resumed", "domain.stopped"]
    assert qemus() == [launched["pid"]]
    # One that ends for another reason is not said to have lacked memory.
    os.kill(launched["pid"], signal.SIGABRT)
    assert "memory" not in wait_for_state(daemon, "stopped", "other")["reason"]


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
        again = wait_until(lambda: (s := state_of(daemon))["pid"] not in (0, first["pid"]) and s, "restart")
        assert (again["state"], again["n_restarts"]) == ("paused", 1)
        assert again["ip_address"] == first["ip_address"]
        # Who stops it does not want it back.
        daemon.call("domain.stop", domain_name="web", force=True)
    wait_for_state(daemon, "stopped")
    assert qemus() == []


def test_restarts_have_a_limit(lab):
    daemon = fast_restarts(lab)
    daemon.launch_paused("web", restart="always", restart_limit=3)
    for _ in range(4):
        pid = wait_until(lambda: state_of(daemon)["pid"], "it runs")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: state_of(daemon)["pid"] != pid, "it has ended")
    state = wait_until(lambda: "not restarted again" in (s := state_of(daemon))["reason"] and s, "limit")
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
    wait_for_state(again, "paused")


def test_autostart_after_the_host_was_restarted(lab, daemon):
    """The same workdir, with nothing running and an empty runtime directory."""
    wanted = [daemon.launch_paused(f"auto{n}", autostart=True) for n in range(5)]
    daemon.launch_paused("manual", restart="always")
    daemon.stop(signal.SIGKILL)
    for pid in qemus():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not qemus(), "all QEMUs are gone")
    run("rm", "-r", daemon.runtime_dir)
    for link in json.loads(run("ip", "-j", "link")):
        if link["ifname"].startswith("virbr"):
            run("ip", "link", "delete", link["ifname"])
    run("nft", "flush", "ruleset")
    again = lab.start_daemon()
    for before in wanted:
        state = wait_for_state(again, "paused", before["domain_name"])
        assert state["ip_address"] == before["ip_address"]
    manual = state_of(again, "manual")
    assert (manual["state"], manual["reason"]) == ("stopped", "the host was restarted")
    # A restart of the daemon alone starts nothing.
    again.call("domain.stop", domain_name="auto0", force=True)
    again.stop()
    assert state_of(lab.start_daemon(), "auto0")["state"] == "stopped"


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
    assert state_of(daemon)["healthcheck_state"] == "healthy"
    # Bad health without an action is shown, no more.
    daemon.launch_paused("ill", health={**health, "port": 9})
    daemon.call("domain.resume", domain_name="ill")
    state = wait_until(
        lambda: (s := state_of(daemon, "ill"))["healthcheck_state"] == "unhealthy" and s, "unhealthy"
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
    with open(first["disk_path"], "r+b") as file:
        file.seek(0, 2)
        file.write(b"marker")
    state = wait_until(lambda: (s := state_of(daemon))["n_restarts"] == 2 and s["pid"] and s, "two restarts")
    assert state["ip_address"] == first["ip_address"]
    same_disk = os.stat(first["disk_path"]).st_ino == disk and b"marker" in open(first["disk_path"], "rb").read()
    assert same_disk == (action == "restart")
    # Then it is left as it is.
    wait_until(lambda: "restart_limit" in daemon.log, "the limit")
    assert state_of(daemon)["state"] == "running"
    daemon.call("domain.destroy", domain_name="web")
    assert files_of(daemon) == files


def test_a_qemu_that_hangs_is_shown_and_disturbs_nobody(daemon):
    pid = daemon.launch_paused("hung")["pid"]
    daemon.launch_paused("well")
    os.kill(pid, signal.SIGSTOP)
    with daemon.connect() as asking:
        asking.send("domain.status", names=["hung"])
        assert daemon.call("domain.status", names=["well"])["domains"][0]["live"]
        answer = asking.receive()["result"]["domains"][0]
    assert (answer["state"], "problem" in answer) == ("unresponsive", True)
    assert state_of(daemon, "hung")["state"] == "unresponsive"
    os.kill(pid, signal.SIGCONT)
    wait_for_state(daemon, "paused", "hung")


def test_a_qemu_that_hangs_while_the_daemon_starts(lab, daemon):
    pid = daemon.launch_paused("hung")["pid"]
    daemon.launch_paused("well")
    daemon.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGSTOP)
    again = lab.start_daemon()
    assert state_of(again, "hung")["state"] == "unresponsive"
    assert state_of(again, "well")["state"] == "paused"
    os.kill(pid, signal.SIGCONT)
    wait_for_state(again, "paused", "hung")
    assert again.call("domain.status", names=["hung"])["domains"][0]["live"]["qemu_status"] == "prelaunch"
