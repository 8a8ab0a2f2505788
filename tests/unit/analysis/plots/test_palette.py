"""Colors: the same for a name everywhere, and different for people with color blindness."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from htmlgraph_nb.analysis.plots.charts.palette import (
    COLORS,
    HEAT_ON_DARK,
    HEAT_ON_LIGHT,
    OTHERS,
    OTHERS_COLOR,
    STATUS_COLORS,
    color_of,
    heat_color,
    rgb_of,
    series_styles,
)
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.paths import ROOT

Array = npt.NDArray[np.float64]
# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision
# Deficiency (2009), severity 1.0, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color: str) -> Array:
    """Return ``#rrggbb`` as linear RGB."""
    rgb = np.array(rgb_of(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: str) -> Array:
    """Return a color in CIE L*a*b* as it appears to a person."""
    xyz = _TO_XYZ @ np.clip(VISION[vision] @ linear(color), 0, 1) / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(first: str, second: str, vision: str) -> float:
    """Return the CIEDE2000 distance of two colors."""
    (l1, a1, b1), (l2, a2, b2) = lab(first, vision), lab(second, vision)
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1 + (1 - np.sqrt(mean**7 / (mean**7 + 25**7))) / 2
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    angle = (h1 + turn / 2) % 360
    t = (
        1
        - 0.17 * np.cos(np.radians(angle - 30))
        + 0.24 * np.cos(np.radians(2 * angle))
        + 0.32 * np.cos(np.radians(3 * angle + 6))
        - 0.20 * np.cos(np.radians(4 * angle - 63))
    )
    s_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_chroma, s_hue = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rotation = (
        -2
        * np.sqrt(chroma**7 / (chroma**7 + 25**7))
        * np.sin(np.radians(60 * np.exp(-(((angle - 275) / 25) ** 2))))
    )
    parts = ((l2 - l1) / s_light, (c2 - c1) / s_chroma, hue / s_hue)
    return float(np.sqrt(sum(part**2 for part in parts) + rotation * parts[1] * parts[2]))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    low, high = sorted(float(_TO_XYZ[1] @ linear(color)) + 0.05 for color in (first, second))
    return high / low


def test_distance_equals_published_value() -> None:
    """CIEDE2000 of black and white is 100, of a color and itself 0."""
    assert distance("#000000", "#ffffff", "normal") == pytest.approx(100, abs=0.1)
    assert distance("#b5442b", "#b5442b", "deuteranopia") == 0
    # sRGB red and green, which deuteranopes confuse most
    assert distance("#ff0000", "#00ff00", "normal") == pytest.approx(86.6, abs=0.5)


@pytest.mark.parametrize("vision", VISION)
def test_colors_differ_for_each_vision(vision: str) -> None:
    """The nine colors and the grey of the others are apart; tab10 has pairs at 5."""
    colors = [*COLORS, OTHERS_COLOR]
    closest = min(distance(*pair, vision) for pair in combinations(colors, 2))
    assert closest > 10, closest
    statuses = list(STATUS_COLORS.values())
    assert min(distance(*pair, vision) for pair in combinations(statuses, 2)) > 10


@pytest.mark.parametrize("color", [*COLORS, *STATUS_COLORS.values(), OTHERS_COLOR])
def test_colors_are_visible_on_light_and_dark(color: str) -> None:
    """On white and on plotly's and matplotlib's dark backgrounds."""
    assert contrast(color, "#ffffff") > 1.5
    assert contrast(color, "#111111") > 2


def test_status_colors_are_those_of_the_page() -> None:
    """Active and waiting have the page's own colors."""
    styles = (ROOT / "htmlgraph_nb/static/grid/styles/base.css").read_text()
    assert f"--hg-green: {STATUS_COLORS['active']};" in styles
    assert f"--hg-amber: {STATUS_COLORS['waiting']};" in styles


def test_color_of_known_names() -> None:
    """The same work has one color, a vendor's models one hue."""
    assert color_of("tool_name", "Bash") == color_of("tool_name", "exec_command")
    assert color_of("tool_name", "Read") == color_of("tool_name", "read_file")
    assert color_of("model", "claude-opus-4-5") == color_of("model", "us.anthropic.claude-opus-5")
    assert color_of("model", "claude-haiku-4-5") != color_of("model", "claude-opus-4-5")
    assert color_of("model", "gpt-5-codex") == color_of("model", "gpt-5.2")
    assert color_of("model", "gpt-5-mini") != color_of("model", "gpt-5")
    assert color_of("model", "gemini-3-pro") not in map(COLORS.__getitem__, (0, 1, 2, 3, 4))
    assert color_of("agent_kind", "claude") != color_of("agent_kind", "codex")
    assert color_of("status", "active") == STATUS_COLORS["active"]
    assert color_of("project", OTHERS) == OTHERS_COLOR
    assert color_of("project", "shop") in COLORS


def test_color_of_numbered_names_differ() -> None:
    """Nine agents with a number have nine colors."""
    assert len({color_of("agent_id", f"agent-{number}") for number in range(9)}) == 9


def test_series_styles_separate_equal_colors_by_pattern() -> None:
    """A color does not depend on the other names; only the pattern does."""
    alone = series_styles("tool_name", ["exec_command"])["exec_command"]
    styles = series_styles("tool_name", ["exec_command", "Bash", "Read"])
    assert styles["exec_command"].color == styles["Bash"].color == alone.color
    assert (alone.pattern, styles["Bash"].pattern, styles["exec_command"].pattern) == (0, 0, 1)
    own = series_styles("tool_name", ["Bash", "Read"], {"Bash": "#123456"})
    assert own["Bash"].color == "#123456"
    assert own["Read"] == styles["Read"]


@pytest.mark.parametrize("colors", [{"Bash": "red"}, {"Bash": 7}, ["#123456"], "tab10"])
def test_series_styles_reject_other_colors(colors: object) -> None:
    """The message shows a color as it is expected."""
    with pytest.raises(InvalidEvent, match=r"colors: expected .*#b5442b.*got"):
        series_styles("tool_name", ["Bash"], colors)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dark", "stops"), [(False, HEAT_ON_LIGHT), (True, HEAT_ON_DARK)])
def test_heat_color_moves_away_from_the_background(dark: bool, stops: tuple[str, ...]) -> None:
    """Nothing is near the background, and more is always farther from it."""
    background = "#000000" if dark else "#ffffff"
    steps = [contrast(stop, background) for stop in stops]
    assert steps == sorted(steps)
    assert heat_color(0.0, dark=dark) == rgb_of(stops[0])
    assert heat_color(2.0, dark=dark) == rgb_of(stops[-1])
