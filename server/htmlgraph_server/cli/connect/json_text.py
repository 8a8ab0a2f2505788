"""Edits JSON text and keeps every other byte: layout, comments, key order and number formats.

``json.loads`` and ``json.dumps`` would reformat the user's settings file, and cannot read comments.
Comments (``//`` and ``/* */``) are allowed because some agents allow them in their settings, and so
is a byte order mark. Otherwise the grammar is RFC 8259.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from htmlgraph_nb.errors import InvalidJson

MAX_NESTING = 100
BYTE_ORDER_MARK = "\ufeff"
"""Some editors put it at the start of a file."""
_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.S)
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_decoder = json.JSONDecoder()


@dataclass(slots=True)
class JsonNode:
    """A value and its position in the text.

    Attributes:
        value: the value in Python form.
        start, end: the value is ``text[start:end]``.
        items: values of an array, or of an object in the order of ``keys``.
        keys: keys of an object, including repeated ones; None for other values.
        starts: position of each item; for an object, of its key.
    """

    value: Any
    start: int
    end: int
    items: list[JsonNode] = field(default_factory=list)
    keys: list[str] | None = None
    starts: list[int] = field(default_factory=list)

    def index(self, key: str) -> int | None:
        """Return the index of an object's item; the last one if the key is repeated."""
        keys = self.keys or []
        return len(keys) - 1 - keys[::-1].index(key) if key in keys else None

    def get(self, key: str) -> JsonNode | None:
        """Return an object's item; the last one if the key is repeated."""
        index = self.index(key)
        return None if index is None else self.items[index]


def parse_json(text: str) -> JsonNode:
    """Return the value of the text.

    Raises:
        InvalidJson: the text is not exactly one JSON value.
    """
    parser = _Parser(text)
    node = parser.value(parser.skip_blank(1 if text.startswith(BYTE_ORDER_MARK) else 0), 0)
    end = parser.skip_blank(node.end)
    if end < len(text):
        raise InvalidJson(text, end, "the end of the file")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text

    def skip_blank(self, position: int) -> int:
        match = _BLANK.match(self.text, position)
        return position if match is None else match.end()

    def value(self, position: int, depth: int) -> JsonNode:
        if depth > MAX_NESTING:
            raise InvalidJson(self.text, position, f"at most {MAX_NESTING} levels")
        character = self.text[position : position + 1]
        if character in ("{", "["):
            return self.container(position, depth, "}" if character == "{" else "]")
        if character == '"':
            value, end = self.string(position)
            return JsonNode(value, position, end)
        match = _SCALAR.match(self.text, position)
        if match is None:
            raise InvalidJson(self.text, position, "a value")
        return JsonNode(json.loads(match[0]), position, match.end())

    def string(self, position: int) -> tuple[str, int]:
        try:
            value, end = _decoder.raw_decode(self.text, position)
        except json.JSONDecodeError as error:
            raise InvalidJson(self.text, error.pos, "a string in double quotes") from None
        return str(value), end

    def container(self, start: int, depth: int, close: str) -> JsonNode:
        is_object = close == "}"
        node = JsonNode(None, start, start, keys=[] if is_object else None)
        position = self.skip_blank(start + 1)
        while self.text[position : position + 1] != close or node.items:
            node.starts.append(position)
            if is_object:
                position = self.key(node, position)
            item = self.value(position, depth + 1)
            node.items.append(item)
            position = self.skip_blank(item.end)
            if self.text[position : position + 1] == close:
                break
            if self.text[position : position + 1] != ",":
                raise InvalidJson(self.text, position, f'"," or "{close}"')
            position = self.skip_blank(position + 1)
        node.end = position + 1
        values = [item.value for item in node.items]
        node.value = values if node.keys is None else dict(zip(node.keys, values, strict=True))
        return node

    def key(self, node: JsonNode, position: int) -> int:
        if self.text[position : position + 1] != '"':
            raise InvalidJson(self.text, position, "a key in double quotes")
        key, end = self.string(position)
        assert node.keys is not None
        node.keys.append(key)
        position = self.skip_blank(end)
        if self.text[position : position + 1] != ":":
            raise InvalidJson(self.text, position, '":"')
        return self.skip_blank(position + 1)


@dataclass(frozen=True, slots=True)
class JsonLayout:
    """The indentation and line ending of a text."""

    indent: str
    newline: str

    @classmethod
    def of(cls, text: str) -> JsonLayout:
        """Return the layout of a text; two spaces if it has no indented line."""
        match = re.search(r"\n([ \t]+)[^\s/]", text)
        return cls(match[1] if match else "  ", "\r\n" if "\r\n" in text else "\n")

    def render(self, value: Any, depth: int) -> str:
        """Return a value as JSON; its first line has no indentation, the others at least depth."""
        lines = json.dumps(value, indent=self.indent, ensure_ascii=False).split("\n")
        return (self.newline + self.indent * depth).join(lines)


def append_item(
    text: str, container: JsonNode, value: Any, depth: int, layout: JsonLayout, key: str = ""
) -> str:
    """Return the text with one more item at the end of an array or object.

    Args:
        text: the whole text.
        container: the array or object.
        value: the new item.
        depth: nesting depth of the new item.
        layout: the layout of the text.
        key: key of the new item in an object.
    """
    item = layout.render(value, depth)
    if container.keys is not None:
        item = f"{json.dumps(key, ensure_ascii=False)}: {item}"
    line_start = layout.newline + layout.indent * depth
    if container.items:
        end = container.items[-1].end
        return f"{text[:end]},{line_start}{item}{text[end:]}"
    blank = text[container.start + 1 : container.end - 1]
    tail = blank if "\n" in blank else layout.newline + layout.indent * (depth - 1)
    return f"{text[: container.start + 1]}{line_start}{item}{tail}{text[container.end - 1 :]}"


def replace_value(text: str, node: JsonNode, value: Any) -> str:
    """Return the text with another value, in one line, in place of ``node``."""
    return f"{text[: node.start]}{json.dumps(value, ensure_ascii=False)}{text[node.end :]}"


def remove_item(text: str, container: JsonNode, index: int) -> str:
    """Return the text without one item of an array or object, its comma and its line."""
    item = container.items[index]
    if index > 0:
        return text[: container.items[index - 1].end] + text[item.end :]
    if len(container.items) > 1:
        return text[: container.starts[0]] + text[container.starts[1] :]
    # A comment behind the only item is kept.
    rest = text[item.end : container.end - 1]
    return text[: container.start + 1] + (rest if rest.strip() else "") + text[container.end - 1 :]
