"""A daemon whose writes can be made to fail, and what one looks at then."""

import os
import pathlib
import signal

from file_faults import FileFaults
from lab import everything, qemus, run

STATE = pathlib.Path("/run/lab/wso/state")
DISKS = pathlib.Path("/run/lab/wso/disks")
WRITE_ERROR = r"/run/lab/wso/(state|disks)[^:]*: (No space left|Input/output error)"
DISK = DISKS / "wso-web-disk.qcow2"


def look(daemon):
    """The domain as the daemon lists it, or None; fails if that is not the truth."""
    domains = daemon.call("domain.list")["domains"]
    alive = [domain["pid"] for domain in domains if domain["state"] in ("running", "paused")]
    assert qemus() == alive
    links = os.listdir("/sys/class/net")
    rules = run("nft", "list", "set", "inet", "wso", "guests")
    assert links.count("virbrweb") == links.count("vnetweb") == rules.count("virbrweb") == len(alive)
    if alive:
        live = daemon.call("domain.status")["domains"][0]["live"]["qemu_status"]
        assert (live == "running") == (domains[0]["state"] == "running"), live
    return domains[0] if domains else None


def state_of(domain):
    return domain and domain["state"]


def disk():
    return (DISK.stat().st_ino, DISK.read_bytes()) if DISK.exists() else None


class Bench:
    """A daemon whose writes can be made to fail, and what its host is like without a domain."""

    def __init__(self, lab):
        self.lab, self.faults = lab, FileFaults(STATE, DISKS)
        self.daemon = lab.start_daemon(wrapper=self.faults.wrapper)
        self.empty = everything(self.daemon)

    def restart(self):
        self.daemon.stop(signal.SIGKILL)
        self.lab.daemons.remove(self.daemon)
        self.daemon = self.lab.start_daemon(wrapper=self.faults.wrapper)
