"""JSON text with the places of its values, and edits that leave every other byte as it is.

Comments (``//`` and ``/* */``) are allowed, as some agents read settings with them, and so is a
byte order mark.
Grammar: RFC 8259.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from htmlgraph_nb.errors import InvalidJson

_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.S)
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
MAX_DEPTH = 100
BYTE_ORDER_MARK = "\ufeff"
"""Some editors begin a file with it."""
_decoder = json.JSONDecoder()


@dataclass(slots=True)
class Node:
    """One value: its Python form, where it stands, and what it contains.

    Attributes:
        start, end: it is ``text[start:end]``.
        items: values of an array, or of an object in the order of ``keys``.
        keys: an object's keys, with repetitions; None for anything else.
        starts: where each item begins, an object's with its key.
    """

    value: Any
    start: int
    end: int
    items: list[Node] = field(default_factory=list)
    keys: list[str] | None = None
    starts: list[int] = field(default_factory=list)

    def get(self, key: str) -> Node | None:
        """Return an object's value; the last one where the key is repeated."""
        for name, item in zip(reversed(self.keys or []), reversed(self.items), strict=False):
            if name == key:
                return item
        return None


def parse(text: str) -> Node:
    """Return the one value that the text holds.

    Raises:
        InvalidJson: it holds none, or more than that.
    """
    parser = _Parser(text)
    node = parser.value(parser.blank(1 if text.startswith(BYTE_ORDER_MARK) else 0), 0)
    end = parser.blank(node.end)
    if end < len(text):
        raise InvalidJson(text, end, "nothing more")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text

    def blank(self, place: int) -> int:
        match = _BLANK.match(self.text, place)
        return place if match is None else match.end()

    def value(self, place: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise InvalidJson(self.text, place, f"at most {MAX_DEPTH} levels")
        sign = self.text[place : place + 1]
        if sign == "{":
            return self.container(place, depth, "}")
        if sign == "[":
            return self.container(place, depth, "]")
        if sign == '"':
            value, end = self.string(place)
            return Node(value, place, end)
        match = _SCALAR.match(self.text, place)
        if match is None:
            raise InvalidJson(self.text, place, "a value")
        return Node(json.loads(match[0]), place, match.end())

    def string(self, place: int) -> tuple[str, int]:
        try:
            value, end = _decoder.raw_decode(self.text, place)
        except json.JSONDecodeError as error:
            raise InvalidJson(self.text, error.pos, "a text in double quotes") from None
        return str(value), end

    def container(self, place: int, depth: int, close: str) -> Node:
        is_object = close == "}"
        node = Node(None, place, place, keys=[] if is_object else None)
        at = self.blank(place + 1)
        while self.text[at : at + 1] != close or node.items:
            node.starts.append(at)
            if is_object:
                at = self.key(node, at)
            item = self.value(at, depth + 1)
            node.items.append(item)
            at = self.blank(item.end)
            if self.text[at : at + 1] == close:
                break
            if self.text[at : at + 1] != ",":
                raise InvalidJson(self.text, at, f'"," or "{close}"')
            at = self.blank(at + 1)
        node.end = at + 1
        values = [item.value for item in node.items]
        node.value = dict(zip(node.keys, values, strict=True)) if node.keys is not None else values
        return node

    def key(self, node: Node, place: int) -> int:
        if self.text[place : place + 1] != '"':
            raise InvalidJson(self.text, place, "a key in double quotes")
        key, end = self.string(place)
        assert node.keys is not None
        node.keys.append(key)
        at = self.blank(end)
        if self.text[at : at + 1] != ":":
            raise InvalidJson(self.text, at, '":"')
        return self.blank(at + 1)


@dataclass(frozen=True, slots=True)
class Style:
    """How a text is laid out: one step of indentation, and its line ends."""

    indent: str
    newline: str

    @classmethod
    def of(cls, text: str) -> Style:
        """Return the style of an existing text; two spaces where it shows none."""
        match = re.search(r"\n([ \t]+)[^\s/]", text)
        return cls(match[1] if match else "  ", "\r\n" if "\r\n" in text else "\n")

    def render(self, value: Any, depth: int) -> str:
        """Return the value as JSON that continues a line at this depth."""
        lines = json.dumps(value, indent=self.indent, ensure_ascii=False).split("\n")
        return (self.newline + self.indent * depth).join(lines)


def append(text: str, into: Node, value: Any, depth: int, style: Style, key: str = "") -> str:
    """Return the text with one more item at the end of an array or object.

    Args:
        depth: of the new item.
        key: its key, in an object.
    """
    item = style.render(value, depth)
    if into.keys is not None:
        item = f"{json.dumps(key, ensure_ascii=False)}: {item}"
    line = style.newline + style.indent * depth
    if into.items:
        end = into.items[-1].end
        return f"{text[:end]},{line}{item}{text[end:]}"
    inside = text[into.start + 1 : into.end - 1]
    tail = inside if "\n" in inside else style.newline + style.indent * (depth - 1)
    return f"{text[: into.start + 1]}{line}{item}{tail}{text[into.end - 1 :]}"


def remove(text: str, from_: Node, index: int) -> str:
    """Return the text without one item of an array or object, its comma and its line."""
    item = from_.items[index]
    if index > 0:
        return text[: from_.items[index - 1].end] + text[item.end :]
    if len(from_.items) > 1:
        return text[: from_.starts[0]] + text[from_.starts[1] :]
    rest = text[item.end : from_.end - 1]
    return text[: from_.start + 1] + (rest if rest.strip() else "") + text[from_.end - 1 :]
