"""Freezes single threads of another process, by ptrace(2): a hang that the program under test need not provide for."""

import ctypes
import os

from machine import Unavailable

# linux/ptrace.h, bits/waitflags.h
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WAIT_FOR_ANY_CHILD = 0x40000000


class FrozenThreads:
    """`with FrozenThreads(pid, lambda thread: thread == pid): ...` freezes those of its threads for which `which` is true."""

    def __init__(self, pid, which):
        self._pid = pid
        self._which = which
        self._frozen = []

    def __enter__(self):
        for thread in sorted(map(int, os.listdir(f"/proc/{self._pid}/task"))):
            if self._which(thread):
                self._freeze(thread)
        assert self._frozen, "no thread was to be frozen"
        return self

    def __exit__(self, *_):
        for thread in self._frozen:
            ptrace(DETACH, thread)

    def _freeze(self, thread):
        try:
            ptrace(SEIZE, thread)
        except OSError as error:
            raise Unavailable(f"this machine lets nobody trace a process: {error}") from None
        self._frozen.append(thread)
        ptrace(INTERRUPT, thread)
        os.waitpid(thread, WAIT_FOR_ANY_CHILD)


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
