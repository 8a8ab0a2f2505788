"""The ancestor processes of the hook, among them the agent that started it.

Standard library only: the hook loads this on every tool call.
"""

from __future__ import annotations

import os
import time

MAX_ANCESTORS = 5
"""Enough for a shell or two, a launcher, the agent, and its parent."""


def ancestors() -> list[tuple[int, float | None, int | None]]:
    """Return the ids of the ancestor processes, the parent first, and their start times.

    Start times are seconds since 1970, and clock ticks since boot, which a change of the clock does
    not affect. On systems without ``/proc``, such as macOS and Windows, only the parent is
    returned, without its start time.
    """
    pid = os.getppid()
    try:
        # The two clocks differ by the boot time of the machine.
        boot_time = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        tick_s = 1 / os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError):
        return [(pid, None, None)] if pid > 1 else []
    result: list[tuple[int, float | None, int | None]] = []
    while pid > 1 and len(result) < MAX_ANCESTORS:
        try:
            # proc_pid_stat(5): the name in parentheses can contain any character; field 4 is the
            # parent, field 22 the start time in clock ticks since boot.
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            ticks = int(fields[19])
            result.append((pid, round(boot_time + ticks * tick_s, 2), ticks))
            pid = int(fields[1])
        except (OSError, ValueError, IndexError):
            break
    return result
