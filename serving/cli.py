"""``cortex-serve``: serves model repositories."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..runtime.command import command
from ..runtime.errors import Disagreement, RepositoryError
from .options import options, reread
from .settings import Settings

if TYPE_CHECKING:
    from .server import Server


@command("cortex-serve", context_settings={"auto_envvar_prefix": "CORTEX_SERVE"})
@click.argument("models", nargs=-1, required=True, envvar="CORTEX_SERVE_MODELS")
@click.option("--check", is_flag=True, help="Only replay the checks of MODELS; 0: all passed.")
@options
def serve(models: Sequence[str], config: object, check: bool, **given: Any) -> None:
    """Serves the model repositories MODELS over the Open Inference Protocol.

    Prints one line when it is ready. SIGTERM makes it finish what it has accepted and leave; SIGHUP
    makes it read the file of --config, tokens and certificates again. Every option can also be set
    as CORTEX_SERVE_OPTION, such as CORTEX_SERVE_GRPC_PORT.
    """
    import asyncio
    import signal

    if not check:
        # Until the event loop takes them up. The kernel keeps a signal without a handler from the
        # first process of a container, which then would not end.
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes early must not end it
    settings = Settings(models, **given)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own lines are for who builds it
    # The thread that asks it for events does its input and output too: one hand-over less, and a
    # tenth of a small request's cost. A grpcio that knows no such choice passes over it.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client")

    from . import logs
    from .event_loop import event_loop
    from .server import serve_until_signal

    logs.configure(settings)
    if check:
        _check(settings)
        return
    again = functools.partial(reread, click.get_current_context())
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        received = runner.run(serve_until_signal(settings, _announce, again))
    if received == signal.SIGINT:
        raise KeyboardInterrupt


def _leave(number: int, frame: object) -> None:
    os._exit(0)


def _check(settings: Settings) -> None:
    """Prints what comes of each version; the exit code is 1 where one would not be served."""
    from .columns import aligned
    from .repository.catalogue import LAYOUT
    from .repository.proof import COLUMNS, outcomes

    found = list(outcomes(settings))
    if not found:
        raise RepositoryError(f"{', '.join(settings.models)}: holds no model to check; {LAYOUT}")
    for line in aligned([COLUMNS, *(outcome.row for outcome in found)]):
        click.echo(line)
    if any(outcome.reason for outcome in found):
        raise Disagreement("some versions would not be served; the last column says why")


def _announce(server: Server) -> None:
    ready = [name for name, is_ready in server.models.items() if is_ready]
    failed = [name for name, is_ready in server.models.items() if not is_ready]
    line = f"ready: gRPC {server.grpc}, REST {server.http}, metrics {server.metrics}; models: "
    line += ", ".join(ready) or "none"
    if failed:
        line += f"; not ready: {', '.join(failed)}"
    click.echo(line)
