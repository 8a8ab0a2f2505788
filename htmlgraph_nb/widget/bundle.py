"""Bundles the ES modules of the agent grid into one, because a notebook loads only one.

There is no build step: the bundle is made on first use. The modules may use only this module
syntax, which is checked: ``import { a, b } from "./x.js";`` without renaming, ``export`` before a
declaration, and ``export { a } from "./x.js";`` in the entry.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

_ENTRY = "host/index.js"
_STYLES = "base toolbar list cards table compact groups details states".split()
"""Style sheets in cascade order: later ones override earlier ones."""
_FROM = r'\{([^}]*)\} from "(\.{1,2}/[\w./-]+)";\n'
_IMPORT = re.compile(f"^import {_FROM}", re.MULTILINE)
_REEXPORT = re.compile(f"^export {_FROM}", re.MULTILINE)
_DEFAULT = re.compile(r"^export default (?=function (\w+))", re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?=(?:async function\*?|function\*?|const|let|class) )", re.MULTILINE
)
_DECLARED = re.compile(
    r"^(?:export (?:default )?)?(?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE
)
_REMAINING = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle_modules(read: Callable[[str], str], entry: str = _ENTRY) -> str:
    """Return the text of one module with the exports of ``entry``.

    Args:
        read: returns the text of a module by its path below the grid's folder.
        entry: path of the module that only re-exports.

    Raises:
        ValueError: an import cycle, a name that two modules declare, or unsupported module syntax.
    """
    texts: dict[str, str] = {}
    _visit(entry, read, texts, ())
    _check_names(texts)
    exported, default = _exports(texts, entry)
    parts = [f"// {name}\n{_without_syntax(name, text)}" for name, text in texts.items()]
    parts.append(f"export {{ {', '.join(exported)} }};\nexport default {default};\n")
    return "\n".join(parts)


def _visit(
    name: str, read: Callable[[str], str], texts: dict[str, str], above: tuple[str, ...]
) -> None:
    """Add a module after the modules that it imports."""
    if name in above:
        raise ValueError(f"import cycle: {' → '.join((*above, name))}")
    if name in texts:
        return
    text = read(name)
    for _, imported in [*_IMPORT.findall(text), *_REEXPORT.findall(text)]:
        _visit(_resolve(name, imported), read, texts, (*above, name))
    texts[name] = text


def _resolve(importer: str, path: str) -> str:
    """Return the path of a module that ``importer`` imports by a relative path."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))


def _check_names(texts: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for name, text in texts.items():
        for declared in _DECLARED.findall(text):
            owner = owners.setdefault(declared, name)
            if owner != name:
                raise ValueError(f"{owner} and {name} both declare {declared}")


def _exports(texts: Mapping[str, str], entry: str) -> tuple[list[str], str]:
    names: list[str] = []
    default = ""
    for listed, source in _REEXPORT.findall(texts[entry]):
        for name in filter(None, (part.strip() for part in listed.split(","))):
            if name != "default":
                names.append(name)
                continue
            declaration = _DEFAULT.search(texts[_resolve(entry, source)])
            if declaration is None:
                raise ValueError(f"{source} has no `export default function NAME`")
            default = declaration[1]
    if not default:
        raise ValueError(f"{entry} has no default export")
    return names, default


def _without_syntax(name: str, text: str) -> str:
    for pattern in (_IMPORT, _REEXPORT, _DEFAULT, _EXPORT):
        text = pattern.sub("", text)
    remaining = _REMAINING.search(text)
    if remaining is not None:
        raise ValueError(f"{name}: unsupported module syntax {remaining[0]!r}")
    return text


@cache
def agent_grid_module() -> str:
    """Return the agent grid as the text of one ES module without imports."""
    folder = files("htmlgraph_nb") / "static" / "grid"
    return bundle_modules(lambda name: (folder / name).read_text(encoding="utf-8"))


@cache
def agent_grid_styles() -> str:
    """Return the style sheet of the agent grid."""
    folder = files("htmlgraph_nb") / "static" / "grid" / "styles"
    return "\n".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in _STYLES)
