"""The verbs, in every state; and QEMUs that hang."""

import json
import os
import signal

import pytest
from lab import RpcError, files_of, kernel_state, qemus

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


def bring_to(daemon, state):
    launched = daemon.launch_paused("web")
    if state == "running":
        daemon.call("domain.resume", domain_name="web")
    if state == "stopped":
        daemon.call("domain.stop", domain_name="web", force=True)
    assert daemon.state_of("web")["state"] == state
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
        assert daemon.state_of("web")["state"] == state
    else:
        result = daemon.call(f"domain.{verb}", domain_name="web")
        assert (result["state"], result["changed"]) == expected
        assert daemon.state_of("web")["state"] == expected[0]


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
        daemon.wait_for_state("web", "stopping")
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
    stopped = daemon.state_of("web")
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
    assert (daemon.state_of("web")["state"], qemus()) == ("running", [pid])
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
    pid = daemon.state_of("web")["pid"]
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


def test_a_qemu_that_hangs_is_shown_and_disturbs_nobody(daemon):
    pid = daemon.launch_paused("hung")["pid"]
    daemon.launch_paused("well")
    os.kill(pid, signal.SIGSTOP)
    with daemon.connect() as asking:
        asking.send("domain.status", names=["hung"])
        assert daemon.call("domain.status", names=["well"])["domains"][0]["live"]
        answer = asking.receive()["result"]["domains"][0]
    assert (answer["state"], "problem" in answer) == ("unresponsive", True)
    assert daemon.state_of("hung")["state"] == "unresponsive"
    os.kill(pid, signal.SIGCONT)
    daemon.wait_for_state("hung", "paused")


def test_a_qemu_that_hangs_while_the_daemon_starts(lab, daemon):
    pid = daemon.launch_paused("hung")["pid"]
    daemon.launch_paused("well")
    daemon.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGSTOP)
    again = lab.start_daemon()
    assert again.state_of("hung")["state"] == "unresponsive"
    assert again.state_of("well")["state"] == "paused"
    os.kill(pid, signal.SIGCONT)
    again.wait_for_state("hung", "paused")
    assert again.call("domain.status", names=["hung"])["domains"][0]["live"]["qemu_status"] == "prelaunch"
