"""Every route of the protocol; what answers there is in ``endpoints.py``."""

from __future__ import annotations

from collections.abc import Sequence

from ..security.areas import Area
from . import schema
from .configuration import ModelConfig
from .endpoints import Endpoints
from .routes import Route
from .statistics import Statistics

HEALTH = "/v2/health"
MODEL = "/v2/models/{model}"
VERSION = f"{MODEL}/versions/{{version}}"
REPOSITORY = "/v2/repository"
REGION = "/v2/systemsharedmemory"
AT = Endpoints

ROUTES: Sequence[Route] = (
    Route("GET", "/v2", AT.server, schema.ServerMetadata),
    Route("GET", f"{HEALTH}/live", AT.live, schema.Live, Area.HEALTH),
    Route("GET", f"{HEALTH}/ready", AT.ready, schema.Ready, Area.HEALTH, probe=True),
    Route("GET", "/v2/models/stats", AT.statistics, Statistics),
    Route("GET", MODEL, AT.model, schema.ModelMetadata, also=VERSION, switches=("layers",)),
    Route(
        "GET",
        f"{MODEL}/ready",
        AT.model_ready,
        schema.Ready,
        Area.HEALTH,
        also=f"{VERSION}/ready",
        probe=True,
    ),
    Route("GET", f"{MODEL}/config", AT.config, ModelConfig, also=f"{VERSION}/config"),
    Route("GET", f"{MODEL}/stats", AT.statistics, Statistics, also=f"{VERSION}/stats"),
    Route(
        "POST",
        f"{MODEL}/infer",
        AT.infer,
        schema.InferResponse,
        takes=schema.InferRequest,
        also=f"{VERSION}/infer",
        binary=True,
    ),
    Route(
        "POST",
        f"{REPOSITORY}/index",
        AT.index,
        schema.RepositoryIndex,
        takes=schema.IndexRequest,
    ),
    Route(
        "POST",
        f"{REPOSITORY}/models/{{model}}/load",
        AT.load,
        schema.Done,
        Area.CONTROL,
        takes=schema.ControlRequest,
    ),
    Route(
        "POST",
        f"{REPOSITORY}/models/{{model}}/unload",
        AT.unload,
        schema.Done,
        Area.CONTROL,
        takes=schema.ControlRequest,
    ),
    Route(
        "GET",
        f"{REGION}/status",
        AT.regions,
        schema.Regions,
        Area.CONTROL,
        also=f"{REGION}/region/{{region}}/status",
    ),
    Route(
        "POST",
        f"{REGION}/region/{{region}}/register",
        AT.register,
        schema.Done,
        Area.CONTROL,
        takes=schema.RegisterRequest,
    ),
    Route(
        "POST",
        f"{REGION}/unregister",
        AT.unregister,
        schema.Done,
        Area.CONTROL,
        also=f"{REGION}/region/{{region}}/unregister",
    ),
)
"""In the order in which they are tried: a model could be called ``stats``."""
