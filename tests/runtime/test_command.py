"""What commands have in common: one line for an error, its exit code, what goes where."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cortex.runtime import errors
from cortex.runtime.command import command

log = logging.getLogger("cortex.test")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command configures logging for its whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def run(function: Callable[[], object], *arguments: str) -> Result:
    @command("cortex-try")
    def tried() -> None:
        """Tries something."""
        function()

    return CliRunner().invoke(tried, arguments)


def raiser(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


RAISED: list[tuple[BaseException, int, str]] = [
    (errors.CortexError("the thing: is wrong"), 3, "the thing: is wrong"),
    (errors.Disagreement("layer 'a': differs"), 1, "layer 'a': differs"),
    (errors.UsageError("--name: no"), 2, "--name: no"),
    (errors.UnreadableFile("f.h5: no"), 3, "f.h5: no"),
    (errors.Unsupported("layer: no"), 3, "layer: no"),
    (errors.GraphError("node: no"), 3, "node: no"),
    (errors.RepositoryError("models: no"), 3, "models: no"),
    (
        errors.MissingExtra("serving", "cpu"), 3,
        "serving needs an extra: pip install 'cortex-inference[cpu]'",
    ),
    (errors.CortexError("two\n  lines"), 3, "two lines"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (click.Abort(), 130, "interrupted"),
    (FileNotFoundError(2, "No such file or directory", "a/b"), 3, "a/b: No such file or directory"),
    (OSError(98, "Address already in use"), 3, "Address already in use"),
    (OSError("odd"), 3, "unexpected OSError: odd (--debug shows where)"),
    (ValueError("two\nlines"), 3, "unexpected ValueError: two lines (--debug shows where)"),
    (MemoryError(), 3, "not enough memory"),
    (MemoryError("of 9 TiB"), 3, "not enough memory: of 9 TiB"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "code", "line"), RAISED, ids=[repr(e) for e, *_ in RAISED])
def test_an_error_is_one_line_and_its_exit_code(error: BaseException, code: int, line: str) -> None:
    found = run(raiser(error))
    assert found.exit_code == code
    assert found.stderr == f"cortex-try: {line}\n"
    assert found.stdout == ""


def test_debug_shows_where() -> None:
    found = run(raiser(errors.Unsupported("layer: no")), "--debug")
    assert found.exit_code == 3
    assert found.stderr.startswith("Traceback (most recent call last):")
    assert "in function" in found.stderr
    assert found.stderr.endswith("\ncortex-try: layer: no\n")


def test_no_error_is_exit_code_0() -> None:
    found = run(lambda: click.echo("the result"))
    assert (found.exit_code, found.stdout, found.stderr) == (0, "the result\n", "")


@pytest.mark.parametrize("code", [0, 4])
def test_a_function_may_choose_its_exit_code(code: int) -> None:
    assert run(raiser(SystemExit(code))).exit_code == code
    assert run(raiser(click.exceptions.Exit(code))).exit_code == code


def test_usage_is_for_click_to_explain() -> None:
    found = run(raiser(click.BadParameter("no such thing")))
    assert found.exit_code == 2
    assert "no such thing" in found.stderr
    assert run(lambda: None, "--nonsense").exit_code == 2


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(flag: str) -> None:
    found = run(lambda: None, flag)
    assert found.exit_code == 0
    assert "Tries something." in found.stdout
    assert "--debug" in found.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], ["a warning"]),
        (["-q"], []),
        (["-v"], ["news", "a warning"]),
        (["-vv"], ["a detail", "news", "a warning"]),
        (["-vvv"], ["a detail", "news", "a warning"]),
    ],
)
def test_verbosity(flags: list[str], said: list[str]) -> None:
    def function() -> None:
        log.debug("a detail")
        log.info("news")
        log.warning("a warning")
        click.echo("the result")

    found = run(function, *flags)
    assert found.stdout == "the result\n"
    assert found.stderr.splitlines() == [f"cortex-try: {line}" for line in said]


SCRIPT = """
import click
from cortex.runtime.command import command

@command("cortex-try")
@click.argument("lines", type=int)
def tried(lines):
    if lines < 0:
        raise BrokenPipeError(32, "Broken pipe")
    for i in range(lines):
        click.echo(f"line {i}")

tried()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


def ran(script: Path, *arguments: str, **options: Any) -> tuple[int, str]:
    """Exit code and stderr of the command, in a process of its own."""
    found = subprocess.run(
        [sys.executable, script, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **options,
    )
    return found.returncode, found.stderr


@pytest.mark.parametrize("lines", ["1", "100000"])
def test_output_that_nobody_reads_is_no_error(lines: str, script: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert ran(script, lines, stdout=writer) == (0, "")
    os.close(writer)


def test_another_broken_pipe_is_an_error(script: Path) -> None:
    assert ran(script, "--", "-1") == (3, "cortex-try: Broken pipe\n")


def test_output_that_does_not_fit_is_an_error(script: Path) -> None:
    with open("/dev/full", "w") as full:
        found = ran(script, "1", stdout=full)
    assert found == (3, "cortex-try: No space left on device\n")


def test_no_output_is_no_error(script: Path) -> None:
    assert ran(script, "1", preexec_fn=close_stdout) == (0, "")


def close_stdout() -> None:
    os.close(1)
