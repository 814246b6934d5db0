"""Reading the text form (prototxt) of Caffe's messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf, nan
from typing import Any, NamedTuple

from ...runtime.errors import UnreadableFile
from .schema import BY_NAME, NUMBERS, Field, Message, put

LONGEST = 8 << 20  # characters
MOST_TOKENS = 1_000_000
DEEPEST = 16

TOKEN = re.compile(
    r"(?P<space>[\s\ufeff]+|#[^\n]*)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|inf\w*|nan))"
    r"|(?P<mark>[{}<>:;,\[\]])"
)
CLOSED_BY = {"{": "}", "<": ">", "[": "]"}
TRUTHS = {"true": True, "t": True, "True": True, "1": True,
          "false": False, "f": False, "False": False, "0": False}  # fmt: skip
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Token(NamedTuple):
    """A word of the text; ``kind`` is the name of its group in ``TOKEN``."""

    kind: str
    text: str
    line: int


END = Token("end", "the end of the file", 0)


def read_text(title: str, text: str, kind: str) -> Message:
    """A text as a message of that kind; ``title`` is what errors call the file.

    Fields that are unknown keep their names.

    Raises:
        UnreadableFile: it is none, naming the line; too long, or too deep.
    """
    if len(text) > LONGEST:
        raise UnreadableFile(f"{title}: {len(text):,} characters are no architecture")
    return _Parser(title, text).message(kind, END)


class _Parser:
    def __init__(self, title: str, text: str) -> None:
        self._title, self._tokens = title, self._words(text)
        self._next, self._depth = next(self._tokens, END), 0

    def _words(self, text: str) -> Iterator[Token]:
        at, line, count = 0, 1, 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                raise self._wrong(f"{text[at]!r} makes no sense", line)
            word, at = found[0], found.end()
            if found.lastgroup != "space":
                count += 1
                if count > MOST_TOKENS:
                    raise self._wrong(f"more than {MOST_TOKENS:,} words", line)
                yield Token(found.lastgroup or "", word, line)
            line += word.count("\n")

    def _wrong(self, what: str, line: int = 0) -> UnreadableFile:
        return UnreadableFile(f"{self._title}, line {line or self._next.line}: {what}")

    def _take(self) -> Token:
        taken, self._next = self._next, next(self._tokens, END)
        return taken

    def _skip(self, *marks: str) -> bool:
        if self._next.kind == "mark" and self._next.text in marks:
            self._take()
            return True
        return False

    def message(self, kind: str, end: Token) -> Message:
        """The fields up to the mark that closes the message."""
        found: Message = {}
        while (self._next.kind, self._next.text) != (end.kind, end.text):
            name = self._take()
            if name.kind != "word":
                raise self._wrong(f"{name.text!r} stands where a field should", name.line)
            field = BY_NAME[kind].get(name.text)
            for value in self._values(field, name):
                self._put(found, field, name, value)
            self._skip(";", ",")
        self._take()
        return found

    def _put(self, message: Message, field: Field | None, name: Token, value: Any) -> None:
        if field is None:
            known = message.get(name.text)
            message[name.text] = [*known, value] if isinstance(known, list) else value
            if known is not None and not isinstance(known, list):
                message[name.text] = [known, value]
        elif field.name in message and not field.repeats and field.kind not in NUMBERS:
            raise self._wrong(f"{name.text!r} is said twice", name.line)
        else:
            put(message, field, value)

    def _values(self, field: Field | None, name: Token) -> Iterator[Any]:
        colon = self._skip(":")
        if self._next.kind == "mark" and self._next.text in "{<":
            yield self._nested(field, name)
        elif not colon:
            raise self._wrong(f"{self._next.text!r} follows {name.text!r}", name.line)
        elif self._skip("["):
            while not self._skip("]"):
                if self._next.kind == "mark" and self._next.text in "{<":
                    yield self._nested(field, name)
                else:
                    yield self._scalar(field, name)
                self._skip(",")
        else:
            yield self._scalar(field, name)

    def _nested(self, field: Field | None, name: Token) -> Message:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(f"messages lie more than {DEEPEST} deep in each other", name.line)
        end = Token("mark", CLOSED_BY[self._take().text], 0)
        kind = field.kind if field else "nothing"
        if kind not in BY_NAME:
            raise self._wrong(f"{name.text!r} is no message", name.line)
        found = self.message(kind, end)
        self._depth -= 1
        return found

    def _scalar(self, field: Field | None, name: Token) -> Any:
        token = self._take()
        if token.kind == "text":
            text = _unquoted(token.text)
            while self._next.kind == "text":  # strings side by side are one
                text += _unquoted(self._take().text)
            if field and field.kind != "string":
                raise self._wrong(f"{name.text} is {text!r}", token.line)
            return text
        if token.kind not in ("word", "number"):
            raise self._wrong(f"{token.text!r} follows {name.text!r}", token.line or name.line)
        value = _read(field, token) if field else token.text
        if value is None:
            raise self._wrong(f"{name.text} is {token.text!r}", token.line)
        return value


def _read(field: Field, token: Token) -> Any:
    """A value of a field; None if it is none."""
    word = token.text
    if field.kind == "bool":
        return TRUTHS.get(word)
    if field.kind == "enum":
        values = field.values or {}
        if word in values:
            return word
        return next((name for name, value in values.items() if word == str(value)), None)
    try:
        if field.kind == "int":
            return int(word, 0) if word.lstrip("-+")[:2] in ("0x", "0X") else int(word)
        if field.kind in ("float", *NUMBERS):
            return _float(word)
    except ValueError:
        return None
    return None


def _float(word: str) -> float:
    match word.lower().lstrip("-+"):
        case "inf" | "infinity":
            return -inf if word.startswith("-") else inf
        case "nan":
            return nan
        case _:
            return float(word.rstrip("fF"))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text[1:-1])
