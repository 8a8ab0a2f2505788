"""Loading session files: time and memory, compared with reading, parsing and ccusage.

    python -m tests.benchmarks.transcripts [--megabytes 200 | --folder FOLDER]
        [--ccusage COMMAND] [--json]

Without a folder, sessions of Claude Code are generated from recorded ones, with new ids and content
of realistic length. FOLDER is a folder like ``~/.claude``, with ``projects`` in it. COMMAND runs
ccusage (``npm install ccusage``), such as ``node_modules/.bin/ccusage``; it runs offline, and the
exit status is 1 if its total differs. Each case is a process. The lower bounds of
``load_transcripts`` are ``lines read`` and ``every line parsed``: compare the seconds.
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
kinds = [n for n in frame if n.endswith("_tokens") and n not in ("cost_tokens", "context_tokens")]
print(json.dumps({"rows": len(frame), "tokens": int(frame[kinds].sum().sum())}))
""",
}


@dataclass(frozen=True)
class Figures:
    """Results of one case.

    Attributes:
        rows: lines or events; None if the case does not report them.
        tokens: tokens of all kinds; None if the case does not report them.
    """

    case: str
    seconds: float
    mb_per_s: float
    peak_mb: float
    rows: int | None
    tokens: int | None


def make_folder(folder: Path, megabytes: int) -> None:
    """Write sessions of about ``megabytes`` MB, each a changed copy of a recorded one."""
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
    """Run one case in a new process and return its figures."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, env=environ)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{case}: exit status {process.returncode}")
        out.seek(0)
        output = json.loads(out.read())
    tokens = output.get("tokens", output.get("totals", {}).get("totalTokens"))
    peak_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Figures(case, seconds, n_bytes / 1e6 / seconds, peak_mb, output.get("rows"), tokens)


def measure(folder: Path, ccusage: str | None) -> list[Figures]:
    """Return the figures of every case, after reading the folder once into the file cache."""
    n_bytes = sum(len(file.read_bytes()) for file in folder.rglob("*.jsonl"))
    projects = str(folder / "projects")
    figures = [
        run(case, [sys.executable, "-c", code, projects], n_bytes, dict(os.environ))
        for case, code in CASES.items()
    ]
    if ccusage is not None:
        environ = {**os.environ, "CLAUDE_CONFIG_DIR": str(folder), "LOG_LEVEL": "0"}
        command = [*shlex.split(ccusage), "claude", "session", "--json", "--offline"]
        figures.append(run("ccusage", command, n_bytes, environ))
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200, help="MB to generate (default 200)")
    parser.add_argument("--folder", type=Path, help="a folder like ~/.claude")
    parser.add_argument("--ccusage", help="command that runs ccusage")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder
        if folder is None:
            folder = Path(temporary) / "claude"
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
