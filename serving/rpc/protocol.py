"""How the service of the Open Inference Protocol and its methods are called."""

from __future__ import annotations

from ..security.areas import Area

SERVICE = "inference.GRPCInferenceService"

PREPROCESSING, LABELS = "cortex.preprocessing", "cortex.labels"
"""The parameters of a ModelConfig that say, in JSON, what pictures go through and what the classes
of the first output are called."""


def path(method: str) -> str:
    """Where gRPC finds a method."""
    return f"/{SERVICE}/{method}"


AREAS = {
    path(method): area
    for area, methods in (
        (Area.HEALTH, ("ServerLive", "ServerReady", "ModelReady")),
        (
            Area.DATA,
            (
                *("ServerMetadata", "ModelMetadata", "ModelInfer", "ModelStreamInfer"),
                *("ModelConfig", "ModelStatistics", "RepositoryIndex"),
            ),
        ),
        (
            Area.CONTROL,
            (
                *("RepositoryModelLoad", "RepositoryModelUnload"),
                *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister"),
                "SystemSharedMemoryUnregister",
            ),
        ),
    )
    for method in methods
}
"""What each method is for; one that is not here would count as control."""
