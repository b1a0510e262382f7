"""The example programs of the README: libwso in a program of one's own, and a script on the socket."""

import json
import pathlib
import subprocess

from lab import BUILD, kernel_state, qemus

EXAMPLES = pathlib.Path(__file__).parent.parent.parent / "tools/example"


def test_a_program_launches_a_domain(lab):
    before = kernel_state()
    iso = pathlib.Path("/run/lab/empty.iso")
    iso.write_bytes(bytes(1 << 20))
    program = subprocess.Popen(
        [str(BUILD / "tools/example/launch"), "/run/lab/embedded", str(iso)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    line = program.stdout.readline()
    assert "192.168.100." in line and "wso-net-" in line
    assert len(qemus()) == 1
    program.communicate("\n", timeout=60)
    assert program.returncode == 0
    assert qemus() == []
    after = kernel_state()
    assert after["links"] == before["links"] and after["routes"] == before["routes"]


def test_a_script_launches_a_domain(lab, daemon):
    iso = pathlib.Path("/run/lab/empty.iso")
    iso.write_bytes(bytes(1 << 20))
    done = subprocess.run(
        ["/usr/bin/python3", str(EXAMPLES / "launch.py"), str(daemon.socket_path), "web", str(iso)],
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "192.168.100." in done.stdout and "wso-net-web" in done.stdout
    assert json.dumps(daemon.call("domain.list")).count("192.168.100.") == 1
