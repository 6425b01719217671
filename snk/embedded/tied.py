"""The last step before a child becomes its program; run as a script in a process of its own.

It takes back what the parent may have left behind (ignored and blocked signals, limits, umask), gives up root, asks the
kernel for a signal when the thread that started it ends, and replaces itself by the program, under the same process
number. It is no ``preexec_fn``: that runs Python between fork and exec, which Python warns of (3.12 and later) and
which may deadlock once the parent has threads.

Its standard output is a pipe on which the parent waits. The pipe is closed when the program takes over, so from then on
every signal either meets a handler of the program or ends it; none is lost. Why a program cannot be started is told
there. The program itself writes to what is standard error here.
"""

import fcntl
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
UMASK = 0o022
# As many as one process of PostgreSQL opens (max_files_per_process), several times over.
FILES = 4096
STANDARD_STREAMS = 3


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
    import ctypes  # noqa: PLC0415 - for this only; whoever wants `raise_limits` starts sooner without it

    hear_all_signals()
    raise_limits()
    os.umask(UMASK)
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
    os.execv(command[0], command)  # noqa: S606 - the command comes from our own code


def hear_all_signals() -> None:
    """Give every signal its default effect, and block none.

    A program inherits what its parent ignores and blocks: Python ignores SIGPIPE, a shell ignores SIGINT for what it
    starts in the background, ``nohup`` ignores SIGHUP.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def raise_limits() -> None:
    """Let files grow, and open as many as are needed, as far as the hard limits permit."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_pipe() -> int:
    """Take the pipe away from standard output, which becomes what standard error is.

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
