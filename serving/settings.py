"""Everything ``cortex-serve`` can be told, each declared once.

A field is an option of the command, an environment variable ``CORTEX_SERVE_FIELD`` and a key of
the file that ``--config`` names. The command line wins over the environment, that over the file.
One marked ``LIVE`` follows its file when the server is sent SIGHUP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_type_hints
from urllib.parse import urlsplit

from annotated_types import Interval

from ..runtime.errors import UsageError

LIVE = object()
"""Marks a field that can change while the server runs."""

Port: TypeAlias = Annotated[int, Interval(ge=0, le=65535)]
Seconds: TypeAlias = Annotated[float, Interval(ge=0)]
Count: TypeAlias = Annotated[int, Interval(ge=1)]


@dataclass(frozen=True, slots=True)
class Settings:
    """What to serve, where, and within which limits. A field's text is its option's help."""

    models: Sequence[str]
    host: Annotated[str, "Address to listen on."] = "127.0.0.1"
    http_port: Annotated[Port, "REST; 0: any."] = 8000
    grpc_port: Annotated[Port, "gRPC; 0: any."] = 8001
    metrics_port: Annotated[Port, "Metrics; 0: any."] = 8002
    model_control: Annotated[
        Literal["none", "poll", "explicit"],
        "Serve what is there at the start, look for changes, or load what clients and --load name.",
    ] = "none"
    poll_seconds: Annotated[
        Annotated[float, Interval(ge=0.01)], "How long between looks with --model-control poll."
    ] = 5.0
    load: Annotated[
        tuple[str, ...], "A model to load with --model-control explicit; * for all of them."
    ] = ()
    memory_budget_mb: Annotated[
        int | None,
        Interval(ge=1),
        "Room for the weights of loaded models, in MiB: those asked longest ago make way.",
    ] = None
    strict_readiness: Annotated[bool, "The server is ready only while all its models are."] = False
    require_provider: Annotated[
        Literal["tensorrt", "cuda", "cpu"] | None,
        "Refuse models that would run on anything else, instead of running them there.",
    ] = None
    cache_dir: Annotated[
        Path | None,
        "Where copies of remote models, what was measured and what was made of models are kept.",
    ] = None
    tls_cert: Annotated[Path | None, "The server's certificate chain (PEM): TLS on every port."] = (
        None
    )
    tls_key: Annotated[Path | None, "The key of --tls-cert (PEM, not encrypted)."] = None
    tls_client_ca: Annotated[
        Path | None, "Who signs clients' certificates (PEM): they must show one."
    ] = None
    token_file: Annotated[
        Path | None, "Tokens, one a line: requests must bring one as a bearer token."
    ] = None
    control_token_file: Annotated[
        Path | None,
        "Tokens for control calls, such as load: these must bring one, and may come from anywhere; "
        "without it they must come from this machine.",
    ] = None
    protect_metrics: Annotated[bool, "Metrics too ask for a token and a client's certificate."] = (
        False
    )
    max_message_mb: Annotated[
        int, Interval(ge=1, le=2047), "Largest message, either way, in MiB."
    ] = 256
    max_requests: Annotated[Count, LIVE, "Most requests at once; one more is refused."] = 4096
    max_connections: Annotated[Count, "Most connections at once to a port; one more is closed."] = (
        1024
    )
    max_tensors: Annotated[Count, LIVE, "Most inputs, and most outputs, of one request."] = 256
    cache_mb: Annotated[
        int,
        Interval(ge=0, le=1 << 20),
        "Room for answers that are kept, for the models whose config says response_cache, in MiB.",
    ] = 64
    shared_memory: Annotated[
        bool, "Let clients put tensors into shared memory: only where all of them are trusted."
    ] = False
    receive_seconds: Annotated[
        Annotated[float, Interval(ge=0.1)],
        LIVE,
        "How long an HTTP client may be silent, or take for a request of ordinary size.",
    ] = 20.0
    drain_delay: Annotated[
        Seconds, LIVE, "How long to serve on, as not ready, once the server is told to stop."
    ] = 0.0
    drain_seconds: Annotated[Seconds, LIVE, "How long accepted requests may take after that."] = (
        30.0
    )
    nv_metrics: Annotated[bool, "Metrics under Triton's names (nv_inference_…) as well."] = False
    trace_endpoint: Annotated[
        str | None,
        "OTLP collector for traces, over gRPC, such as http://localhost:4317.",
    ] = None
    log_format: Annotated[Literal["text", "json"], "How the log is written."] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        LIVE,
        "What goes to the log; wins over -q and -v.",
    ] = None
    access_log: Annotated[bool, LIVE, "A line for each request."] = False

    def __post_init__(self) -> None:
        """Refuses options that make no sense, or none together."""
        for given, option, needed, why in (
            (self.load, "--load", self.model_control == "explicit", "--model-control explicit"),
            (self.tls_cert, "--tls-cert", self.tls_key, "--tls-key"),
            (self.tls_key, "--tls-key", self.tls_cert, "--tls-cert"),
            (self.tls_client_ca, "--tls-client-ca", self.tls_cert, "--tls-cert"),
            (
                self.protect_metrics,
                "--protect-metrics",
                self.token_file or self.tls_client_ca,
                "--token-file or --tls-client-ca",
            ),
        ):
            if given and not needed:
                raise UsageError(f"{option} does nothing without {why}; give that too")
        if self.trace_endpoint is not None and not _is_collector(self.trace_endpoint):
            raise UsageError(
                f"--trace-endpoint {self.trace_endpoint}: no address of a collector; give one such "
                "as http://localhost:4317"
            )

    @property
    def largest_message(self) -> int:
        """In bytes."""
        return self.max_message_mb << 20

    def changes(self, new: Settings) -> Mapping[str, tuple[object, object]]:
        """What differs in ``new``, by field: the value here and the one there."""
        pairs = {at.name: (getattr(self, at.name), getattr(new, at.name)) for at in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def renewed(self, new: Settings) -> Settings:
        """These settings with the ``LIVE`` fields of ``new``."""
        return replace(self, **{name: getattr(new, name) for name in live()})


def live() -> Sequence[str]:
    """The fields that can change while the server runs."""
    hints: Mapping[str, Any] = get_type_hints(Settings, include_extras=True)
    return [name for name, hint in hints.items() if LIVE in get_args(hint)]


def _is_collector(address: str) -> bool:
    """Whether it is such as http://localhost:4317: gRPC has no paths."""
    try:
        found = urlsplit(address)
        port = found.port
    except ValueError:
        return False
    bare = not (found.path.strip("/") or found.query or found.fragment)
    return found.scheme in ("http", "https") and bool(found.hostname) and port != 0 and bare
