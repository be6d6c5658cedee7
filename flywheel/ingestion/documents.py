"""JSON documents as lines: an array, an object with one big list inside, or such values one after the other, pretty-printed or not.

Constant memory: a window of text and one element. An element of a list inside an object keeps its envelope (`{"data": [element]}`), so
that a format reads it like the whole document. The text of an element stays as it came, but for line breaks.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

WINDOW = 1 << 20
NO_SPACE = re.compile(r"[^ \t\n\r]")
# lists that grow with the export: their elements are read one at a time
STREAMED = frozenset({"data", "resourceSpans", "resourceLogs", "resource_spans", "resource_logs"})


class Damaged(Exception):
    """The document is not what it began as."""


class _Text:
    """A window on the decoded stream."""

    def __init__(self, stream: Iterator[bytes], limit: int) -> None:
        self._stream, self._decoder, self._limit = stream, codecs.getincrementaldecoder("utf-8")(), limit
        self._text, self._at, self._ended, self._decode = "", 0, False, json.JSONDecoder().raw_decode

    def _more(self, least: int) -> bool:
        """Read at least `least` characters more. False at the end."""
        fresh, got = [self._text[self._at :]], 0
        while got < least and not self._ended:
            data = next(self._stream, None)
            self._ended = data is None
            try:
                fresh.append(self._decoder.decode(data or b"", final=self._ended))
            except UnicodeDecodeError:
                raise Damaged("not UTF-8; convert the file to UTF-8") from None
            got += len(fresh[-1])
        self._text, self._at = "".join(fresh), 0
        return got > 0

    def peek(self) -> str:
        """The next character that is no space, empty at the end."""
        while True:
            if found := NO_SPACE.search(self._text, self._at):
                self._at = found.start()
                return found[0]
            self._at = len(self._text)
            if not self._more(WINDOW):
                return ""

    def take(self, expected: str) -> str:
        """The next character, which must be one of `expected`."""
        found = self.peek()
        if not found or found not in expected:
            raise Damaged(f"expected {' or '.join(expected)}, found {found or 'the end'}")
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """The next value, and its text."""
        self.peek()
        wanted = WINDOW
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    text = self._text[self._at : end]
                    self._at = end
                    return value, text
            except (ValueError, RecursionError) as error:
                if self._ended or len(self._text) - self._at > self._limit:
                    raise Damaged(f"no JSON value, or one over the limit of {self._limit} bytes: {error}") from None
            self._more(wanted)
            wanted *= 2


def document_lines(stream: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The document's rows, each as one line of JSON without its end. Raises `Damaged`."""
    text = _Text(stream, limit)
    while first := text.peek():
        if first == "[":
            for element in _elements(text):
                yield _line(element)
        elif first == "{":
            yield from _members(text)
        else:
            raise Damaged(f"expected an object or a list, found {first}")


def _line(text: str) -> bytes:
    return text.replace("\n", " ").replace("\r", " ").encode("utf-8", "surrogatepass")


def _elements(text: _Text) -> Iterator[str]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()[1]
        if text.take(",]") == "]":
            return


def _members(text: _Text) -> Iterator[bytes]:
    """An object: itself as one row, or the elements of its streamed lists in their envelope of what stood before them."""
    text.take("{")
    before: list[str] = []
    streamed = False
    while text.peek() != "}":
        key, written = text.value()
        if not isinstance(key, str):
            raise Damaged("a member's name must be text")
        text.take(":")
        if key in STREAMED and text.peek() == "[":
            streamed = True
            for element in _elements(text):
                yield _line("{" + "".join(f"{b}," for b in before) + f"{written}:[{element}]}}")
        else:
            before.append(f"{written}:{text.value()[1]}")
        if text.take(",}") == "}":
            break
    else:
        text.take("}")
    if not streamed:
        yield _line("{" + ",".join(before) + "}")
