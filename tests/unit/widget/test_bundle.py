"""Joining the grid's modules: what comes out, and what is refused."""

from __future__ import annotations

import re

import pytest

from htmlgraph_nb.widget.bundle import agent_grid_module, join_modules

MODULES = {
    "host/index.js": ('export { a, b } from "../a.js";\nexport { default } from "../view/b.js";\n'),
    "a.js": 'import { c } from "./c.js";\nexport const a = c;\nexport function b() {}\n',
    "view/b.js": (
        'import {\n  a,\n} from "../a.js";\nexport default function make() { return a; }\n'
    ),
    "c.js": "export const c = 1;\n",
}


def test_modules_are_joined_after_what_they_import() -> None:
    """Each once, without imports, and the exports of the entry at the end."""
    assert join_modules(MODULES.__getitem__) == (
        "// c.js\nconst c = 1;\n\n"
        "// a.js\nconst a = c;\nfunction b() {}\n\n"
        "// view/b.js\nfunction make() { return a; }\n\n"
        "// host/index.js\n\n"
        "export { a, b };\nexport default make;\n"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"c.js": 'import { a } from "./a.js";\n'}, "host/index.js → a.js → c.js → a.js"),
        ({"c.js": "export const c = 1;\nlet a = 2;\n"}, "c.js and a.js both declare a"),
        ({"c.js": 'import * as x from "./x.js";\nexport const c = 1;\n'}, "cannot be joined"),
        ({"c.js": "const c = 1;\nexport { c };\n"}, "cannot be joined"),
        ({"view/b.js": "export function make() {}\n"}, "no `export default function NAME`"),
        ({"host/index.js": 'export { a } from "../a.js";\n'}, "exports no default"),
    ],
)
def test_what_cannot_be_joined_is_refused(changes: dict[str, str], told: str) -> None:
    """The module and the reason are named."""
    with pytest.raises(ValueError, match=re.escape(told)):
        join_modules({**MODULES, **changes}.__getitem__)


def test_the_grid_needs_nothing_from_outside() -> None:
    """A notebook's front end loads it from a blob: address, where no import can be resolved."""
    text = agent_grid_module()
    assert not re.search(
        r"^import\b|\bimport\(", re.sub(r'import\("\.\.?/', "", text), re.MULTILINE
    )
    assert text.endswith("export default createWidget;\n")
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
