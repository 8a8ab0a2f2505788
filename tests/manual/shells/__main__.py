"""Completes command lines of htmlgraph-nb in zsh and fish, in a real terminal with a real server.

    python -m tests.manual.shells [--zsh PATH] [--fish PATH]

Needs the shells (Debian: apt-get install zsh fish); bash is tested by
tests/integration/server/cli/test_agent_commands.py. Prints each line that was typed with the
result; exits with status 1 if one is not as expected.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server, running
from tests.helpers.terminal import terminal_program
from tests.helpers.wait import wait_until

LINES = {
    "htmlgraph-nb expl": "htmlgraph-nb explain ",
    "htmlgraph-nb ls --sta": "htmlgraph-nb ls --state ",
    "htmlgraph-nb ls --state wai": "htmlgraph-nb ls --state waiting ",
    "htmlgraph-nb forget cla": "htmlgraph-nb forget claude-1 ",
}
"""What is typed before the tab key → the line afterwards."""
_ZSH_START = "PS1='> '; autoload -U compinit; compinit -u -D\n"
_COMMAND = str(Path(sys.executable).with_name("htmlgraph-nb"))


def check_zsh(program: str, server: Server, environ: dict[str, str]) -> bool:
    """Type each line in zsh; its line editor reports the buffer by a key of our own."""
    start = server.home / ".zshrc"
    script = _ZSH_START + 'eval "$(htmlgraph-nb completion zsh)"\n'
    script += (
        'report() { print -r -- "<$BUFFER>" > $HOME/line; }\nzle -N report\nbindkey "^X^R" report\n'
    )
    start.write_text(script)
    good = True
    with terminal_program([program, "-i"], {**environ, "ZDOTDIR": str(server.home)}) as shell:
        shell.wait_for("> ")
        for typed, expected in LINES.items():
            shell.type(f"\x15{typed}\t\x18\x12")
            good &= _report("zsh", typed, expected, server.home / "line")
    return good


def check_fish(program: str, environ: dict[str, str]) -> bool:
    """Ask fish itself for the completions of each line."""
    good = True
    for typed, expected in LINES.items():
        code = f"htmlgraph-nb completion fish | source; complete --do-complete '{typed}'"
        done = subprocess.run(
            [program, "--no-config", "-c", code],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        wanted = expected.split()[-1]
        print(f"fish  {typed!r}: {words}  {done.stderr}".rstrip())
        good &= wanted in words
    return good


def _report(shell: str, typed: str, expected: str, path: Path) -> bool:
    line = wait_until(lambda: path.exists() and path.read_text().strip(), f"the line of {shell}")
    path.unlink()
    print(f"{shell}   {typed!r}: {line}")
    return line == f"<{expected}>"


def main() -> int:
    """Check the shells that are installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zsh", default=shutil.which("zsh"))
    parser.add_argument("--fish", default=shutil.which("fish"))
    arguments = parser.parse_args()
    if not (arguments.zsh and arguments.fish):
        raise SystemExit("expected zsh and fish; on Debian: apt-get install zsh fish")
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as server:
        server.send("claude-1", tool_name="Read")
        path = f"{os.path.dirname(_COMMAND)}:{os.environ['PATH']}"
        environ = {**clean_environ(server.home), "PATH": path}
        good = check_zsh(arguments.zsh, server, environ)
        good &= check_fish(arguments.fish, environ)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
