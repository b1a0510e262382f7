"""A host with wsod on it and an uplink with servers on it, for tests under tests/support/isolated.

The test's own network namespace is the host. The uplink is a second one, one link away:

    uplink 203.0.113.1 ---- 203.0.113.2 host (wsod) ---- 192.168.100.1 guests

    with Lab() as lab:
        lab.start_daemon()
        guest = lab.guest("web")              # a real Linux guest, up to its SSH server
        print(guest.ssh("nc 203.0.113.1 7000"))
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

BUILD = pathlib.Path(os.environ["WSO_BUILD"])
GUEST = pathlib.Path(os.environ.get("WSO_GUEST", BUILD / "guest"))
SUPPORT = pathlib.Path(__file__).parent
ROOT = pathlib.Path("/run/lab")

UPLINK_ADDRESS = "203.0.113.1"
HOST_ADDRESS = "203.0.113.2"
# Slow machines and sanitizers only make a failing test slower.
DEADLINE = 60.0


def sanitized():
    """Whether the daemon runs under a sanitizer: slower, and slow to give memory back."""
    program = (BUILD / "src/wsod/wsod").read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def slowness():
    """By how much limits in milliseconds are to be stretched here: they are meant for a host on which a
    bare QEMU has answered within 35 ms. Sanitizers count, too."""
    command = ["qemu-system-x86_64", "-nodefaults", "-machine", "q35", "-accel", "tcg", "-display", "none"]

    def start():
        began = time.monotonic()
        with subprocess.Popen([*command, "-S", "-qmp", "stdio"], stdout=subprocess.PIPE) as qemu:
            assert b"QMP" in qemu.stdout.readline()
            took = time.monotonic() - began
            qemu.kill()
        return took

    return max(1.0, min(start() for _ in range(3)) / 0.035) * (10 if sanitized() else 1)


def run(*command, **options):
    """The program's output; fails the test with what it printed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=DEADLINE, **options
    )
    if done.returncode != 0:
        raise AssertionError(f"{command}: status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition, what, deadline=DEADLINE):
    """For what the kernel tells nobody about: looks again and again until the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(0.01)


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error.get("data", {}).get("code")
        self.number = error["code"]


class Connection:
    """A raw connection to the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")
        self.last_id = 0

    def send(self, method, **params):
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        self.send_bytes(json.dumps(request).encode() + b"\n")
        return self.last_id

    def send_bytes(self, data):
        self.socket.sendall(data)

    def receive(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def call(self, method, **params):
        request_id = self.send(method, **params)
        reply = self.receive()
        assert reply is not None, "the daemon hung up"
        assert reply["id"] == request_id, reply
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]

    def close(self):
        self.lines.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Daemon:
    """A wsod of the lab."""

    def __init__(self, name, arguments, wrapper, environment):
        self.directory = ROOT / name
        self.disks = self.directory / "disks"
        self.disks.mkdir(parents=True, exist_ok=True)
        self.workdir = self.directory / "state"
        self.runtime_dir = self.directory / "run"
        self.socket_path = self.directory / "wsod.sock"
        self.log_path = self.directory / "wsod.log"
        command = [*wrapper, BUILD / "src/wsod/wsod", "run", "--workdir", self.workdir]
        command += ["--runtime-dir", self.runtime_dir, "--disk-dir", self.disks]
        command += ["--socket", self.socket_path, "--accel", "tcg", "--log-level", "debug"]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in [*command, *arguments]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_ready(self):
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"wsod ended: {self.log}")
            # Connections are taken before the domains of the last daemon are, and answered after. One
            # to a daemon that was just killed may be taken by what becomes a QEMU in a moment.
            with contextlib.suppress(OSError, AssertionError):
                return self.call("daemon.info")
            return False

        wait_until(answers, "wsod answers on its socket")
        return self

    def connect(self):
        return Connection(self.socket_path)

    def call(self, method, **params):
        with self.connect() as connection:
            return connection.call(method, **params)

    def launch(self, name, **params):
        return self.call("domain.launch", domain_name=name, **params)

    def launch_paused(self, name, **params):
        return self.launch(name, paused=True, memory_kib=32 * 1024, **params)

    def state_of(self, name):
        """As it is listed; None if there is no such domain."""
        domains = self.call("domain.list")["domains"]
        return next((domain for domain in domains if domain["domain_name"] == name), None)

    def wait_for_state(self, name, state):
        return wait_until(
            lambda: (found := self.state_of(name)) and found["state"] == state and found,
            f"{name} becomes {state}, and is not {self.state_of(name)}",
        )

    def wsoctl(self, *arguments, check=True):
        done = subprocess.run(
            [str(BUILD / "src/wsoctl/wsoctl"), "--socket", str(self.socket_path), *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE * 2,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"wsoctl {arguments}: status {done.returncode}: {done.stderr}")
        return done

    def stop(self, how=signal.SIGTERM):
        """Ends it, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(DEADLINE)


class Guest:
    """A demo guest that is up."""

    def __init__(self, daemon, state):
        self.daemon = daemon
        self.name = state["domain_name"]
        self.address = state["ip_address"]
        self.state = state

    def wait_for_ssh(self):
        self.daemon.call(
            "domain.wait", domain_name=self.name, timeout_ms=int(DEADLINE * 1000), **{"for": "ssh"}
        )
        return self

    def ssh_command(self, command):
        options = ["-i", GUEST / "id_ed25519", "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
        return ["ssh", *map(str, options), f"root@{self.address}", command]

    def ssh(self, command):
        return run(*self.ssh_command(command))

    def ssh_fails(self, command):
        """Runs a command of which nothing but failure is expected."""
        done = subprocess.run(self.ssh_command(command), capture_output=True, timeout=DEADLINE)
        return done.returncode != 0


class Uplink:
    """The host on the other side: its namespace and its servers."""

    name = "uplink"

    def __init__(self):
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{UPLINK_ADDRESS}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", "eth0")
        # Its IPv6 routes would come and go by themselves for some seconds.
        pathlib.Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("1")
        run("ip", "link", "set", "eth0", "up")
        run("ip", "route", "add", "default", "via", UPLINK_ADDRESS)
        self.server = self.popen("/usr/bin/python3", SUPPORT / "servers.py", stdout=subprocess.PIPE)
        assert self.server.stdout.readline() == b"ready\n"

    def command(self, *command):
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command):
        return run(*self.command(*command))

    def popen(self, *command, **options):
        return subprocess.Popen(self.command(*command), **options)

    def close(self):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()
        # The link first: a namespace takes its links down some time after its deletion.
        run("ip", "link", "delete", "eth0")
        run("ip", "netns", "delete", self.name)


class Lab:
    def __init__(self, uplink=True):
        ROOT.mkdir()
        self.daemons = []
        self.uplink = Uplink() if uplink else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            # pytest shows what a failing test has printed.
            print(daemon.log)
            daemon.stop(signal.SIGKILL)
        for pid in qemus():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not qemus(), "all QEMUs are gone")
        if self.uplink:
            self.uplink.close()
        for link in json.loads(run("ip", "-j", "link")):
            if link["ifname"].startswith("virbr"):
                run("ip", "link", "delete", link["ifname"])
        run("nft", "flush", "ruleset")
        shutil.rmtree(ROOT)

    def start_daemon(self, *arguments, name="wso", wrapper=(), ready=True, environment={}):
        daemon = Daemon(name, arguments, wrapper, environment)
        self.daemons.append(daemon)
        return daemon.wait_ready() if ready else daemon

    def write_config(self, text):
        """The path of a configuration with this text."""
        path = ROOT / "wsod.toml"
        path.write_text(text)
        return str(path)

    def guest(self, name, **params):
        """Launches a demo guest and waits for its SSH server."""
        params.setdefault("memory_kib", 128 * 1024)
        daemon = self.daemons[-1]
        state = daemon.launch(name, iso_path=str(GUEST / "guest.iso"), **params)
        return Guest(daemon, state).wait_for_ssh()


@contextlib.contextmanager
def injected(daemon, fault):
    """Meanwhile a system call of the daemon fails, or does nothing, as strace(1) has it: "recvfrom:error=ENOMEM"."""
    command = ["strace", "-f", "-o", "/dev/null", "-p", str(daemon.process.pid)]
    command += ["-e", f"trace={fault.split(':')[0]}", "-e", f"inject={fault}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert "attached" in strace.stderr.readline()
            yield
        finally:
            strace.terminate()


def cpu_ms(daemon):
    """The processor time that the daemon has taken so far, in all its threads."""
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def qemus():
    """The QEMU processes of this lab."""
    pids = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # A zombie has an empty command line.
            if b"guest=" in (entry / "cmdline").read_bytes():
                pids.append(int(entry.name))
    return sorted(pids)


def kernel_state():
    """Everything in this network namespace that a domain could have left in it."""
    links = json.loads(run("ip", "-j", "link"))
    routes = json.loads(run("ip", "-j", "route", "show", "table", "all"))
    # The guard is the daemon's own, and comes and goes with it.
    rules = re.sub(r"^table inet wso-guard .*?^}\n", "", run("nft", "-s", "list", "ruleset"),
                   flags=re.DOTALL | re.MULTILINE)  # fmt: skip
    return {
        "links": sorted(link["ifname"] for link in links),
        "addresses": run("ip", "-o", "address").count("\n"),
        "routes": sorted(json.dumps(route, sort_keys=True) for route in routes),
        "neighbours": run("ip", "neigh", "show", "nud", "permanent"),
        "rules": rules,
        "namespaces": run("ip", "netns", "list"),
    }


def files_of(daemon):
    """All files of the daemon's directories but those of its own."""
    own = {daemon.log_path, daemon.workdir / "lock", daemon.socket_path}
    own |= {daemon.runtime_dir / "lock", daemon.runtime_dir / "boot"}
    return sorted(
        str(path.relative_to(daemon.directory))
        for path in daemon.directory.rglob("*")
        if not path.is_dir() and path not in own
    )


def everything(daemon):
    """What must be the same before a launch and after its undoing."""
    return {**kernel_state(), "files": files_of(daemon), "qemus": qemus()}
