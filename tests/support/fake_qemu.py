#!/usr/bin/python3
"""Stands in for a QEMU that misbehaves on the monitor socket it was started with.

The daemon runs it under the name of its mode: exits, silent, garbage, endless, hangs-up, half,
wrong-uuid, not-paused. Under its own name the mode is the domain's name, later-MODE: it behaves until its
domain runs, and then does so no more, on every connection: garbage, half, endless, unknown-id, silent,
hangs-up; or powers-off, is-ended: its guest,
or somebody else, does so at once.
"""

import os
import re
import socket
import sys
import time

mode = os.path.basename(sys.argv[0])
if mode == "fake_qemu.py":
    mode = re.search(r"guest=([^,]+)", " ".join(sys.argv))[1]
if mode == "exits":
    sys.exit("fake QEMU: I do not feel like it")

arguments = " ".join(sys.argv)
monitor = socket.socket(fileno=int(re.search(r"id=monitor,fd=(\d+)", arguments)[1]))
monitor.setblocking(True)
uuid = re.search(r"-uuid (\S+)", arguments)[1]
client, _ = monitor.accept()
greeting = b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}}'


def forever():
    while True:
        time.sleep(3600)


if mode == "silent":
    forever()
if mode == "garbage":
    client.sendall(b"\x00\xff\xfehello\r\n" * 100)
    forever()
if mode == "hangs-up":
    client.close()
    forever()
if mode == "half":
    client.sendall(greeting[:20])
    forever()
if mode == "endless":
    try:
        while True:
            client.sendall(b"x" * 65536)
    except OSError:
        forever()

def misbehave(client):
    if mode == "later-garbage":
        client.sendall(b"\x00\xff\xfehello\r\n" * 100)
    if mode == "later-half":
        client.sendall(b'{"return": {')
    if mode == "later-unknown-id":
        client.sendall(b'{"return": {}, "id": 123456789}\r\n')
    if mode == "later-endless":
        for _ in range(16 * 1024):  # a gigabyte
            client.sendall(b"x" * 65536)
    if mode == "later-hangs-up":
        client.close()


shutdown = b'{"event": "SHUTDOWN", "data": {"guest": %s}, "timestamp": {"seconds": 0, "microseconds": 0}}\r\n'
client.sendall(greeting + b"\r\n")
status = b"running" if mode == "not-paused" else b"prelaunch"
for line in client.makefile("rb"):
    number = re.search(rb'"id": ?(\d+)', line)[1]
    result = b"{}"
    if b"query-uuid" in line:
        answer = "00000000-0000-0000-0000-000000000000" if mode == "wrong-uuid" else uuid
        result = b'{"UUID": "%s"}' % answer.encode()
    if b"query-status" in line:
        running = b"true" if status == b"running" else b"false"
        result = b'{"status": "%s", "running": %s, "singlestep": false}' % (status, running)
    answer = b'{"return": %s, "id": %s}\r\n' % (result, number)
    if b"query-status" in line and status == b"shutdown" and mode == "is-ended":
        client.sendall(shutdown % b"false" + answer)
        sys.exit(0)
    if b'"cont"' in line and mode in ("powers-off", "is-ended"):
        status = b"shutdown"
        answer += shutdown % b"true" if mode == "powers-off" else b""
    client.sendall(answer)
    if b'"cont"' in line and mode.startswith("later-"):
        break
connections = [client]
while mode.startswith("later-"):
    try:
        misbehave(connections[-1])
    except OSError:
        pass  # the daemon has had enough
    connections.append(monitor.accept()[0])
forever()
