"""The remote procedures of Triton's extensions, each from bytes to bytes."""

from __future__ import annotations

from collections.abc import Mapping

from ..parameters import config
from ..pb import open_inference_extensions_pb2 as pb
from ..plane import Plane
from ..statistics import Duration, Statistics
from .call import Call, Method
from .model_config import model_config
from .parsing import parsed, plain
from .protocol import path


def extensions(plane: Plane) -> Mapping[str, Method]:
    """Every method by its path. They raise ``RequestError``; others are the server's fault."""
    at = _Extensions(plane)
    named: Mapping[str, Method] = {
        "ModelConfig": at.model_config,
        "ModelStatistics": at.model_statistics,
        "RepositoryIndex": at.index,
        "RepositoryModelLoad": at.load,
        "RepositoryModelUnload": at.unload,
        "SystemSharedMemoryStatus": at.regions,
        "SystemSharedMemoryRegister": at.register,
        "SystemSharedMemoryUnregister": at.unregister,
    }
    return {path(name): method for name, method in named.items()}


class _Extensions:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def model_config(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.ModelConfigRequest, message)
        served = await self._plane.serving(request.name, request.version)
        return pb.ModelConfigResponse(config=model_config(served)).SerializeToString()

    async def model_statistics(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.ModelStatisticsRequest, message)
        found = self._plane.statistics(request.name, request.version)
        return pb.ModelStatisticsResponse(model_stats=map(_statistics, found)).SerializeToString()

    async def index(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.RepositoryIndexRequest, message)
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=each.name, version=each.version, state=each.state, reason=each.reason
                )
                for each in self._plane.index()
                if each.state == "READY" or not request.ready
            ]
        ).SerializeToString()

    async def load(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.RepositoryModelLoadRequest, message)
        name = request.model_name
        await self._plane.load(name, config(plain(request.parameters), f"model {name!r}"))
        return pb.RepositoryModelLoadResponse().SerializeToString()

    async def unload(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.RepositoryModelUnloadRequest, message)
        await self._plane.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse().SerializeToString()

    async def regions(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.SystemSharedMemoryStatusRequest, message)
        response = pb.SystemSharedMemoryStatusResponse()
        for each in self._plane.regions.registered(request.name):
            told = response.regions[each.name]
            told.name, told.key = each.name, each.key
            told.offset, told.byte_size = each.offset, each.byte_size
        return response.SerializeToString()

    async def register(self, message: bytes, call: Call) -> bytes:
        at = parsed(pb.SystemSharedMemoryRegisterRequest, message)
        self._plane.regions.register(at.name, at.key, at.offset, at.byte_size)
        return pb.SystemSharedMemoryRegisterResponse().SerializeToString()

    async def unregister(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.SystemSharedMemoryUnregisterRequest, message)
        self._plane.regions.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse().SerializeToString()


def _statistics(of: Statistics) -> pb.ModelStatistics:
    return pb.ModelStatistics(
        name=of.name,
        version=of.version,
        last_inference=of.last_inference_ms,
        inference_count=of.inferences,
        execution_count=of.executions,
        inference_stats=pb.InferStatistics(
            success=_duration(of.success),
            fail=_duration(of.fail),
            queue=_duration(of.queue),
            compute_input=_duration(of.compute_input),
            compute_infer=_duration(of.compute_infer),
            compute_output=_duration(of.compute_output),
            cache_hit=_duration(of.cache_hit),
            cache_miss=_duration(of.cache_miss),
        ),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=rows,
                compute_input=_duration(batches.compute_input),
                compute_infer=_duration(batches.compute_infer),
                compute_output=_duration(batches.compute_output),
            )
            for rows, batches in sorted(of.batches.items())
        ],
    )


def _duration(of: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=of.count, ns=of.ns)
