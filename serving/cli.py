"""``cortex-serve``: serves model repositories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..runtime.command import command
from .settings import Settings, options

if TYPE_CHECKING:
    from .server import Server


@command("cortex-serve", context_settings={"auto_envvar_prefix": "CORTEX_SERVE"})
@click.argument("models", nargs=-1, required=True)
@options
def serve(models: Sequence[str], config: object, **given: Any) -> None:
    """Serves the model repositories MODELS over the Open Inference Protocol.

    Prints one line when it is ready. SIGTERM makes it finish what it has accepted and leave. Every
    option can also be set as CORTEX_SERVE_OPTION, such as CORTEX_SERVE_GRPC_PORT.
    """
    import asyncio
    import signal

    from .server import serve_until_signal

    settings = Settings(models, **given)
    if asyncio.run(serve_until_signal(settings, _announce)) == signal.SIGINT:
        raise KeyboardInterrupt


def _announce(server: Server) -> None:
    ready = [name for name, is_ready in server.models.items() if is_ready]
    failed = [name for name, is_ready in server.models.items() if not is_ready]
    line = f"ready: gRPC {server.grpc}, REST {server.http}, metrics {server.metrics}; models: "
    line += ", ".join(ready) or "none"
    if failed:
        line += f"; not ready: {', '.join(failed)}"
    click.echo(line)
