"""Started as a program: becomes the program named in its arguments, which then dies with its parent.

A process that the engine started must not outlive it, also when the engine is killed. The kernel does that
(PR_SET_PDEATHSIG), but only the child itself can ask for it, and running Python between fork and exec is not safe in a
process that has threads. Arguments: the parent's process id, then program and arguments.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit("launcher: cannot bind the child's life to its parent's")
    if os.getppid() != int(sys.argv[1]):
        sys.exit("launcher: the parent is gone")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # no shell is the point; the program is the caller's choice
