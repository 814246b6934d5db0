"""How the service of the Open Inference Protocol and its methods are called."""

from __future__ import annotations

SERVICE = "inference.GRPCInferenceService"


def path(method: str) -> str:
    """Where gRPC finds a method."""
    return f"/{SERVICE}/{method}"
