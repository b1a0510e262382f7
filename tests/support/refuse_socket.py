"""Runs a program for which the kernel has no sockets of one netlink family, as if it were built without.

    refuse_socket.py FAMILY PROGRAM [ARGUMENT...]

A seccomp filter (seccomp(2)) answers socket(AF_NETLINK, _, FAMILY) with EPROTONOSUPPORT.
"""

import ctypes
import errno
import os
import struct
import sys

AF_NETLINK, SYS_SOCKET = 16, 41
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPROTONOSUPPORT
# Offsets in struct seccomp_data: the call's number, its first argument, its third.
NUMBER, FIRST, THIRD = 0, 16, 32

family = int(sys.argv[1])
program = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_EQUAL, 0, 5, SYS_SOCKET),
    (LOAD, 0, 0, FIRST),
    (JUMP_EQUAL, 0, 3, AF_NETLINK),
    (LOAD, 0, 0, THIRD),
    (JUMP_EQUAL, 0, 1, family),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
descriptor = ctypes.create_string_buffer(
    struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
)
libc = ctypes.CDLL(None, use_errno=True)
for arguments in [
    (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(descriptor), 0, 0),
]:
    if libc.prctl(*map(ctypes.c_ulong, arguments)) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
