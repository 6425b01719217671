"""The last step before a child becomes its program; run as a script in a process of its own.

It gives up root, asks the kernel for a signal when the thread that started it ends, and replaces itself by the program,
under the same process number. It is no ``preexec_fn``: that runs Python between fork and exec, which Python warns of
(3.12 and later) and which may deadlock once the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
# What Python, or a shell that starts things in the background, ignores; a program would inherit it.
IGNORED = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)


def become(last_word: int, parent: int, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process by a program.

    Args:
        last_word: the signal it gets when its parent ends; on Linux only.
        parent: the parent's process number.
        uid: who to become, or -1 to stay who we are.
        gid: the group to become.
        command: the program, by its full path, and its arguments.

    Raises:
        OSError: it cannot be started.
    """
    libc = ctypes.CDLL(None)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)  # from here on nothing can be imported: Python itself may lie out of reach
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(last_word))
    if os.getppid() != parent:
        sys.exit("The parent ended before this could be tied to it")
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 - the command comes from our own code


if __name__ == "__main__":
    signal_number, parent_pid, user, group = map(int, sys.argv[1:5])
    try:
        become(signal_number, parent_pid, user, group, sys.argv[5:])
    except OSError as error:
        sys.exit(f"{sys.argv[5]} cannot be started: {error.strerror}")
