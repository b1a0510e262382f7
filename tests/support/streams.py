"""Connections and programs that go on sending, for tests that wait for what comes."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time

from lab import BUILD, DEADLINE, RpcError


class Bytes:
    """What comes from a descriptor, to be waited for."""

    def __init__(self, fd):
        self.fd = fd
        self.text = b""
        self.ended = False

    def until(self, what, deadline=DEADLINE):
        end = time.monotonic() + deadline
        while what not in self.text:
            self.read(max(0.0, end - time.monotonic()))
        return self.text

    def until_end(self):
        while not self.ended:
            self.read(DEADLINE, may_end=True)
        return self.text

    def read(self, patience, may_end=False):
        if not select.select([self.fd], [], [], patience)[0]:
            raise AssertionError(f"no more than {self.text[-2000:]}")
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            got = b""
        self.ended = not got
        if self.ended and not may_end:
            raise AssertionError(f"ended after {self.text[-2000:]}")
        self.text += got


@contextlib.contextmanager
def raw(daemon, method, **params):
    """A connection that the method has turned into bytes."""
    with daemon.connect() as connection:
        # Not by lines: what follows the result is to be left where it is.
        connection.send(method, **params)
        reply = b""
        while not reply.endswith(b"\n"):
            got = connection.socket.recv(1)
            assert got, reply
            reply += got
        answer = json.loads(reply)
        if "error" in answer:
            raise RpcError(answer["error"])
        connection.socket.settimeout(DEADLINE)
        stream = Bytes(connection.socket.fileno())
        stream.send = connection.socket.sendall
        yield stream


@contextlib.contextmanager
def wsoctl(daemon, *arguments, **options):
    command = [str(BUILD / "src/wsoctl/wsoctl"), "--socket", str(daemon.socket_path), *arguments]
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


class Terminal:
    """wsoctl on a terminal of its own."""

    def __init__(self, daemon, *arguments):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        command = [str(BUILD / "src/wsoctl/wsoctl"), "--socket", str(daemon.socket_path), *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            # Who started the tests may have had it ignored, as nohup does.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        self.shown = Bytes(self.master)

    def type(self, keys):
        os.write(self.master, keys)

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
