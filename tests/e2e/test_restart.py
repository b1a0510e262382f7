"""Domains outlive the daemon, and the next one goes on managing them."""

import json
import os
import signal

import pytest
from lab import RpcError, everything, kernel_state, qemus, run, wait_until


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_domains_are_taken_over(lab, daemon, how):
    states = [daemon.launch_paused(name) for name in ("a", "b")]
    kernel = kernel_state()
    daemon.stop(how)
    assert qemus() == sorted(state["pid"] for state in states)
    assert kernel_state() == kernel
    again = lab.start_daemon()
    assert again.call("domain.list")["domains"] == states
    assert kernel_state() == kernel
    status = again.call("domain.status")["domains"]
    assert [domain["live"]["qemu_status"] for domain in status] == ["prelaunch"] * 2
    for name in ("a", "b"):
        again.call("domain.destroy", domain_name=name)
    assert qemus() == []


def test_to_start_again_changes_nothing(lab, daemon):
    daemon.launch_paused("web")
    for _ in range(3):
        before = everything(daemon)
        daemon.stop(signal.SIGKILL)
        daemon = lab.start_daemon()
        assert everything(daemon) == before


def test_domains_are_taken_over_though_their_subnet_is_not_free_any_more(lab, daemon):
    """As when a VPN has come up: the ones that run can be managed, and no more are launched."""
    state = daemon.launch_paused("web")
    daemon.stop(signal.SIGKILL)
    run("ip", "route", "add", "192.168.0.0/16", "via", "203.0.113.1")
    try:
        again = lab.start_daemon()
        assert again.call("domain.list")["domains"] == [state]
        assert "overlaps 192.168.0.0/16" in again.log
        with pytest.raises(RpcError, match="overlaps"):
            again.launch_paused("other")
        again.call("domain.destroy", domain_name="web")
    finally:
        run("ip", "route", "delete", "192.168.0.0/16")


def test_a_domain_that_ended_meanwhile_is_stopped(lab, daemon):
    pid = daemon.launch_paused("web")["pid"]
    daemon.stop()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not qemus(), "QEMU ends")
    again = lab.start_daemon()
    state = again.call("domain.list")["domains"][0]
    assert (state["state"], state["pid"]) == ("stopped", 0)
    assert "virbrweb" not in run("ip", "link")
    assert "virbrweb" not in run("nft", "list", "ruleset")
    assert os.path.exists(state["disk_path"])
    again.call("domain.destroy", domain_name="web")
    assert not os.path.exists(state["disk_path"])


def test_a_stop_that_was_not_brought_to_its_end_is_forgotten(lab, daemon):
    daemon.launch_paused("web")
    daemon.stop(signal.SIGKILL)
    path = daemon.workdir / "domains/web.json"
    path.write_text(path.read_text().replace('"state":"paused"', '"state":"stopping"'))
    again = lab.start_daemon()
    assert again.state_of("web")["state"] == "paused"
    wait_until(lambda: json.loads(path.read_text())["state"] == "paused", "it is on record, too")


@pytest.mark.parametrize("qemu", ["alive", "dead"])
@pytest.mark.parametrize("state", ["launching", "destroying"])
def test_what_a_crash_left_half_done_is_removed(lab, daemon, state, qemu):
    before = everything(daemon)
    pid = daemon.launch_paused("web")["pid"]
    daemon.stop(signal.SIGKILL)
    if qemu == "dead":
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not qemus(), "QEMU ends")
    # As the record is between the first step and the last.
    path = daemon.workdir / "domains/web.json"
    record = json.loads(path.read_text())
    record["state"] = state
    if state == "launching":
        record["pid"] = record["start_time"] = 0
    path.write_text(json.dumps(record))
    again = lab.start_daemon()
    assert again.call("domain.list") == {"domains": []}
    assert everything(again) == before


def test_what_cannot_be_removed_stays_in_sight(lab, daemon):
    state = daemon.launch_paused("web")
    daemon.stop(signal.SIGKILL)
    path = daemon.workdir / "domains/web.json"
    path.write_text(path.read_text().replace('"state":"paused"', '"state":"destroying"'))
    run("mount", "--bind", daemon.disks, daemon.disks)
    run("mount", "-o", "remount,ro,bind", daemon.disks)
    try:
        again = lab.start_daemon()
        left = again.call("domain.list")["domains"][0]
        assert left["state"] == "stopped" and "Read-only" in left["reason"]
    finally:
        run("umount", daemon.disks)
    again.call("domain.destroy", domain_name="web")
    assert not os.path.exists(state["disk_path"])


def test_a_destruction_that_fails_leaves_the_rules_of_a_running_qemu(lab, daemon):
    state = daemon.launch_paused("web")
    run("mount", "--bind", daemon.workdir, daemon.workdir)
    run("mount", "-o", "remount,ro,bind", daemon.workdir)
    try:
        with pytest.raises(Exception, match="Read-only"):
            daemon.call("domain.destroy", domain_name="web")
        assert daemon.call("domain.list")["domains"][0]["state"] == "paused"
        assert daemon.stop() == 0
        assert qemus() == [state["pid"]]
        assert "virbrweb" in run("nft", "list", "ruleset")
    finally:
        run("umount", daemon.workdir)


def test_a_link_of_ours_that_no_record_names_is_removed(lab, daemon):
    daemon.launch_paused("web")
    before = kernel_state()
    daemon.stop()
    run("ip", "link", "add", "virbrlost", "group", str(0x77736F), "type", "bridge")
    run("ip", "link", "add", "virbrforeign", "type", "bridge")
    try:
        lab.start_daemon()
        run("ip", "link", "delete", "virbrforeign")
        assert kernel_state() == before
    finally:
        run("sh", "-c", "ip link delete virbrforeign 2>/dev/null || true")


def test_a_domain_whose_record_is_lost_goes_on(lab, daemon):
    """Its bridge and rules stay, and its address goes to nobody else."""
    state = daemon.launch_paused("web")
    daemon.stop()
    (daemon.workdir / "domains/web.json").unlink()
    again = lab.start_daemon()
    assert again.call("domain.list")["domains"] == []
    assert qemus() == [state["pid"]]
    assert "virbrweb" in run("ip", "link")
    assert state["ip_address"] in run("nft", "list", "set", "inet", "wso", "guests")
    # web and web-8 share an id; 192.168.100.91 is web's.
    other = again.launch_paused("web-8")
    assert other["bridge_name"] == "virbrweb-8"
    again.call("domain.destroy", domain_name="web-8")
    for _ in range(2):
        again.stop()
        assert "virbrweb" in run("ip", "link")
        assert state["ip_address"] in run("nft", "list", "set", "inet", "wso", "guests")
        again = lab.start_daemon()
    os.kill(state["pid"], signal.SIGKILL)


@pytest.mark.parametrize("on_exit", ["keep", "destroy"])
def test_a_stop_by_force_that_the_daemon_does_not_live_to_see(lab, on_exit):
    daemon = lab.start_daemon("--on-exit", on_exit)
    state = daemon.launch("web", memory_kib=32 * 1024)
    with daemon.connect() as connection:
        connection.send("domain.stop", domain_name="web", force=True, timeout_ms=600_000)
        daemon.wait_for_state("web", "stopping")
        assert daemon.stop() == 0
    if on_exit == "destroy":
        assert qemus() == []
        return
    assert state["ip_address"] in run("nft", "list", "set", "inet", "wso", "guests")
    assert lab.start_daemon().state_of("web") == state


TORN = '{"version": 1, "domain_na'


def test_a_damaged_record_is_set_aside(lab, daemon):
    daemon.launch_paused("web")
    daemon.stop()
    (daemon.workdir / "domains/torn.json").write_text(TORN)
    (daemon.workdir / "damaged").mkdir()
    (daemon.workdir / "damaged/torn.1.json").write_text("an earlier one")
    again = lab.start_daemon()
    assert [d["domain_name"] for d in again.call("domain.list")["domains"]] == ["web"]
    assert not (daemon.workdir / "domains/torn.json").exists()
    assert (daemon.workdir / "damaged/torn.1.json").read_text() == "an earlier one"
    assert (daemon.workdir / "damaged/torn.2.json").read_text() == TORN
    with pytest.raises(RpcError, match="cannot read"):
        again.launch_paused("torn")


def test_a_record_of_a_later_version_is_left_alone(lab, daemon):
    daemon.launch_paused("web")
    daemon.stop()
    path = daemon.workdir / "domains/later.json"
    path.write_text('{"version": 99}')
    again = lab.start_daemon()
    assert [d["domain_name"] for d in again.call("domain.list")["domains"]] == ["web"]
    assert path.read_text() == '{"version": 99}'
    assert "it has version 99" in again.log
    # The name of a record that cannot be read is not free.
    with pytest.raises(RpcError, match="cannot read"):
        again.launch_paused("later")


def rewrite(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    "damage", [{"version": 99}, {"state": "nonsense"}], ids=["later version", "damaged"]
)
def test_the_network_of_a_record_that_cannot_be_read_is_given_to_nobody(lab, daemon, damage):
    first = daemon.launch_paused("longname-1")
    daemon.call("domain.stop", domain_name="longname-1", force=True)
    daemon.stop()
    path = daemon.workdir / "domains/longname-1.json"
    # The address that web would get.
    rewrite(path, ip_address="192.168.100.91", **damage)
    again = lab.start_daemon()
    second = again.launch_paused("longname-2")
    assert second["domain_id"] != first["domain_id"]
    assert again.launch_paused("web")["ip_address"] != "192.168.100.91"


def test_of_two_records_of_one_network_the_one_that_is_in_use_is_read(lab, daemon):
    state = daemon.launch_paused("web")
    daemon.stop()
    twin = daemon.workdir / "domains/twin.json"
    twin.write_text((daemon.workdir / "domains/web.json").read_text())
    rewrite(twin, domain_name="twin", domain_id="other", state="stopped", pid=0)
    again = lab.start_daemon()
    assert again.call("domain.list")["domains"] == [state]
    assert "the record of twin is left alone: its id other or its address 192.168.100.91 is that of web" in again.log
    assert twin.exists()
    assert again.launch_paused("other")["domain_id"] != "other"
    again.call("domain.destroy", domain_name="other")
    again.call("domain.destroy", domain_name="web")
    again.stop()
    assert lab.start_daemon().state_of("twin")["state"] == "stopped"


def test_a_record_of_version_1_is_read(lab, daemon):
    state = daemon.launch_paused("web")
    daemon.stop()
    path = daemon.workdir / "domains/web.json"
    record = json.loads(path.read_text())
    record["version"] = 1
    for key in ("autostart", "restart", "restart_limit", "health", "subnet", "gateway", "n_restarts"):
        del record[key]
    del record["restart_pending"], record["recreate_pending"]
    path.write_text(json.dumps(record))
    again = lab.start_daemon()
    assert again.call("domain.list")["domains"] == [state]
    assert again.call("network.list")["networks"][0]["subnet"] == "192.168.100.0/24"
