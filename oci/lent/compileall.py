"""The standard library's compileall, for pip: files of a wheel that pip compiles one after the other are compiled side by side.

pip imports this instead, as it stands before the standard library on PYTHONPATH. Which files are compiled, and what is
written down of them, stays pip's affair: it asks for each as always, in order, and processes that were forked from it have
begun at the other end. They write what it would, with the same interpreter in the same state. Whatever is not as
expected is compiled as it always was.
"""
import fcntl
import os
import sys
import tempfile

import kanso_lookahead
from kanso_lent import real

FEW = 24  # files that are not worth a process
BUSY, DONE = b"\0", b"\1"


compileall = real(__name__)
one = compileall.compile_file


class Wheel:
    """The files of one wheel. Who works on a file has locked its byte in a file; the byte says whether it is done."""

    def __init__(self, installed, lib_dir):
        self.installed = installed
        names = (os.path.join(lib_dir, p) for p in sorted(set(installed.values())))
        self.files = [p for p in names if p.endswith(".py") and os.path.isfile(p)]
        self.at = {p: i for i, p in enumerate(self.files)}
        self.table = None
        workers = min(len(os.sched_getaffinity(0)) - 1, 7, len(self.files) // FEW)
        if workers > 0 and kanso_lookahead.lookahead.stop():
            self.table = tempfile.TemporaryFile()
            self.table.write(BUSY * len(self.files))
            self.table.flush()
            self.fd = self.table.fileno()
            for n in range(workers):
                if os.fork() == 0:
                    self.work(n, workers)

    def work(self, n, workers):
        """Compile every so many-th file from the end until the other process is met. Never returns."""
        try:
            for i in range(len(self.files) - 1 - n, -1, -workers):
                fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, i)
                if os.pread(self.fd, 1, i) == DONE:
                    break
                if one(self.files[i], force=True, quiet=2):
                    os.pwrite(self.fd, DONE, i)
                fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, i)
        except BaseException:  # who asks for the file next compiles it
            pass
        os._exit(0)

    def done(self, name):
        """Whether a file is compiled already. If not it is the caller's, who says when it is."""
        i = self.at.get(name)
        if self.table is None or i is None:
            return None, False
        fcntl.lockf(self.fd, fcntl.LOCK_EX, 1, i)
        return i, os.pread(self.fd, 1, i) == DONE

    def end(self, i):
        os.pwrite(self.fd, DONE, i)
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, i)


wheel = None


def wheel_of(frame):
    """The wheel that pip is installing, as its own variables have it."""
    global wheel
    for _ in range(4):
        if frame is None:
            return None
        installed, lib_dir = frame.f_locals.get("installed"), frame.f_locals.get("lib_dir")
        if isinstance(installed, dict) and isinstance(lib_dir, str) and frame.f_globals.get("__name__", "").startswith("pip._internal."):
            if wheel is None or wheel.installed is not installed:
                wheel = Wheel(installed, lib_dir)
            return wheel
        frame = frame.f_back
    return None


def compile_file(fullname, *args, **kwargs):
    if args or kwargs != {"force": True, "quiet": True}:
        return one(fullname, *args, **kwargs)
    try:
        of = wheel_of(sys._getframe(1))
        i, done = of.done(fullname) if of else (None, False)
    except Exception:
        i, done = None, False
    if done:
        return True
    try:
        return one(fullname, *args, **kwargs)
    finally:
        if i is not None:
            of.end(i)


compileall.compile_file = compile_file
sys.modules[__name__] = compileall
