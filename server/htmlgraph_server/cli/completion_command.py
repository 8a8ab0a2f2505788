"""``htmlgraph-nb completion SHELL``: completes commands, options, their values and agents.

The shell asks the program itself, which knows the agents that run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from htmlgraph_nb.errors import HtmlgraphError

from .command_list import COMMANDS
from .options import Print
from .parser import command_parser

_TIMEOUT_S = 1.0
_SCRIPTS = {
    "bash": """\
# htmlgraph-nb completion for bash. In ~/.bashrc: eval "$(htmlgraph-nb completion bash)"
_htmlgraph_nb() {
    local IFS=$'\\n'
    COMPREPLY=($(htmlgraph-nb completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _htmlgraph_nb htmlgraph-nb
""",
    "zsh": """\
#compdef htmlgraph-nb
# htmlgraph-nb completion for zsh. In ~/.zshrc, after compinit:
#   eval "$(htmlgraph-nb completion zsh)"
_htmlgraph_nb() {
    local -a found
    found=("${(@f)$(htmlgraph-nb completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -a found; else _files; fi
}
compdef _htmlgraph_nb htmlgraph-nb
""",
    "fish": """\
# htmlgraph-nb completion for fish. In ~/.config/fish/config.fish:
#   htmlgraph-nb completion fish | source
function __htmlgraph_nb
    set -l words (commandline -opc) (commandline -ct)
    htmlgraph-nb completion --words $words[2..-1] 2>/dev/null
end
complete -c htmlgraph-nb -a '(__htmlgraph_nb)'
""",
}


def configure_completion(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``completion``."""
    parser.description = (
        "Prints a script for your shell that completes commands, options and agents. It says at "
        'its top where to add it; for bash: eval "$(htmlgraph-nb completion bash)"'
    )
    parser.add_argument("shell", nargs="?", choices=tuple(_SCRIPTS))
    parser.add_argument("--words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    def run(arguments: argparse.Namespace) -> int:
        if arguments.words is not None:
            for word in completions(arguments.words):
                out(word)
        elif arguments.shell is None:
            parser.error(f"expected a shell: {', '.join(_SCRIPTS)}")
        else:
            out(_SCRIPTS[arguments.shell].rstrip("\n"))
        return 0

    parser.set_defaults(run=run)


def completions(words: Sequence[str]) -> list[str]:
    """Return what the last word may become.

    Args:
        words: those after the name of the program, up to the cursor; the last may be "".
    """
    *before, partial = words or [""]
    name = next((word for word in before if not word.startswith("-")), None)
    if name is None:
        known = [command.name for command in COMMANDS if command.group]
        found: Sequence[str] = ["--help", "--version"] if partial.startswith("-") else known
    elif any(command.name == name for command in COMMANDS):
        parser = command_parser(name)
        found = list(_argument_words(parser, before[before.index(name) + 1 :], partial))
    else:
        found = []
    return [word for word in found if word.startswith(partial)]


def _argument_words(
    parser: argparse.ArgumentParser, before: Sequence[str], partial: str
) -> Iterator[str]:
    """Yield the options of a command, or the values of the option or argument to complete."""
    options = {name: action for action in parser._actions for name in action.option_strings}
    positionals = [action for action in parser._actions if not action.option_strings]
    pending: argparse.Action | None = None
    n_positionals = 0
    for word in before:
        if word.startswith("-") and word != "-":
            pending = options.get(word)
            if pending is not None and pending.nargs == 0:
                pending = None
        elif pending is not None:
            pending = None
        else:
            n_positionals += 1
    if pending is not None and not partial.startswith("-"):
        yield from _values(pending)
    elif partial.startswith("-"):
        shown = (name for name, action in options.items() if action.help != argparse.SUPPRESS)
        yield from (name for name in shown if name.startswith("--") or partial == "-")
    elif positionals:
        yield from _values(positionals[min(n_positionals, len(positionals) - 1)])


def _values(action: argparse.Action) -> Iterator[str]:
    if action.choices is not None:
        yield from map(str, action.choices)
    elif action.metavar == "AGENT":
        yield from _agent_ids()


def _agent_ids() -> list[str]:
    from htmlgraph_nb.client.discovery import candidates
    from htmlgraph_nb.client.rest import Rest

    try:
        return sorted(Rest(lambda: candidates(None, None), _TIMEOUT_S).presence())
    except HtmlgraphError:
        # While a person types, an error message would be in the way.
        return []
