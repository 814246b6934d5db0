"""Files that people name on a command line: regular ones of bounded size, or an error."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import UnreadableFile

LARGEST_TEXT = 16 << 20  # bytes


def regular(path: Path) -> Path:
    """The path itself, if it is a file that can be read to an end.

    Raises:
        UnreadableFile: there is none, or it is a folder, a pipe or a device.
    """
    if not path.exists():
        raise UnreadableFile(f"{path}: no such file")
    if not path.is_file():
        raise UnreadableFile(f"{path}: not a regular file")
    return path


def read_labels(path: Path) -> tuple[str, ...]:
    """What the classes are called: a label a line, or a JSON list of strings.

    Raises:
        UnreadableFile: not a file of labels.
    """
    if regular(path).stat().st_size > LARGEST_TEXT:
        raise UnreadableFile(f"{path}: too large for labels")
    try:
        text = path.read_text("utf-8")
        labels = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: not text in UTF-8: byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: not a JSON list: {error}") from None
    if not all(isinstance(label, str) for label in labels):
        raise UnreadableFile(f"{path}: a label is not a string")
    return tuple(labels)
