"""What the server writes of its work: a line for each request, one for each control call, all logs.

A log record may carry ``fields``; text shows them as ``key=value``, JSON as keys of the line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from .errors import Code
from .security.areas import Area
from .security.guard import Caller
from .settings import Settings

FIELDS = "fields"
NOBODY = Caller("", "", {})
LONGEST = 200  # characters of a value: clients choose some of them
access = logging.getLogger(f"{__package__}.access")
audit = logging.getLogger(f"{__package__}.audit")

_current: ContextVar[Line | None] = ContextVar("line", default=None)


def configure(settings: Settings) -> None:
    """Sets format and levels, of the handlers there are. Control calls are logged at any level."""
    for handler in logging.getLogger().handlers:
        known = handler.formatter
        if settings.log_format == "json":
            handler.setFormatter(JsonLines())
        elif not isinstance(known, TextLines):
            handler.setFormatter(TextLines(known))
    logging.captureWarnings(True)  # Pillow's of a large picture, for one
    set_levels(settings)


def set_levels(settings: Settings) -> None:
    """Sets what may change while the server runs."""
    if settings.log_level:
        logging.getLogger().setLevel(settings.log_level.upper())
    access.setLevel(logging.INFO)
    access.disabled = not settings.access_log
    audit.setLevel(logging.INFO)


def note(**fields: object) -> None:
    """Adds to the line that the request at hand will have in the log, if it will have one."""
    line = _current.get()
    if line is not None:
        line.fields.update(fields)


def of_stream() -> Line:
    """The line of one request of the stream at hand; if that has one, it has its beginning."""
    whole = _current.get()
    line = Line("", Area.DATA, NOBODY)
    if whole is not None:
        line.identity, line.fields = whole.identity, dict(whole.fields)
    return line


class Line:
    """The line of one request; an ``audit`` line if it is a control call.

    Use it as ``with Line(call, area, caller) as line: … line.code = …``.
    """

    def __init__(self, call: str, area: Area, caller: Caller) -> None:
        self.code = Code.OK
        self.identity = ""
        self._log = audit if area is Area.CONTROL else access
        self.fields: dict[str, object] = {"call": call, "peer": caller.peer}

    def __enter__(self) -> Line:
        self._began = perf_counter()
        _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        _current.set(None)
        if kind is not None and self.code is Code.OK:
            self.code = Code.CANCELLED
        if self._log.disabled:
            return
        if self.identity:
            self.fields["identity"] = self.identity
        taken = round((perf_counter() - self._began) * 1e3, 3)
        self.fields |= {"code": self.code.name, "ms": taken}
        what = "control" if self._log is audit else "request"
        self._log.info(what, extra={FIELDS: self.fields})


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """``time`` is in UTC; a traceback is under ``exception``."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: _short(value) for key, value in _fields(record).items()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """A record as another formatter has it, and its fields after that."""

    def __init__(self, lines: logging.Formatter | None) -> None:
        super().__init__()
        self._lines = lines or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Values are quoted as JSON where they are not plain words: a line stays a line."""
        told = [f"{key}={_plain(value)}" for key, value in _fields(record).items()]
        return " ".join([self._lines.format(record), *told])


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, FIELDS, {})


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) > LONGEST:
        return value[: LONGEST - 1] + "…"
    return value


def _plain(value: object) -> str:
    shown = str(_short(value))
    bare = shown.isascii() and shown.isprintable() and not set(shown) & set(' "=')
    return shown if bare and shown else json.dumps(shown)
