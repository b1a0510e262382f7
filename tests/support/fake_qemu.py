#!/usr/bin/python3
"""Stands in for a QEMU that misbehaves on the monitor socket it was started with.

The daemon runs it under the name of its mode: exits, silent, garbage, endless, hangs-up, half,
wrong-uuid, not-paused.
"""

import os
import re
import socket
import sys
import time

mode = os.path.basename(sys.argv[0])
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

client.sendall(greeting + b"\r\n")
for line in client.makefile("rb"):
    number = re.search(rb'"id": ?(\d+)', line)[1]
    result = b"{}"
    if b"query-uuid" in line:
        answer = "00000000-0000-0000-0000-000000000000" if mode == "wrong-uuid" else uuid
        result = b'{"UUID": "%s"}' % answer.encode()
    if b"query-status" in line:
        result = b'{"status": "running", "running": true, "singlestep": false}'
    client.sendall(b'{"return": %s, "id": %s}\r\n' % (result, number))
forever()
