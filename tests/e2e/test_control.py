"""The control socket against bad, slow, absent and many clients."""

import concurrent.futures
import json
import os
import pathlib
import pwd
import signal
import subprocess

import pytest
from lab import BUILD, DEADLINE, RpcError, everything, run, wait_until


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"{", -32700),
        (b"\xff\xfe garbage", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"42", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"domain.list"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"domain.fly"}', -32601),
    ],
)
def test_a_bad_line_is_answered_and_the_next_one_too(daemon, line, number):
    with daemon.connect() as connection:
        connection.send_bytes(line + b"\n")
        assert connection.receive()["error"]["code"] == number
        assert connection.call("domain.list") == {"domains": []}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"domain_name": 5},
        {"domain_name": "web", "cpus": 2},
        {"domain_name": "web", "n_cpus": "2"},
        {"domain_name": "web", "n_cpus": 2.5},
        {"domain_name": "web", "n_cpus": 0},
        {"domain_name": "web", "n_cpus": -1},
        {"domain_name": "web", "n_cpus": 100000},
        {"domain_name": "web", "n_cpus": 10**30},
        {"domain_name": "web", "memory_kib": 0},
        {"domain_name": "web", "memory_kib": -1},
        {"domain_name": "web", "memory_kib": 2**34},
        {"domain_name": "web", "memory_kib": 2**63},
        {"domain_name": "web", "disk_size_bytes": 0},
        {"domain_name": "web", "disk_size_bytes": -5},
        {"domain_name": "web", "disk_size_bytes": 2**62},
        {"domain_name": ""},
        {"domain_name": "a/b"},
        {"domain_name": "-a"},
        {"domain_name": "a" * 64},
        {"domain_name": "web", "iso_path": "relative.iso"},
        {"domain_name": "web", "iso_path": "/nonexistent.iso"},
        {"domain_name": "web", "iso_path": "/dev/zero"},
        {"domain_name": "web", "iso_path": "/run"},
        {"domain_name": "web", "iso_path": "/x\u0000y"},
    ],
    ids=lambda params: json.dumps(params)[:60],
)
def test_a_bad_launch_says_what_is_wrong_and_leaves_nothing(daemon, params):
    before = everything(daemon)
    with pytest.raises(RpcError) as error:
        daemon.call("domain.launch", **params)
    assert error.value.code in ("invalid_argument", "protocol", "not_found"), error.value
    assert len(str(error.value)) > 10
    assert everything(daemon) == before


def test_a_huge_message_is_refused(daemon):
    with daemon.connect() as connection:
        # The daemon stops to listen long before the end.
        try:
            for _ in range(64):
                connection.send_bytes(b"x" * 65536)
        except OSError:
            pass
        assert "longer than" in connection.receive()["error"]["message"]
    assert daemon.call("domain.list") == {"domains": []}


def test_a_half_sent_message_disturbs_nobody(daemon):
    with daemon.connect() as connection:
        connection.send_bytes(b'{"jsonrpc":"2.0","id":1,"meth')
        assert daemon.call("domain.list") == {"domains": []}
    assert daemon.call("domain.list") == {"domains": []}


def test_requests_on_one_connection_overlap(daemon):
    with daemon.connect() as connection:
        launch = connection.send(
            "domain.launch", domain_name="web", paused=True, memory_kib=32768
        )
        listing = connection.send("domain.list")
        first, second = connection.receive(), connection.receive()
        assert first["id"] == listing and second["id"] == launch
        assert first["result"]["domains"][0]["state"] == "launching"


def test_a_client_that_goes_away_does_not_stop_its_launch(daemon):
    with daemon.connect() as connection:
        connection.send("domain.launch", domain_name="web", paused=True, memory_kib=32768)
    wait_until(
        lambda: [d["state"] for d in daemon.call("domain.list")["domains"]] == ["paused"],
        "others see the domain",
    )


def test_one_of_two_launches_of_a_name_wins(daemon):
    def launch(_):
        try:
            return daemon.launch_paused("web")["domain_name"]
        except RpcError as error:
            return error.code

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        outcomes = sorted(clients.map(launch, range(8)))
    assert outcomes == ["already_exists"] * 7 + ["web"]
    assert len(daemon.call("domain.list")["domains"]) == 1


def test_a_second_verb_on_a_domain_in_transition_is_busy(daemon):
    daemon.launch_paused("web")
    with daemon.connect() as connection:
        first = connection.send("domain.destroy", domain_name="web")
        second = connection.send("domain.destroy", domain_name="web")
        replies = {reply["id"]: reply for reply in (connection.receive(), connection.receive())}
    assert replies[second]["error"]["data"]["code"] == "busy"
    assert "result" in replies[first]


def test_unknown_names_are_not_found(daemon):
    for method, params in [
        ("domain.destroy", {"domain_name": "ghost"}),
        ("domain.status", {"names": ["ghost"]}),
        ("domain.check", {"names": ["ghost"]}),
        ("domain.netconfig", {"domain_name": "ghost"}),
        ("network.show", {"network_name": "wso-net-ghost"}),
    ]:
        with pytest.raises(RpcError, match="ghost") as error:
            daemon.call(method, **params)
        assert error.value.code == "not_found"


def test_others_are_refused(daemon):
    nobody = pwd.getpwnam("nobody")
    os.chmod("/run/lab", 0o755)
    os.chmod(daemon.directory, 0o755)
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect('{daemon.socket_path}')"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", connect], user=nobody.pw_uid, group=nobody.pw_gid,
        extra_groups=[], capture_output=True, text=True,
    )
    assert "PermissionError" in done.stderr
    # Whoever gets past the mode of the socket is looked at again.
    os.chmod(daemon.socket_path, 0o666)
    ask = f"""
import socket
s = socket.socket(socket.AF_UNIX)
s.connect('{daemon.socket_path}')
try:
    s.sendall(b'{{"jsonrpc":"2.0","id":1,"method":"domain.list"}}\\n')
    print(s.recv(100))
except OSError:
    print(b'')
"""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ask], user=nobody.pw_uid, group=nobody.pw_gid,
        extra_groups=[], capture_output=True, text=True,
    )
    assert done.stdout == "b''\n", done.stderr


def test_a_live_socket_is_refused_and_a_dead_one_taken_over(lab, daemon):
    # In a namespace of its own, where nothing but the socket is in its way.
    command = ["unshare", "--net", BUILD / "src/wsod/wsod", "run", "--socket", daemon.socket_path]
    command += ["--workdir", "/run/lab/other", "--runtime-dir", "/run/lab/other"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"a wsod answers on {daemon.socket_path} already" in done.stderr
    assert daemon.call("domain.list") == {"domains": []}
    daemon.stop(signal.SIGKILL)
    assert daemon.socket_path.exists()
    again = lab.start_daemon()
    assert again.call("domain.list") == {"domains": []}


def test_only_a_socket_is_replaced(lab):
    path = pathlib.Path("/run/lab/precious")
    path.write_text("precious")
    daemon = lab.start_daemon("--socket", str(path), ready=False)
    assert daemon.process.wait(DEADLINE) == 1
    assert f"{path} is there already and is no socket" in daemon.log
    assert path.read_text() == "precious"


@pytest.mark.parametrize("missing", [[0], [1], [2], [0, 1, 2]])
def test_a_standard_stream_that_is_missing_is_no_socket(lab, missing):
    closed = " ".join(f"{fd}<&-" for fd in missing)
    daemon = lab.start_daemon(wrapper=("sh", "-c", f'exec "$@" {closed}', "sh"))
    for fd in missing:
        assert os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") == "/dev/null"
    daemon.launch_paused("web")
    assert daemon.call("domain.status")["domains"][0]["live"]["qemu_status"] == "prelaunch"
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(daemon, how):
    daemon.launch_paused("web")
    assert daemon.stop(how) == 0
    assert not daemon.socket_path.exists()
    # The domain goes on.
    assert "virbrweb" in run("ip", "link")


def test_on_exit_destroy(lab):
    before = run("ip", "link")
    daemon = lab.start_daemon("--on-exit", "destroy")
    for number in range(3):
        daemon.launch_paused(f"n{number}")
    assert daemon.stop() == 0
    assert run("ip", "link") == before
    assert run("nft", "list", "ruleset") == ""
    assert list((daemon.workdir / "domains").iterdir()) == []
    assert list(daemon.disks.iterdir()) == []


def test_what_is_asked_of_a_daemon_that_is_about_to_end_is_refused(daemon):
    daemon.launch("other", memory_kib=32 * 1024)
    # It is killed after two seconds, in which the daemon waits for it.
    os.kill(daemon.launch_paused("web")["pid"], signal.SIGSTOP)
    with daemon.connect() as stopping, daemon.connect() as late:
        late.call("daemon.info")
        stopping.send("domain.stop", domain_name="web", force=True, timeout_ms=0)
        daemon.wait_for_state("web", "stopping")
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(daemon), "it has heard")
        with pytest.raises(RpcError, match="about to end") as error:
            late.call("domain.wait", domain_name="other", timeout_ms=3_600_000, **{"for": "ssh"})
        assert error.value.code == "busy"
        assert stopping.receive()["result"]["state"] == "stopped"
    assert daemon.process.wait(DEADLINE) == 0


def listens(daemon):
    try:
        daemon.connect().close()
    except ConnectionRefusedError:
        return False
    return True
