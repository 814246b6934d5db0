"""Files that people name: regular ones of bounded size to read, and all or nothing to write."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import UnreadableFile, UnwritableFile

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


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yields a path beside ``path``; what the block writes there takes its place, all or nothing.

    What was at ``path`` stays until the new file is whole and on the disk. The folder is made if
    there is none. A process that is killed leaves the half that it wrote, and the next to write
    ``path`` takes it away: one process at a time writes a file.

    Raises:
        UnwritableFile: the disk will not have it; what was at ``path`` is untouched.
    """
    stage = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield stage
            sync(stage)
            stage.replace(path)
            sync(path.parent)
        finally:
            stage.unlink(missing_ok=True)
    except OSError as error:
        raise UnwritableFile(
            f"{path}: cannot be written: {told(error)}; what was there before is untouched"
        ) from error


def set_aside(path: Path) -> Path | None:
    """Renames the file at ``path``, if there is one, to NAME.1, or the next number that is free.

    Checkpoints of which several are kept end in ``-NUMBER``: none has the name of one set aside.

    Raises:
        UnwritableFile: the disk will not have it.
    """
    if not path.exists():
        return None
    number = 1
    while (aside := path.with_stem(f"{path.stem}.{number}")).exists():
        number += 1
    try:
        return path.rename(aside)
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be renamed: {told(error)}") from error


def check_place(path: Path) -> None:
    """Refuses a path whose folder takes no file; the folder is made if there is none.

    Raises:
        UnwritableFile: it does not.
    """
    try:
        probe(path.parent)
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be written: {told(error)}") from error


def probe(folder: Path) -> None:
    """Makes a folder, if there is none, and a file in it that goes at once.

    Raises:
        OSError: the disk will not have it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def sync(path: Path) -> None:
    """Returns when a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def told(error: OSError) -> str:
    """What the system says went wrong, and with which file."""
    what = error.strerror or str(error)
    return f"{what}: {error.filename}" if error.filename else what
