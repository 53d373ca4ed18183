"""Runs a program in this process's group and takes the group down when the caller is gone.

The caller holds the other end of this program's standard input and never writes to it: the end of that file means that
the caller died, even by SIGKILL. DVC killed leaves a stage's process behind that may write later; here it does not.
Started by path as a program, with the command as its arguments; imports nothing of the project.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

__all__ = ["main"]


def main(command: list[str]) -> int:
    """Run the command with an empty standard input; returns its exit code."""
    no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=[no_input])
    # Asked to end, the group ends when the program has.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_wait_for_the_caller, daemon=True).start()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        # Killed: what it started has no parent any more that would wait for it.
        os.killpg(0, signal.SIGKILL)
    return code


def _wait_for_the_caller() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
