"""What ``cortex-serve`` is told by its command line, its environment and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click
import pytest

from cortex.runtime.command import command
from cortex.runtime.errors import CortexError, UsageError
from cortex.serving.live import Live
from cortex.serving.options import options, reread
from cortex.serving.settings import Settings, live

Capture: TypeAlias = pytest.CaptureFixture[str]
PREFIX = "CORTEX_SERVE"


def told(
    *arguments: str, then: Callable[[click.Context], Any] = lambda context: None
) -> tuple[Settings, Any]:
    """The settings of a command line, and what ``then`` makes of its context."""

    @command("serve", context_settings={"auto_envvar_prefix": PREFIX})
    @click.argument("models", nargs=-1, required=True, envvar=f"{PREFIX}_MODELS")
    @options
    def serve(models: tuple[str, ...], config: object, **given: Any) -> None:
        found.append(Settings(models, **given))
        found.append(then(click.get_current_context()))

    found: list[Any] = []
    with serve.make_context("serve", list(arguments)) as context:
        assert serve.callback
        context.invoke(serve.callback.__wrapped__, **without(context.params))  # type: ignore[attr-defined]
    return found[0], found[1]


def without(given: dict[str, Any]) -> dict[str, Any]:
    """Without the options that all commands have."""
    return {name: given[name] for name in given.keys() - {"quiet", "verbose", "debug"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of options."""
    path = tmp_path / "serve.yaml"
    path.write_text("models: [a, b]\ngrpc_port: 1\nmax_requests: 7\naccess_log: true\n")
    return path


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("m")[0].grpc_port == 8001
    assert told(f"--config={file}")[0].grpc_port == 1
    monkeypatch.setenv("CORTEX_SERVE_GRPC_PORT", "2")
    assert told(f"--config={file}")[0].grpc_port == 2
    assert told(f"--config={file}", "--grpc-port=3")[0].grpc_port == 3
    assert told(f"--config={file}")[0].max_requests == 7


def test_everything_can_stand_in_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = told(f"--config={file}")
    assert tuple(found.models) == ("a", "b")
    assert found.access_log
    monkeypatch.setenv("CORTEX_SERVE_CONFIG", str(file))
    assert told()[0] == found
    monkeypatch.setenv("CORTEX_SERVE_MODELS", "c")
    assert tuple(told()[0].models) == ("c",)
    assert tuple(told("d")[0].models) == ("d",)


def test_one_repository_needs_no_list(file: Path) -> None:
    file.write_text("models: /models\ntls_cert: c.pem\ntls_key: k.pem\n")
    found, _ = told(f"--config={file}")
    assert tuple(found.models) == ("/models",)
    assert found.tls_cert == Path("c.pem")


def refused(argument: str, capsys: Capture) -> tuple[object, str]:
    """The exit code and the line on stderr of a command that does not start."""
    with pytest.raises(SystemExit) as end:
        told("m", argument)
    return end.value.code, capsys.readouterr().err


WRONG = {
    "grpc_prot: 1": "no option 'grpc_prot'; there are access_log, ",
    "grpc_port: many": "grpc_port: 'many' is not a valid integer",
    "grpc_port: 70000": "grpc_port: 70000 is not in the range 0<=x<=65535",
    "grpc_port: 1.5": "grpc_port: '1.5' is not a valid integer",
    "grpc_port: true": "grpc_port: a text or a number is needed, found True",
    "grpc_port:": "grpc_port: it has no value; leave the line out for the default",
    "grpc_port: {number: 1}": "grpc_port: a text or a number is needed, found {'number': 1}",
    "grpc_port: [1]": "grpc_port: a text or a number is needed, found [1]",
    "access_log: 1": "access_log: true or false is needed, found 1",
    "log_format: xml": "log_format: 'xml' is not one of 'text', 'json'",
    "models: [{}]": "models: a text or a number is needed, found {}",
    "config: other.yaml": "no option 'config'; there are ",
    "host: a\nhost: b": "host is there more than once",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_named_with_the_key(file: Path, text: str, capsys: Capture) -> None:
    file.write_text(text)
    code, line = refused(f"--config={file}", capsys)
    assert line.startswith(f"serve: {file}: {WRONG[text]}")
    assert code == 2


@pytest.mark.parametrize(
    "text", ["[1, 2]", "one", "", "a: b: c", "a: [", "!!python/object:os.system x", "\x00"]
)
def test_a_file_that_is_no_mapping(file: Path, text: str, capsys: Capture) -> None:
    file.write_text(text)
    code, line = refused(f"--config={file}", capsys)
    assert line.startswith(f"serve: {file}: ")
    assert line.count("\n") == 1
    assert code == 3


def test_a_file_must_be_there(tmp_path: Path, capsys: Capture) -> None:
    code, line = refused(f"--config={tmp_path / 'nowhere'}", capsys)
    assert (code, line) == (2, f"serve: {tmp_path}/nowhere: No such file or directory\n")


def test_the_file_is_read_again_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_SERVE_MAX_TENSORS", "5")

    def change(context: click.Context) -> Settings:
        file.write_text("models: [c]\ngrpc_port: 9\nmax_requests: 8\nmax_tensors: 9\n")
        return reread(context)

    before, after = told("m", "--grpc-port=3", f"--config={file}", then=change)
    assert (before.max_requests, before.access_log) == (7, True)
    assert (after.max_requests, after.access_log) == (8, False)
    assert (after.grpc_port, after.max_tensors, tuple(after.models)) == (3, 5, ("m",))


def test_a_running_server_takes_up_what_may_change(caplog: pytest.LogCaptureFixture) -> None:
    old = Settings(("m",))
    running = Live(old)
    followed: list[int] = []
    running.follow(lambda settings: followed.append(settings.max_requests))
    running.renew(lambda: Settings(("m",), max_requests=9, http_port=1))
    assert followed == [old.max_requests, 9]
    assert running.settings == Settings(("m",), max_requests=9)
    assert caplog.messages == [
        "max_requests: 9, was 4096",
        "http_port: changed in the settings; restart the server to use it",
    ]


def test_a_bad_file_leaves_the_settings_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    def bad() -> Settings:
        raise CortexError("serve.yaml: no YAML")

    running = Live(Settings(("m",)))
    running.renew(bad)
    assert running.settings == Settings(("m",))
    assert caplog.messages == ["settings: serve.yaml: no YAML; those before stand"]


def test_bad_tokens_leave_those_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef")
    settings = Settings(("m",), token_file=tokens)
    running = Live(settings)
    tokens.write_text("")
    running.renew(lambda: settings)
    assert caplog.messages == [
        f"tokens: {tokens}: no token in it; write one a line; those before stand"
    ]


def test_what_may_change_is_declared_on_the_field() -> None:
    assert {"max_requests", "max_tensors", "log_level", "drain_seconds"} <= set(live())
    assert not {"models", "host", "grpc_port", "tls_cert", "max_connections"} & set(live())


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("http://localhost:4317", True),
        ("https://otel.example", True),
        ("http://[::1]:4317/", True),
        ("junk", False),
        ("localhost:4317", False),
        ("http://", False),
        ("http://host:port", False),
        ("http://host:99999", False),
        ("http://host:4318/v1/traces", False),
        ("ftp://host:21", False),
        ("", False),
    ],
)
def test_where_traces_go(address: str, good: bool) -> None:
    if good:
        assert told("m", f"--trace-endpoint={address}")[0].trace_endpoint == address
        return
    with pytest.raises(UsageError, match="no address of a collector; give one such as http://loc"):
        told("m", f"--trace-endpoint={address}")
