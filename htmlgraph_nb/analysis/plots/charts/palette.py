"""Colors by name: a tool, a model or a kind of agent has the same color in every plot.

The nine colors and the grey of "others" differ for people with each kind of color blindness too
(see the test), and are visible on light and dark backgrounds. Series of one color differ in their
pattern.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

from ....errors import InvalidEvent
from .chart import SeriesStyle
from .number_text import shown_value

STATUS_COLORS = {"active": "#2c9b5f", "waiting": "#e08700", "idle": "#8b8d91"}
"""The colors of the page."""
ERROR_COLOR = "#dc4446"
OTHERS = "others"
NOT_NAMED = "not named"
OTHERS_COLOR = "#9b9ea4"
COLORS = (
    "#b5442b",
    "#d98033",
    "#e6ce4f",
    "#246a55",
    "#a5d3ab",
    "#536ab6",
    "#57adec",
    "#78297e",
    "#deadd0",
)
_RED, _ORANGE, _YELLOW, _GREEN, _MINT, _BLUE, _SKY, _PURPLE, _PINK = range(len(COLORS))

HEAT_ON_LIGHT = ("#eef2f7", "#a9c9e8", "#4f8fc9", "#1f5a99", "#0c2a4d")
HEAT_ON_DARK = ("#20252c", "#274b73", "#3576b5", "#6fb1ea", "#d9edff")

_TOOLS = {
    # the same work in the words of different agents
    _RED: (
        "bash bashoutput shell localshell exec execcommand writestdin run runshellcommand "
        "runterminalcmd runinterminal executebash executecommand terminal powershell killshell"
    ),
    _BLUE: "read readfile readmanyfiles view viewimage open openfile cat fsread notebookread",
    _SKY: "grep search rg searchfilecontent searchcode codebasesearch",
    _GREEN: (
        "edit multiedit applypatch strreplace strreplacebasededittool replace searchreplace "
        "editfile patch insertedit"
    ),
    _MINT: "write writefile create createfile fswrite notebookedit",
    _PINK: "glob ls list listdir listdirectory find findfiles",
    _PURPLE: "task agent delegate spawnagent subagent workflow skill sendmessage",
    _ORANGE: "webfetch websearch fetch googlewebsearch browser webrun",
    _YELLOW: (
        "todowrite todoread updateplan plan taskcreate taskupdate taskget tasklist exitplanmode "
        "enterplanmode askuserquestion askuser requestuserinput think"
    ),
}
_TOOL_COLORS = {name: color for color, names in _TOOLS.items() for name in names.split()}
_AGENT_KINDS = {
    "claude": _RED,
    "codex": _GREEN,
    "gemini": _BLUE,
    "copilot": _PURPLE,
    "opencode": _PINK,
    "cursor": _SKY,
    "kiro": _MINT,
    "pi": _YELLOW,
    "vibe": _ORANGE,
    "mistral": _ORANGE,
}
# Each vendor has a hue, the size of the model its lightness; the first match counts.
_MODELS = (
    (r"haiku", _YELLOW),
    (r"sonnet", _ORANGE),
    (r"claude|opus|fable|mythos", _RED),
    (r"gemini.*(flash|lite|nano)|gemma", _SKY),
    (r"gemini|palm", _BLUE),
    (r"(gpt|codex|\bo\d).*(mini|nano|spark|oss)", _MINT),
    (r"gpt|codex|\bo\d|davinci", _GREEN),
)
_OTHER_VENDORS = (_PURPLE, _PINK)


def color_of(column: str, name: str) -> str:
    """Return the color of a value of a column; it depends on nothing else.

    Args:
        column: "tool_name", "model" or "agent_kind" use known names; other columns any.
    """
    if column in ("status", "agent_status") and name in STATUS_COLORS:
        return STATUS_COLORS[name]
    if name in (OTHERS, NOT_NAMED):
        return OTHERS_COLOR
    lower = name.lower()
    if column == "model":
        for pattern, number in _MODELS:
            if re.search(pattern, lower):
                return COLORS[number]
        return COLORS[_OTHER_VENDORS[_number_of(lower) % len(_OTHER_VENDORS)]]
    number = _number_of(name) % len(COLORS)
    if column in ("tool_name", "next_tool_name"):
        number = _TOOL_COLORS.get(re.sub(r"[^a-z]", "", lower), number)
    elif column == "agent_kind":
        number = _AGENT_KINDS.get(re.split(r"[^a-z]", lower)[0], number)
    return COLORS[number]


def _number_of(name: str) -> int:
    """Return a number of a name: adjacent ones for "agent-1" and "agent-2"."""
    match = re.search(r"\d{1,6}$", name)
    stem, count = (name[: match.start()], int(match[0])) if match else (name, 0)
    return zlib.crc32(stem.encode()) + count


def series_styles(
    column: str, names: Sequence[str], colors: Mapping[str, str] | None = None
) -> dict[str, SeriesStyle]:
    """Return the style of each series; those of one color get different patterns.

    Args:
        column: as for ``color_of``.
        names: the values that are shown.
        colors: colors of some names, which are used in place of those of ``color_of``.

    Raises:
        InvalidEvent: ``colors`` is not a mapping of names to ``#rrggbb``.
    """
    own = _checked(colors or {})
    used: dict[str, int] = {}
    styles = {}
    for name in sorted(names):
        color = own.get(name) or color_of(column, name)
        styles[name] = SeriesStyle(color, used.setdefault(color, 0))
        used[color] += 1
    return styles


def _checked(colors: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(colors, Mapping):
        raise InvalidEvent(
            f'colors: expected a mapping such as {{"Bash": "#b5442b"}}, got {shown_value(colors)}',
            "colors",
        )
    for name, color in colors.items():
        if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            raise InvalidEvent(
                f'colors: expected a color such as "#b5442b" for {shown_value(name)}, '
                f"got {shown_value(color)}",
                "colors",
            )
    return colors


def heat_color(position: float, *, dark: bool) -> tuple[float, float, float]:
    """Return the color of a heat map at 0 to 1 as red, green and blue from 0 to 1."""
    stops = HEAT_ON_DARK if dark else HEAT_ON_LIGHT
    at = min(max(position, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(at), len(stops) - 2)
    low, high = rgb_of(stops[index]), rgb_of(stops[index + 1])
    red, green, blue = (a + (b - a) * (at - index) for a, b in zip(low, high, strict=True))
    return red, green, blue


def rgb_of(color: str) -> tuple[float, float, float]:
    """Return ``#rrggbb`` as numbers from 0 to 1."""
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def is_dark(rgb: Sequence[float]) -> bool:
    """Return whether white text is legible on a color given as numbers from 0 to 1."""
    red, green, blue = rgb[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
