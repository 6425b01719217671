"""The last step before a child becomes its program; it is run as a script in a separate process.

It resets what the parent may have left behind (ignored and blocked signals, limits, umask), gives up root, asks the
kernel for a signal when the thread that started it ends, and replaces itself by the program, under the same process id.
It is not a ``preexec_fn``: that runs Python between fork and exec, which Python warns about (3.12 and later) and which
may deadlock once the parent has threads.

Its standard output is a pipe on which the parent waits. The pipe is closed when the program takes over, so from then on
every signal either meets a handler of the program or ends it; none is lost. If a program cannot be started, the reason
is written to the pipe. The program itself writes to the standard error of this script.
"""

import fcntl
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
UMASK = 0o022
# Several times the number that one process of PostgreSQL opens (max_files_per_process).
FILES = 4096
STANDARD_STREAMS = 3


def become(last_word: int, parent: int, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process by a program.

    Args:
        last_word: the signal it gets when its parent ends; on Linux only.
        parent: the parent's process id.
        uid: the user to become, or -1 to keep the current one.
        gid: the group to become.
        command: the program, by its full path, and its arguments.

    Raises:
        OSError: it cannot be started.
    """
    import ctypes  # noqa: PLC0415 - used only here; importers of `raise_limits` start faster without it

    hear_all_signals()
    raise_limits()
    os.umask(UMASK)
    libc = ctypes.CDLL(None)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)  # from here on nothing can be imported: Python itself may be unreachable
    if sys.platform == "linux":
        # After the change of user, which would reset it.
        libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(last_word))
    if os.getppid() != parent:
        sys.exit("The parent ended before this could be tied to it")
    os.execv(command[0], command)  # noqa: S606 - the command comes from our own code


def hear_all_signals() -> None:
    """Reset every signal to its default action, and block none.

    A program inherits the signals that its parent ignores and blocks: Python ignores SIGPIPE, a shell ignores SIGINT
    for programs that it starts in the background, ``nohup`` ignores SIGHUP.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def raise_limits() -> None:
    """Allow files to grow, and enough files to be open, as far as the hard limits permit."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_pipe() -> int:
    """Move the pipe away from standard output, which then writes to standard error.

    Returns:
        The pipe; it is closed when a program takes over.
    """
    pipe: int = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_DUPFD_CLOEXEC, STANDARD_STREAMS)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


if __name__ == "__main__":
    to_parent = keep_pipe()
    signal_number, parent_pid, user, group = map(int, sys.argv[1:5])
    try:
        become(signal_number, parent_pid, user, group, sys.argv[5:])
    except OSError as error:
        os.write(to_parent, (error.strerror or str(error)).encode())
        sys.exit(1)
