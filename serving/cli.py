"""``cortex-serve``: serves a model repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..runtime.command import command

if TYPE_CHECKING:
    from .server import Server

PORT = click.IntRange(0, 65535)


@command("cortex-serve", context_settings={"auto_envvar_prefix": "CORTEX_SERVE"})
@click.argument("models", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--http-port", type=PORT, default=8000, show_default=True, help="REST; 0: any.")
@click.option("--grpc-port", type=PORT, default=8001, show_default=True, help="gRPC; 0: any.")
@click.option("--metrics-port", type=PORT, default=8002, show_default=True, help="Metrics; 0: any.")
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="How long accepted requests may take once the server is told to stop.",
)
@click.option(
    "--max-message-mb",
    type=click.IntRange(1, 2047),
    default=256,
    show_default=True,
    help="Largest message, either way, in MiB.",
)
def serve(
    models: Path,
    host: str,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    drain_seconds: float,
    max_message_mb: int,
) -> None:
    """Serves the model repository MODELS over the Open Inference Protocol.

    Prints one line when it is ready. SIGTERM makes it finish what it has accepted and leave. Every
    option can also be set as CORTEX_SERVE_OPTION, such as CORTEX_SERVE_GRPC_PORT.
    """
    import asyncio
    import signal

    from .server import Settings, serve_until_signal

    settings = Settings(
        models, host, http_port, grpc_port, metrics_port, drain_seconds, max_message_mb << 20
    )
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
