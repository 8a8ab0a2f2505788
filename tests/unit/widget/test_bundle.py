"""bundle_modules: its output and the modules that it rejects."""

from __future__ import annotations

import re

import pytest

from htmlgraph_nb.widget.bundle import agent_grid_module, agent_grid_styles, bundle_modules
from tests.helpers.paths import ROOT

MODULES = {
    "host/index.js": ('export { a, b } from "../a.js";\nexport { default } from "../view/b.js";\n'),
    "a.js": 'import { c } from "./c.js";\nexport const a = c;\nexport function b() {}\n',
    "view/b.js": (
        'import {\n  a,\n} from "../a.js";\nexport default function make() { return a; }\n'
    ),
    "c.js": "export const c = 1;\n",
}


def test_bundle_modules_puts_each_module_after_its_imports() -> None:
    """Each once, without imports, and the exports of the entry at the end."""
    assert bundle_modules(MODULES.__getitem__) == (
        "// c.js\nconst c = 1;\n\n"
        "// a.js\nconst a = c;\nfunction b() {}\n\n"
        "// view/b.js\nfunction make() { return a; }\n\n"
        "// host/index.js\n\n"
        "export { a, b };\nexport default make;\n"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c.js": 'import { a } from "./a.js";\n'}, "host/index.js → a.js → c.js → a.js"),
        ({"c.js": "export const c = 1;\nlet a = 2;\n"}, "c.js and a.js both declare a"),
        (
            {"c.js": 'import * as x from "./x.js";\nexport const c = 1;\n'},
            "unsupported module syntax",
        ),
        ({"c.js": "const c = 1;\nexport { c };\n"}, "unsupported module syntax"),
        ({"view/b.js": "export function make() {}\n"}, "no `export default function NAME`"),
        ({"host/index.js": 'export { a } from "../a.js";\n'}, "no default export"),
    ],
)
def test_bundle_modules_rejects_unsupported_modules(changes: dict[str, str], message: str) -> None:
    """The message names the module and the reason."""
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle_modules({**MODULES, **changes}.__getitem__)


def test_agent_grid_module_has_no_external_references() -> None:
    """A notebook loads it from a blob: address, from which no import can be resolved."""
    text = agent_grid_module()
    assert not re.search(
        r"^import\b|\bimport\(", re.sub(r'import\("\.\.?/', "", text), re.MULTILINE
    )
    assert text.endswith("export default createWidget;\n")
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_agent_grid_styles_has_every_style_sheet() -> None:
    """A style sheet that is missing in the list of the module would be silently unused."""
    styles = agent_grid_styles()
    for path in (ROOT / "htmlgraph_nb/static/grid/styles").glob("*.css"):
        assert path.read_text(encoding="utf-8") in styles
