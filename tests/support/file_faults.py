"""Fails the calls by which wsod changes files, or kills it there: from the n-th on, all of them.

    faults = FileFaults("/run/lab/wso/state")
    daemon = lab.start_daemon(wrapper=faults.wrapper)
    faults.arm(full_disk, after=3)       # three calls succeed, then the disk is full
    ...
    faults.disarm()
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import threading

from lab import ROOT, SUPPORT
from notify_file_calls import CALLS

# seccomp_unotify(2): two ioctls, struct seccomp_notif and struct seccomp_notif_resp.
RECEIVE, SEND = 0xC0502100, 0xC0182101
NOTIFICATION, ANSWER = "=QIIiIQ6Q", "=QqiI"
GO_ON = 1

# Where each call has its path; the others have a descriptor.
PATH_ARGUMENT = {"openat": 1, "rename": 0, "renameat2": 1, "linkat": 3, "unlink": 0, "mkdir": 0}


def full_disk(call):
    return None if call in ("unlink", "fsync", "fdatasync") else errno.ENOSPC


def failing_sync(call):
    return errno.EIO if call in ("fsync", "fdatasync") else None


def kill(_call):
    return -signal.SIGKILL


class FileFaults:
    def __init__(self, *directories):
        self.directories = tuple(f"{directory}/" for directory in directories)
        path = ROOT / "file-faults.sock"
        self.wrapper = [sys.executable, SUPPORT / "notify_file_calls.py", path]
        self.lock = threading.Lock()
        self.fault, self.n_left, self.struck = None, 0, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, fault, after):
        """`fault` names the error of a call, or a signal below zero, or None: it has nothing to do with it."""
        with self.lock:
            self.fault, self.n_left, self.struck = fault, after, []

    def disarm(self):
        """Returns the calls that were struck."""
        with self.lock:
            self.fault = None
            return self.struck

    def _accept(self):
        while True:
            connection, _ = self.socket.accept()
            with connection:
                pid = struct.unpack("3i", connection.getsockopt(
                    socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]  # fmt: skip
                _, (calls, *_), _, _ = socket.recv_fds(connection, 16, 1)
            threading.Thread(target=self._answer_all, args=(pid, calls), daemon=True).start()

    def _answer_all(self, pid, calls):
        poll = select.poll()
        poll.register(calls, select.POLLIN)
        while not poll.poll()[0][1] & select.POLLHUP:
            notification = bytearray(struct.calcsize(NOTIFICATION))
            # A caller may have been killed before it is heard, or before it is answered.
            with contextlib.suppress(FileNotFoundError):
                fcntl.ioctl(calls, RECEIVE, notification)
                call_id, caller, _, number, _, _, *words = struct.unpack(NOTIFICATION, notification)
                error = self._judge(pid, caller, CALLS[number], words)
                if error < 0:
                    # Never answered: the call is not made.
                    os.kill(pid, -error)
                    continue
                answer = struct.pack(ANSWER, call_id, 0, -error, 0 if error else GO_ON)
                fcntl.ioctl(calls, SEND, answer)

    def _judge(self, pid, caller, call, arguments):
        """What is to become of the call: an error, a signal below zero, or 0."""
        # The filter is QEMU's, too, which inherits it.
        if self.fault is None or not os.path.exists(f"/proc/{pid}/task/{caller}"):
            return 0
        path = path_of(caller, call, arguments)
        if makes_nothing(call, path):
            return 0
        with self.lock:
            error = path.startswith(self.directories) and self.fault and self.fault(call)
            if not error:
                return 0
            if self.n_left > 0:
                self.n_left -= 1
                return 0
            self.struck.append(f"{call} {path}")
            return error


def makes_nothing(call, path):
    """What is there already can be opened, and refused, on any disk."""
    return (call == "openat" and os.path.isfile(path[:-1])) or (call == "mkdir" and os.path.isdir(path))


def path_of(caller, call, arguments):
    """What the call changes, and a slash: to create a file without a name is to change the directory."""
    if call not in PATH_ARGUMENT:
        return os.readlink(f"/proc/{caller}/fd/{arguments[0]}") + "/"
    with open(f"/proc/{caller}/mem", "rb", buffering=0) as memory:
        memory.seek(arguments[PATH_ARGUMENT[call]])
        # Reads less where the memory ends.
        return os.fsdecode(memory.read(4096).split(b"\0")[0]) + "/"
