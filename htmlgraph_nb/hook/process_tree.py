"""Which processes are above this one: what the hook tells of the agent that started it.

Standard library only: the hook loads it at every tool call.
"""

from __future__ import annotations

import os
import time

MAX_ANCESTORS = 5
"""A shell or two, a launcher, the agent, and who started that."""


def ancestors() -> list[tuple[int, float | None]]:
    """Return the ids of the processes above this one, the nearest first, and when each began.

    Times are seconds since 1970. Where the system has no ``/proc``, as on macOS and Windows, it is
    the parent alone, and None for its time.
    """
    pid = os.getppid()
    try:
        # Between the two clocks lies the time at which the machine started.
        started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        tick_s = 1 / os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError):
        return [(pid, None)] if pid > 1 else []
    found: list[tuple[int, float | None]] = []
    while pid > 1 and len(found) < MAX_ANCESTORS:
        try:
            # proc_pid_stat(5): the name in parentheses can hold anything; 4 is the parent, 22 the
            # time at which the process began, in ticks since the start of the machine.
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            found.append((pid, round(started + int(fields[19]) * tick_s, 2)))
            pid = int(fields[1])
        except (OSError, ValueError, IndexError):
            break
    return found
