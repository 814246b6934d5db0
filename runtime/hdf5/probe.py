"""Reads a stranger's HDF5 file first in a process that may crash.

The HDF5 library parses a file with C code that was not written for hostile input: a damaged byte
can crash it, hang it, or have it ask for all memory. So before this process opens a file, another
one walks all of it under limits of time and memory: every link, every attribute, every dataset's
header, and every chunk that goes through a filter. What came through there is read here in the same
way, and ends in the same way.

What it costs: about 0.15 s once, for a process that has h5py loaded and forks for each file, then
some milliseconds a file. Arrays stored in one piece, which is how Keras stores them, are not read;
those in chunks are read twice. What it does not do: it is no sandbox. It keeps a damaged file from
taking this process down; a file made to take over the process that reads it would take over the
probe, which has the rights of the user. Nor does it hold for more than the file that it read: one
that is changed is read again, by its time, its size and its number in the file system.

    this process ── socket: file descriptor, offset, length ──▶ python -I -m …probe ── fork ──▶ walk
                 ◀── "" or what is wrong ──
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import h5py
from h5py import h5d, h5o  # pyright: ignore[reportAttributeAccessIssue]

from ..errors import UnreadableFile
from .limits import check_attribute, check_link, check_numbers, check_storage, shown
from .stretch import Stretch

SECONDS = 20  # of computing, and so much more for each
BYTES_A_SECOND = 10 << 20
PATIENCE = 4  # times as long by the clock
MEMORY = 4 << 30  # bytes
LARGEST_ANSWER = 4096  # bytes
MOST_THINGS = 100_000  # links and attributes; the largest networks have some thousands
DEEPEST = 100
FINE, DAMAGED = "fine", ": a truncated or damaged HDF5 file"


def examine(file: h5py.File, length: int) -> None:
    """Walks a file and reads whatever the library has to parse or to unpack.

    Raises:
        UnreadableFile: something in it is refused; the message begins with the place.
        OSError, KeyError, ValueError, TypeError, RuntimeError: whatever h5py makes of damage.
    """
    seen: set[int] = set()
    things = stored = 0
    waiting: list[tuple[h5py.HLObject, int]] = [(file["/"], 0)]
    while waiting:
        item, depth = waiting.pop()
        where = shown(str(item.name))
        address = h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        things += len(item.attrs) + (len(item) if isinstance(item, h5py.Group) else 0)
        if things > MOST_THINGS or depth > DEEPEST:
            raise UnreadableFile(
                f"{where}: more than {MOST_THINGS:,} objects, or {DEEPEST} groups in each other"
            )
        _read_attributes(where, item)
        if isinstance(item, h5py.Group):
            waiting += [(member, depth + 1) for member in _members(where, item)]
        elif isinstance(item, h5py.Dataset):
            stored += check_storage(where, item)
            _read_chunks(where, item)
    if stored > length:
        raise UnreadableFile(f"/: its arrays claim {stored:,} bytes of a file of {length:,}")


def _members(where: str, group: h5py.Group) -> Iterator[Any]:
    for name in group.keys():  # noqa: SIM118 - a type checker knows what these are
        check_link(where, group, name)
        yield group[name]


def _read_attributes(where: str, item: h5py.HLObject) -> None:
    for name in item.attrs:
        if check_attribute(where, item, name):
            _ = item.attrs[name]


def _read_chunks(where: str, dataset: h5py.Dataset) -> None:
    raw: Any = dataset.id
    if raw.get_create_plist().get_layout() != h5d.CHUNKED:
        return
    try:
        check_numbers(where, dataset)
    except (UnreadableFile, TypeError):
        return  # nobody else reads it either
    for part in dataset.iter_chunks():
        _ = dataset[part]


def main() -> None:
    """What the process does: an answer for each file, from a fork of its own."""
    with socket.socket(fileno=int(sys.argv[1])) as line:
        while True:
            message, files, _, _ = socket.recv_fds(line, LARGEST_ANSWER, 1)
            if not message:
                return
            line.send(_answer(Stretch("", files[0], *json.loads(message))))


def _answer(stretch: Stretch) -> bytes:
    """Forks, and waits for what the child says; a child that dies says nothing."""
    seconds = SECONDS + stretch.length // BYTES_A_SECOND
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _set_limits(seconds)
        os.write(writer, _outcome(stretch).encode("utf-8", "backslashreplace")[:LARGEST_ANSWER])
        os._exit(0)
    os.close(writer)
    in_time = bool(select.select([reader], [], [], PATIENCE * seconds)[0])
    said = os.read(reader, LARGEST_ANSWER) if in_time else b""
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if said:
        return said
    took_long = not in_time or -status == signal.SIGXCPU
    what = f"takes more than {seconds} s" if took_long else f"ends in signal {-status}"
    return f"{DAMAGED}: reading it {what}".encode()


def _set_limits(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _outcome(stretch: Stretch) -> str:
    """FINE, or what follows the file's name in a message."""
    try:
        with h5py.File(stretch.source(), "r") as file:
            examine(file, stretch.length)
    except UnreadableFile as error:
        return f":{error}"
    except MemoryError:
        return f"{DAMAGED}: reading it takes more than {MEMORY:,} bytes of memory"
    except Exception as error:
        said = error.args[0] if isinstance(error, KeyError) else error  # which would quote it
        return f"{DAMAGED}: {' '.join(str(said).split())}"
    return FINE


class _Process:
    """The process that forks for each file."""

    def __init__(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", __name__, str(its.fileno())],
                pass_fds=[its.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # it forks
            )  # fmt: skip
        self._line, self.owner = ours, os.getpid()
        atexit.register(self.close)

    def ask(self, stretch: Stretch) -> str:
        """What is wrong, or FINE; nothing at all if the process is no more."""
        message = json.dumps([stretch.offset, stretch.length]).encode()
        try:
            socket.send_fds(self._line, [message], [stretch.file])
            return self._line.recv(LARGEST_ANSWER).decode("utf-8", "replace")
        except OSError:
            return ""

    def close(self) -> None:
        """Ends the process, by ending what it listens to."""
        atexit.unregister(self.close)
        self._line.close()
        if self.owner == os.getpid():
            self._process.wait()


class _Probe:
    """Asks the process, which is started when it is first needed, about files it has not seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._passed: set[tuple[int, ...]] = set()

    def __call__(self, stretch: Stretch) -> None:
        """Lets a file pass.

        Raises:
            UnreadableFile: damaged, or refused as unsafe.
        """
        with self._lock:
            if stretch.identity() in self._passed:
                return
            answer = self._ask(stretch) or self._ask(stretch)
            if answer != FINE:
                problem = answer or ": cannot be read: the process that reads it first has ended"
                raise UnreadableFile(f"{stretch.name}{problem}")
            if stretch.is_settled():
                self._passed.add(stretch.identity())

    def _ask(self, stretch: Stretch) -> str:
        if self._process is None or self._process.owner != os.getpid():  # a fork has not its own
            self._process = _Process()
        answer = self._process.ask(stretch)
        if not answer:
            self._process.close()
            self._process = None
        return answer


probe = _Probe()

if __name__ == "__main__":
    main()
