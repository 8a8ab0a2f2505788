"""Loading of session files: time and memory, beside reading, parsing and ccusage.

    python -m tests.benchmarks.transcripts [--megabytes 200 | --folder FOLDER]
        [--ccusage COMMAND] [--json]

Without a folder, sessions of Claude Code are made from recorded ones: new ids, and content as long
as it is in practice. FOLDER is one as ``~/.claude``, with ``projects`` in it. COMMAND runs ccusage
(``npm install ccusage``), as ``node_modules/.bin/ccusage``; it is run offline, and the totals of
both are compared: the status is 1 where they differ. Each case is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.table import print_figures
from tests.helpers.paths import ROOT

SESSION = ROOT / "tests/payloads" / "sessions" / "claude"
RECORDED = "4d5611e5-241a-462a-8d15-5122611a9569"
_BODY = """
import json, sys
from pathlib import Path
files = sorted(Path(sys.argv[1]).rglob("*.jsonl"))
total = 0
"""
CASES = {
    "lines read": _BODY
    + """
for file in files:
    with file.open("rb") as lines:
        total += sum(1 for _ in lines)
print(json.dumps({"rows": total}))
""",
    "every line parsed": _BODY
    + """
for file in files:
    with file.open("rb") as lines:
        for line in lines:
            json.loads(line)
            total += 1
print(json.dumps({"rows": total}))
""",
    "load_transcripts": """
import json, sys
from htmlgraph_nb import load_transcripts
frame = load_transcripts(sys.argv[1], progress=False)
kinds = [n for n in frame if n.endswith("_tokens") and n != "cost_tokens"]
print(json.dumps({"rows": len(frame), "tokens": int(frame[kinds].sum().sum())}))
""",
}


@dataclass(frozen=True)
class Figures:
    """What one case took.

    Attributes:
        rows: lines or events; tokens: all kinds together; None: not told.
    """

    case: str
    seconds: float
    mb_per_s: float
    peak_mb: float
    rows: int | None
    tokens: int | None


def make_folder(folder: Path, megabytes: int) -> None:
    """Write sessions of about so many MB, each an altered copy of a recorded one."""
    words = random.Random(1)
    pieces = ["".join(words.choices('abcdef ghij klmno\n"', k=2_000)) for _ in range(50)]
    recorded = (SESSION / f"{RECORDED}.jsonl").read_text()
    n_bytes = n_sessions = 0
    projects = folder / "projects" / "shop"
    projects.mkdir(parents=True)
    while n_bytes < megabytes * 1_000_000:
        n_sessions += 1
        session = str(uuid.UUID(int=words.getrandbits(128), version=4))
        text = recorded.replace(RECORDED, session)
        for kind in ("msg_", "toolu_", "req_"):
            text = text.replace(f'"{kind}', f'"{kind}{n_sessions:05d}')
        text = text.replace('"uuid":"', f'"uuid":"{n_sessions:05d}')
        while "never-keep-this" in text:
            text = text.replace("never-keep-this", json.dumps(words.choice(pieces))[1:-1], 20)
        (projects / f"{session}.jsonl").write_text(text)
        n_bytes += len(text)


def run(case: str, command: Sequence[str], n_bytes: int, environ: dict[str, str]) -> Figures:
    """Run one process and return what it took and told."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, env=environ)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{case}: exit status {process.returncode}")
        out.seek(0)
        told = json.loads(out.read())
    tokens = told.get("tokens", told.get("totals", {}).get("totalTokens"))
    peak_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Figures(case, seconds, n_bytes / 1e6 / seconds, peak_mb, told.get("rows"), tokens)


def measure(folder: Path, ccusage: str | None) -> list[Figures]:
    """Return the figures of every case on a folder, after one reading that warms the file cache."""
    n_bytes = sum(len(file.read_bytes()) for file in folder.rglob("*.jsonl"))
    projects = str(folder / "projects")
    found = [
        run(case, [sys.executable, "-c", code, projects], n_bytes, dict(os.environ))
        for case, code in CASES.items()
    ]
    if ccusage is not None:
        environ = {**os.environ, "CLAUDE_CONFIG_DIR": str(folder), "LOG_LEVEL": "0"}
        command = [*shlex.split(ccusage), "claude", "session", "--json", "--offline"]
        found.append(run("ccusage", command, n_bytes, environ))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200, help="MB to make (default 200)")
    parser.add_argument("--folder", type=Path, help="a folder as ~/.claude, instead of a made one")
    parser.add_argument("--ccusage", help="command that runs ccusage")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder
        if folder is None:
            folder = Path(made) / "claude"
            make_folder(folder, options.megabytes)
        figures = measure(folder, options.ccusage)
    print_figures(
        figures,
        ("case", "s", "MB/s", "peak MB", "rows", "tokens"),
        lambda f: (f.case, f.seconds, f.mb_per_s, f.peak_mb, f.rows, f.tokens),
        as_json=options.json,
    )
    return 0 if len({f.tokens for f in figures if f.tokens is not None}) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
