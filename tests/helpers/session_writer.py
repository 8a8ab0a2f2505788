"""Write a session file line by line, as an agent does; runs as a separate process.

python -m tests.helpers.session_writer PATH INTERVAL_S < LINES
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Append each line of stdin in two writes."""
    path, interval_s = Path(sys.argv[1]), float(sys.argv[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        for line in sys.stdin.buffer:
            half = len(line) // 2
            os.write(file.fileno(), line[:half])
            time.sleep(interval_s / 2)
            os.write(file.fileno(), line[half:])
            time.sleep(interval_s / 2)


if __name__ == "__main__":
    main()
