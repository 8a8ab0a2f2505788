"""Runs a program with an agent framework and shows what the server knows of its agents.

    python -m venv FOLDER && FOLDER/bin/pip install …   # as the program's docstring says
    python -m tests.manual.frameworks FRAMEWORK FOLDER/bin/python [--variant V] [--save]

FRAMEWORK is a module in tests/manual/frameworks/programs without ``_program``. The program uses a
fake model on loopback and exports its spans with OpenTelemetry's own exporter, once to a real
server. ``--save`` exports to a recorder instead and writes tests/payloads/otel/FRAMEWORK/V.jsonl,
which the tests read: one export a line, as OTLP JSON, without prompts, arguments and results.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.manual.frameworks.fake_openai import FakeOpenAI
from tests.manual.frameworks.recording import Recorder, scrubbed_json

PROGRAMS = Path(__file__).parent / "programs"
WAIT_S = 5.0


def run_program(framework: str, python: Path, variant: str, endpoint: str, home: str) -> int:
    """Run a program and return the number of completions of its model."""
    with FakeOpenAI() as model:
        environ = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "MODEL_URL": model.url,
            "VARIANT": variant,
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": model.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_TRACING_ENABLED": "false",
        }
        program = PROGRAMS / f"{framework}_program.py"
        words = [str(python.absolute()), str(program)]
        done = subprocess.run(
            words, env=environ, cwd=home, text=True, capture_output=True, timeout=300, check=False
        )
        print(done.stdout[-2000:], done.stderr[-6000:] if done.returncode else "", sep="\n")
        print("exit", done.returncode, "completions", model.n_responses)
        return model.n_responses


def show(server: Server) -> None:
    """Print what a server knows of the agents."""
    for presence in sorted(server.presence().values(), key=lambda each: each["agent_id"]):
        names = ("agent_id", "parent_agent_id", "status", "reason", "title", "agent_kind", "model")
        text = ", ".join(f"{name}={presence[name]}" for name in names)
        tools, errors = presence["total_tools_executed"], presence["total_errors"]
        print(f"{text}, tools={tools}, errors={errors}, tokens={presence['total_cost_tokens']}")


def main() -> int:
    """Run one program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework")
    parser.add_argument("python", type=Path)
    parser.add_argument("--variant", default="spans")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    run = (options.framework, options.python, options.variant)
    with tempfile.TemporaryDirectory() as home:
        if options.save:
            with Recorder() as recorder:
                run_program(*run, recorder.url, home)
            folder = ROOT / "tests/payloads/otel" / options.framework
            folder.mkdir(parents=True, exist_ok=True)
            lines = [scrubbed_json(body) for body in recorder.exports]
            path = folder / f"{options.variant}.jsonl"
            path.write_text("".join(f"{line}\n" for line in lines))
            print(path.relative_to(ROOT), path.stat().st_size, "bytes", len(lines), "exports")
            return 0
        server = Server(Path(home) / "htmlgraph", environ={"HOME": home}).start()
        try:
            run_program(*run, server.url, home)
            time.sleep(WAIT_S)
            show(server)
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
