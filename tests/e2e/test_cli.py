"""wsoctl with a real daemon."""

import json
import re

from lab import GUEST


def test_a_life_at_the_command_line(daemon):
    wsoctl = daemon.wsoctl
    wsoctl("launch", "web", "--paused", "--memory", "64M", "--cpus", "2", "--disk-size", "1G")
    listed = wsoctl("list").stdout
    assert re.search(r"^NAME +", listed) and re.search(r"web +.*paused", listed)
    assert "prelaunch" in wsoctl("status", "web").stdout
    assert "192.168.100." in wsoctl("network", "list").stdout
    assert "virbrweb" in wsoctl("network", "show", "wso-net-web").stdout
    assert wsoctl("netconfig", "web").stdout.startswith("#!/bin/sh")
    assert "tcg" in wsoctl("info").stdout
    assert wsoctl("version").stdout.startswith("wsoctl ")
    wsoctl("destroy", "web")
    assert "web" not in wsoctl("list").stdout


def test_json_is_the_wire_form(daemon):
    launched = json.loads(daemon.wsoctl("--json", "launch", "web", "--paused").stdout)
    assert launched == daemon.call("domain.list")["domains"][0]
    assert json.loads(daemon.wsoctl("--json", "list").stdout) == daemon.call("domain.list")
    assert json.loads(daemon.wsoctl("--json", "info").stdout)["n_domains"] == 1


def test_exit_statuses(lab, daemon):
    assert daemon.wsoctl("destroy", "ghost", check=False).returncode == 1
    assert daemon.wsoctl("launch", "web", "--cpus", "0", check=False).returncode in (1, 2)
    assert daemon.wsoctl("fly", check=False).returncode == 2
    assert daemon.wsoctl("launch", "bad/name", check=False).returncode == 1
    daemon.stop()
    done = daemon.wsoctl("list", check=False)
    assert done.returncode == 3 and "wsod" in done.stderr


def test_waiting_for_a_guest(daemon):
    done = daemon.wsoctl(
        "launch", "web", "--iso", str(GUEST / "guest.iso"), "--memory", "128M", "--wait=ping",
        "--timeout", "60",
    )
    assert "192.168.100." in done.stdout
    daemon.wsoctl("launch", "deaf", "--memory", "32M")
    done = daemon.wsoctl("check", "deaf", check=False)
    assert done.returncode == 1 and "fail" in done.stdout


def test_a_wait_that_ends_in_vain(daemon):
    done = daemon.wsoctl(
        "launch", "deaf", "--memory", "32M", "--wait=ssh", "--timeout", "1", check=False
    )
    assert done.returncode == 1
    assert "deaf" in done.stderr
    # The domain is left running.
    assert daemon.call("domain.list")["domains"][0]["state"] == "running"


def test_several_are_destroyed_at_once(daemon):
    for name in ("a", "b", "c"):
        daemon.launch_paused(name)
    done = daemon.wsoctl("destroy", "a", "ghost", "b", "c", check=False)
    assert done.returncode == 1 and "ghost" in done.stderr
    assert daemon.call("domain.list") == {"domains": []}
