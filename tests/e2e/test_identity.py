"""Names, addresses and marks of a domain as the kernel and the disk show them."""

import hashlib
import json
import os
import stat

import pytest
from lab import RpcError, everything, run


def link(name):
    return json.loads(run("ip", "-j", "-d", "link", "show", name))[0]


def test_the_table_of_names(daemon):
    state = daemon.launch_paused("wso-3332a2")
    assert state["domain_id"] == "3332a2"
    assert state["network_name"] == "wso-net-3332a2"
    assert state["bridge_name"] == "virbr3332a2"
    assert state["ip_address"] == "192.168.100.229"
    digest = hashlib.sha256(b"wso-3332a2").digest()
    assert state["mac_address"] == "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[4:7])
    assert state["disk_path"] == str(daemon.disks / "wso-wso-3332a2-disk.qcow2")
    assert state["state"] == "paused"

    disk = os.stat(state["disk_path"])
    assert stat.S_IMODE(disk.st_mode) == 0o600 and disk.st_uid == 0
    image = json.loads(run("qemu-img", "info", "-U", "--output=json", state["disk_path"]))
    assert image["format"] == "qcow2" and image["virtual-size"] == 10 * 2**30
    script = os.stat(daemon.disks / "wso-wso-3332a2-netconfig.sh")
    assert stat.S_IMODE(script.st_mode) == 0o755


def test_links_carry_our_marks(daemon):
    state = daemon.launch_paused("web")
    bridge, tap = link("virbrweb"), link("vnetweb")
    for found in (bridge, tap):
        assert found["ifalias"] == "wso:web"
        assert found["group"] == str(0x77736F)
    assert tap["master"] == "virbrweb"
    assert tap["address"] == "fe" + state["mac_address"][2:]
    assert not tap["linkinfo"]["info_data"]["persist"]
    assert tap["linkinfo"]["info_data"]["vnet_hdr"]
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 1
    assert tap["linkinfo"]["info_slave_data"]["state"] == "forwarding"
    # NET_ADDR_SET: udev's MACAddressPolicy leaves such addresses alone.
    assert open("/sys/class/net/virbrweb/addr_assign_type").read() == "3\n"
    assert open("/proc/sys/net/ipv6/conf/virbrweb/disable_ipv6").read() == "1\n"
    assert open("/proc/sys/net/ipv4/ip_forward").read() == "1\n"


def test_domains_share_subnet_and_gateway_without_a_route_to_it(daemon):
    states = [daemon.launch_paused(name) for name in ("a", "b")]
    routes = json.loads(run("ip", "-j", "route"))
    ours = [route for route in routes if route["dst"].startswith("192.168.100.")]
    assert sorted((r["dst"], r["dev"], r["prefsrc"]) for r in ours) == sorted(
        (state["ip_address"], state["bridge_name"], "192.168.100.1") for state in states
    )
    for state in states:
        address = json.loads(run("ip", "-j", "-4", "address", "show", state["bridge_name"]))[0]
        info = address["addr_info"][0]
        assert (info["local"], info["prefixlen"], info["noprefixroute"]) == ("192.168.100.1", 24, True)


def test_two_names_with_one_id(daemon):
    first = daemon.launch_paused("wso-webserver-1")
    second = daemon.launch_paused("wso-webserver-2")
    assert first["domain_id"] == "webserve"
    assert second["domain_id"] == hashlib.sha256(b"wso-webserver-2").hexdigest()[:8]
    # Stored for life: the id stays when the first has gone.
    daemon.call("domain.destroy", domain_name="wso-webserver-1")
    daemon.stop()
    listed = daemon_again(daemon)
    assert [state["domain_id"] for state in listed] == [second["domain_id"]]


def daemon_again(daemon):
    """The list that a new daemon with the same directories shows."""
    from lab import Daemon

    again = Daemon(daemon.directory.name, (), (), {}).wait_ready()
    try:
        return again.call("domain.list")["domains"]
    finally:
        again.stop()


def names_with_one_address(count):
    """Names whose digests give the same address."""
    by_place = {}
    for number in range(10000):
        name = f"n{number}"
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % 253
        by_place.setdefault(place, []).append(name)
        if len(by_place[place]) == count:
            return by_place[place], f"192.168.100.{2 + place}", f"192.168.100.{2 + (place + 1) % 253}"


def test_two_names_with_one_address(daemon):
    names, address, next_address = names_with_one_address(2)
    assert daemon.launch_paused(names[0])["ip_address"] == address
    assert daemon.launch_paused(names[1])["ip_address"] == next_address


def test_a_full_subnet(lab):
    config = "/run/lab/wsod.toml"
    with open(config, "w") as file:
        file.write('subnet = "10.77.0.0/29"\ngateway = "10.77.0.1"\n')
    daemon = lab.start_daemon("--config", config)
    for number in range(5):
        daemon.launch_paused(f"n{number}")
    before = everything(daemon)
    with pytest.raises(RpcError, match="subnet 10.77.0.0/29 is full") as error:
        daemon.launch_paused("one-too-many")
    assert error.value.code == "busy"
    assert everything(daemon) == before


def test_keep_disk(daemon):
    state = daemon.launch_paused("web")
    daemon.call("domain.destroy", domain_name="web", keep_disk=True)
    assert os.path.exists(state["disk_path"])
    assert not os.path.exists(daemon.disks / "wso-web-netconfig.sh")
    assert daemon.call("domain.list") == {"domains": []}


def test_a_destroyed_domain_leaves_nothing(daemon):
    before = everything(daemon)
    for paused in (True, False):
        daemon.launch("web", paused=paused, memory_kib=32 * 1024)
        assert everything(daemon) != before
        daemon.call("domain.destroy", domain_name="web")
        assert everything(daemon) == before
