"""Runs a program whose calls that change files wait for the leave of another, as file_faults.py gives it.

    notify_file_calls.py SOCKET PROGRAM [ARGUMENT...]

The descriptor on which the calls are told (seccomp_unotify(2)) is sent to whoever listens on SOCKET.
"""

import ctypes
import os
import socket
import struct
import sys

# What each call is named, by its number on x86-64.
CALLS = {
    1: "write", 18: "pwrite64", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 82: "rename",
    83: "mkdir", 87: "unlink", 257: "openat", 265: "linkat", 316: "renameat2",
}  # fmt: skip
OPENAT = 257
CREATES = os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY)

SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 317, 1, 1 << 3
LOAD, JUMP_EQUAL, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
# Offsets in struct seccomp_data: the call's number, the third argument.
NUMBER, THIRD = 0, 32


def install_filter():
    """The descriptor of the calls of this process from here on, and of all its children."""
    others = [number for number in CALLS if number != OPENAT]
    program = [(LOAD, 0, 0, NUMBER), (JUMP_EQUAL, 0, 2, OPENAT)]
    program += [(LOAD, 0, 0, THIRD), (JUMP_ANY_BIT, len(others) + 1, len(others), CREATES)]
    for position, number in enumerate(others):
        program.append((JUMP_EQUAL, len(others) - position, 0, number))
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NOTIFY)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    descriptor = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    listener = libc.syscall(SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(descriptor))
    if listener < 0:
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    return listener


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.connect(sys.argv[1])
        socket.send_fds(supervisor, [b"calls"], [install_filter()])
    os.execvp(sys.argv[2], sys.argv[2:])
