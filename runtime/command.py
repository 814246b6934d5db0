"""What every command of Cortex has in common: its errors, its verbosity, its exit codes.

0 done · 1 outputs disagree · 2 usage · 3 unreadable or unsupported · 130 interrupted. Results go to
stdout, everything else to stderr.
"""

from __future__ import annotations

import functools
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from .errors import CortexError

INTERRUPTED = 130


def command(name: str, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a function the command ``name``, with the options ``-q``, ``-v`` and ``--debug``.

    A ``CortexError`` becomes one line on stderr and its exit code; so does any other error, with
    exit code 3: a traceback is shown only with ``--debug``.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(*, quiet: bool, verbose: int, debug: bool, **arguments: Any) -> None:
            _log_to_stderr(name, logging.ERROR if quiet else _LEVELS[min(verbose, 2)])
            try:
                function(**arguments)
                if sys.stdout:
                    sys.stdout.flush()
            except (KeyboardInterrupt, click.Abort):
                _fail(name, "interrupted", INTERRUPTED)
            except (click.ClickException, click.exceptions.Exit):
                raise
            except Exception as error:
                if isinstance(error, BrokenPipeError) and sys.stdout and _nobody_reads():
                    sys.exit(0)  # whoever read our output has seen enough
                if debug:
                    traceback.print_exc()
                _fail(name, _line(error), getattr(error, "exit_code", CortexError.exit_code))

        for option in reversed(_OPTIONS):
            run = option(run)
        context = {"help_option_names": ["-h", "--help"], **settings.pop("context_settings", {})}
        return click.command(name, cls=OneLine, context_settings=context, **settings)(run)

    return decorate


class OneLine(click.Command):
    """A command whose errors are one line, those of its usage too, without the usage."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            _fail(
                self.name or "",
                f"{error.format_message()} (--help shows the usage)",
                error.exit_code,
            )
        except CortexError as error:  # an option whose value is a file
            _fail(self.name or "", str(error), error.exit_code)


_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_OPTIONS = (
    click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr."),
    click.option("-v", "--verbose", count=True, help="More on stderr; -vv: everything."),
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
)


def _nobody_reads() -> bool:
    """Whether stdout is a pipe without a reader; if so, what is left in its buffer is dropped."""
    stdout = sys.stdout.fileno()
    poll = select.poll()
    poll.register(stdout, 0)
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return True


def _line(error: Exception) -> str:
    if isinstance(error, CortexError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def _fail(name: str, message: str, code: int) -> NoReturn:
    click.echo(f"{name}: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _log_to_stderr(name: str, level: int) -> None:
    logging.basicConfig(level=level, stream=sys.stderr, format=f"{name}: %(message)s", force=True)
