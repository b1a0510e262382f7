"""The network of real guests: what gets through, what does not, and as whom."""

import ipaddress
import json
import re
import subprocess

import pytest
from lab import GUEST, HOST_ADDRESS, UPLINK_ADDRESS, Guest, Lab, run


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.start_daemon()
        yield lab


@pytest.fixture(scope="module")
def guests(lab):
    daemon = lab.daemons[0]
    # Both boot at once.
    states = [
        daemon.launch(name, iso_path=str(GUEST / "guest.iso"), memory_kib=128 * 1024)
        for name in ("wso-3332a2", "neighbour")
    ]
    return [Guest(daemon, state).wait_for_ssh() for state in states]


def told(reply):
    """What the uplink's server says: the address and port that it sees."""
    address, port = reply.split()
    return address, int(port)


def test_the_documented_address(guests):
    assert guests[0].address == "192.168.100.229"
    assert "192.168.100.229/24" in guests[0].ssh("ip -4 address show")


@pytest.mark.parametrize("source_port", [None, 111, 1023, 40000])
def test_guest_reaches_the_uplink_by_tcp_as_the_host(guests, source_port):
    bind = f"-p {source_port}" if source_port else ""
    address, port = told(
        guests[0].ssh(f"echo | nc {bind} -w 5 {UPLINK_ADDRESS} 7000 | head -n 1")
    )
    assert address == HOST_ADDRESS
    assert 1024 <= port <= 65535


def test_guest_reaches_the_uplink_by_udp_as_the_host(guests):
    answer = guests[0].ssh(f"nslookup -type=a who.am.i {UPLINK_ADDRESS}")
    addresses = re.findall(r"Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)$", answer, flags=re.MULTILINE)
    assert addresses[0] == HOST_ADDRESS, answer
    assert 1024 <= int(ipaddress.IPv4Address(addresses[1])) <= 65535


def test_guest_pings_the_uplink_as_the_host(lab, guests):
    capture = lab.uplink.popen(
        "tcpdump", "-n", "-l", "-c", "2", "-i", "eth0", "icmp",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    while b"listening on" not in capture.stderr.readline():
        pass
    guests[0].ssh(f"ping -c 1 -W 5 {UPLINK_ADDRESS}")
    seen = capture.communicate(timeout=20)[0].decode()
    assert f"IP {HOST_ADDRESS} > {UPLINK_ADDRESS}: ICMP echo request" in seen
    assert f"IP {UPLINK_ADDRESS} > {HOST_ADDRESS}: ICMP echo reply" in seen
    assert "192.168.100." not in seen


def test_host_reaches_guest(guests):
    for guest in guests:
        run("ping", "-c", "1", "-W", "5", guest.address)
        assert guest.ssh("hostname")


def test_guest_reaches_the_gateway(guests):
    guests[0].ssh("ping -c 1 -W 5 192.168.100.1")


def test_uplink_opens_nothing_even_with_a_route(lab, guests):
    lab.uplink.run("ip", "route", "add", "192.168.100.0/24", "via", HOST_ADDRESS)
    try:
        pings = subprocess.run(
            lab.uplink.command("ping", "-c", "1", "-W", "5", guests[0].address),
            capture_output=True, text=True,
        )
        assert pings.returncode != 0
        assert f"From {HOST_ADDRESS} icmp_seq=1 Destination Port Unreachable" in pings.stdout
        connect = (
            "import socket, sys\n"
            "s = socket.socket(); s.settimeout(5)\n"
            f"try: s.connect(('{guests[0].address}', 22))\n"
            "except OSError as error: print(error)\n"
            "else: sys.exit('connected')\n"
        )
        # ICMP port unreachable is what the kernel calls a refused connection.
        assert "refused" in lab.uplink.run("/usr/bin/python3", "-c", connect)
    finally:
        lab.uplink.run("ip", "route", "delete", "192.168.100.0/24")


def test_guests_do_not_reach_each_other(guests):
    one, other = guests
    # As set up: the neighbour is asked for by ARP, and nobody answers.
    assert one.ssh_fails(f"ping -c 2 -W 2 {other.address}")
    assert other.address not in re.findall(
        r"^(\S+) .*lladdr", one.ssh("ip neigh"), flags=re.MULTILINE
    )
    # By a route through the gateway.
    one.ssh(f"ip route add {other.address}/32 via 192.168.100.1")
    try:
        assert one.ssh_fails(f"ping -c 2 -W 2 {other.address}")
        assert one.ssh_fails(f"nc -w 3 {other.address} 22 < /dev/null | grep SSH")
        # A free address of the subnet does not leak to the uplink.
        one.ssh("ip route add 192.168.100.77/32 via 192.168.100.1")
        assert one.ssh_fails("ping -c 1 -W 2 192.168.100.77")
    finally:
        one.ssh(f"ip route del {other.address}/32; ip route del 192.168.100.77/32; true")


def test_a_false_address_gets_nothing_out(guests):
    interface = guests[0].ssh("ls /sys/class/net | grep -v lo").strip()
    output = guests[0].ssh(
        f"ip address add 192.168.100.50/24 dev {interface}; "
        f"ping -c 3 -W 1 -I 192.168.100.50 {UPLINK_ADDRESS}; "
        f"ip address del 192.168.100.50/24 dev {interface}"
    )
    assert "100% packet loss" in output
    guests[0].ssh(f"ping -c 1 -W 5 {UPLINK_ADDRESS}")


def test_a_false_mac_gets_nothing_out(guests):
    guest = guests[0]
    interface = guest.ssh("ls /sys/class/net | grep -v lo").strip()
    output = spoof_mac(guest, interface)
    assert "100% packet loss" in output
    guest.ssh(f"ping -c 1 -W 5 {UPLINK_ADDRESS}")


def spoof_mac(guest, interface):
    """The session itself is cut off meanwhile, so the guest does it alone and puts it right again."""
    mac = guest.state["mac_address"]
    script = f"""
cat > /tmp/false <<'END'
ip link set {interface} down; ip link set {interface} address 52:54:00:ba:db:ad; ip link set {interface} up
ip route replace default via 192.168.100.1
ping -c 3 -W 1 {UPLINK_ADDRESS}
ip link set {interface} down; ip link set {interface} address {mac}; ip link set {interface} up
ip route replace default via 192.168.100.1
echo done
END
rm -f /tmp/false.out; (sh /tmp/false > /tmp/false.part 2>&1; mv /tmp/false.part /tmp/false.out) > /dev/null 2>&1 < /dev/null &
"""
    guest.ssh(script)
    return guest.ssh("while [ ! -f /tmp/false.out ]; do usleep 100000; done; cat /tmp/false.out")


def test_an_established_flow_survives_other_domains(lab, guests):
    daemon = lab.daemons[0]
    # The uplink echoes each line; the flow stays open all the time.
    flow = subprocess.Popen(
        guests[0].ssh_command(f"nc {UPLINK_ADDRESS} 7000"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )
    try:
        assert told(flow.stdout.readline())[0] == HOST_ADDRESS
        for number in range(3):
            daemon.launch_paused("other")
            flow.stdin.write(f"launched {number}\n")
            assert flow.stdout.readline() == f"launched {number}\n"
            daemon.call("domain.destroy", domain_name="other")
            flow.stdin.write(f"destroyed {number}\n")
            assert flow.stdout.readline() == f"destroyed {number}\n"
    finally:
        flow.kill()
        flow.communicate()


def test_stp_is_on_and_the_rules_are_ours(guests):
    links = json.loads(run("ip", "-j", "-d", "link", "show", "type", "bridge"))
    assert [link["linkinfo"]["info_data"]["stp_state"] for link in links] == [1, 1]


def test_check_and_status_see_the_guests(lab, guests):
    daemon = lab.daemons[0]
    checks = daemon.call("domain.check")["checks"]
    assert [(check["ping"], check["ssh"]) for check in checks] == [(True, True)] * 2
    done = daemon.wsoctl("check")
    assert "192.168.100.229" in done.stdout
    daemon.launch_paused("asleep")
    try:
        done = daemon.wsoctl("check", check=False)
        assert done.returncode == 1
    finally:
        daemon.call("domain.destroy", domain_name="asleep")
