"""wsoctl list and status without a daemon: from the records and the processes that run."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from lab import BUILD, DEADLINE, qemus, run, wait_until

NEWER = '{"version": 99, "domain_name": "newer"}'


@pytest.fixture
def dead(daemon):
    """A daemon that was killed, as a domain that ran was, with records that it cannot read."""
    daemon.launch("running", memory_kib=32 * 1024)
    daemon.launch_paused("paused")
    gone = daemon.launch_paused("gone")
    daemon.stop(signal.SIGKILL)
    os.kill(gone["pid"], signal.SIGKILL)
    wait_until(lambda: gone["pid"] not in qemus(), "QEMU ends")
    (daemon.workdir / "domains/torn.json").write_text('{"version": 1, "domain_na')
    (daemon.workdir / "domains/newer.json").write_text(NEWER)
    return daemon


def ask(daemon, *arguments):
    return daemon.wsoctl("--workdir", str(daemon.workdir), *arguments, check=False)


def domains(done):
    return {domain["domain_name"]: domain for domain in json.loads(done.stdout)["domains"]}


def places(domains):
    keys = ("state", "pid", "ip_address", "mac_address", "network_name", "disk_path", "n_cpus")
    return {name: [domain[key] for key in keys] for name, domain in domains.items()}


def snapshot(directory):
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
        for path in [directory, *directory.rglob("*")]
    }


def test_states_are_those_that_the_next_daemon_finds(lab, dead):
    for command in ("list", "status"):
        done = ask(dead, command, "--json")
        assert done.returncode == 3
        assert f"no wsod answers on {dead.socket_path}" in done.stderr
        assert f"from the records in {dead.workdir}" in done.stderr
        assert "domains/torn.json is left out" in done.stderr
        assert "domains/newer.json is left out: it has version 99" in done.stderr
    alone = domains(ask(dead, "list", "--json"))
    assert {name: domain["state"] for name, domain in alone.items()} == {
        "gone": "stopped", "paused": "paused", "running": "running",
    }  # fmt: skip
    assert sorted(domain["pid"] for domain in alone.values()) == [0, *qemus()]
    assert "QEMU has gone" in alone["gone"]["reason"]

    again = lab.start_daemon()
    done = ask(again, "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = domains(done)
    assert places(found) == places(alone)
    assert {name: set(domain) for name, domain in found.items()} == {
        name: set(domain) for name, domain in alone.items()
    }


def test_status_is_the_wire_form_with_the_problem(dead):
    status = domains(ask(dead, "status", "--json"))
    listed = domains(ask(dead, "list", "--json"))
    problem = f"no wsod answers on {dead.socket_path}: "
    for name, domain in status.items():
        assert domain.pop("problem").startswith(problem)
        assert domain == listed[name]


def test_the_text_is_the_same_table(lab, dead):
    table = ask(dead, "list").stdout
    assert table.startswith("NAME ") and "running" in table
    shown = ask(dead, "status", "running").stdout
    assert "PROBLEM" in shown and f"no wsod answers on {dead.socket_path}" in shown
    assert shown.count("NAME") == 1
    (dead.workdir / "domains/torn.json").unlink()
    again = lab.start_daemon()
    assert ask(again, "list").stdout == table


def test_names_choose_and_an_unknown_one_is_named(dead):
    chosen = domains(ask(dead, "status", "--json", "paused", "gone"))
    assert list(chosen) == ["paused", "gone"]
    for name in ("ghost", "torn", "newer"):
        done = ask(dead, "status", "paused", name)
        assert (done.returncode, done.stdout) == (3, "")
        assert f"of domain {name} there is no record" in done.stderr


def test_nothing_is_written(dead):
    unfinished = dead.workdir / "domains/web.json.new"
    unfinished.write_text("what a crash left of a write")
    before = snapshot(dead.directory)
    for command in ("list", "status"):
        ask(dead, command)
        ask(dead, command, "--json")
    assert snapshot(dead.directory) == before
    other = dead.directory / "other"
    done = dead.wsoctl("--workdir", str(other), "list", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no records in {other}/domains" in done.stderr
    assert not other.exists()


def test_the_workdir_is_taken_from_the_environment(dead):
    environment = {**os.environ, "WSO_WORKDIR": str(dead.workdir)}
    command = [BUILD / "src/wsoctl/wsoctl", "--socket", dead.socket_path, "list"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 3 and "paused" in done.stdout


def test_who_may_not_ask_the_daemon_is_told_nothing_else(daemon):
    daemon.launch_paused("web")
    # A copy: nobody may not be able to enter the directory of this checkout.
    wsoctl = shutil.copy(BUILD / "src/wsoctl/wsoctl", daemon.directory)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", wsoctl]
    nobody += ["--socket", daemon.socket_path, "--workdir", daemon.workdir, "list"]

    def refused():
        done = subprocess.run(nobody, capture_output=True, text=True, timeout=DEADLINE)
        assert (done.returncode, done.stdout) == (3, "")
        return done.stderr

    assert "is not open to you" in refused() and "records" not in refused()
    daemon.stop(signal.SIGKILL)
    assert "is not open to you" in refused() and "records" not in refused()
    daemon.socket_path.unlink()
    assert "no wsod answers" in refused() and "not yours to read: be root" in refused()


def test_a_process_with_the_number_of_qemu_is_not_qemu(dead):
    path = dead.workdir / "domains/gone.json"
    record = json.loads(path.read_text())
    record["pid"] = os.getpid()
    path.write_text(json.dumps(record))
    assert domains(ask(dead, "list", "--json"))["gone"]["state"] == "stopped"


def test_half_states_are_said_to_be_so(dead):
    path = dead.workdir / "domains/paused.json"
    path.write_text(path.read_text().replace('"state":"paused"', '"state":"destroying"'))
    domain = domains(ask(dead, "list", "--json"))["paused"]
    assert domain["state"] == "destroying" and domain["pid"] in qemus()
    assert "no wsod is there to complete it" in domain["reason"]


def test_the_client_loads_no_library_of_the_daemon():
    libraries = run("ldd", BUILD / "src/wsoctl/wsoctl")
    assert "libc.so" in libraries
    assert not [name for name in ("crypto", "libnl", "nftables") if name in libraries]
