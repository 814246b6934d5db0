"""How a model is served, in the words of Triton's ModelConfig."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ...runtime.repository import ModelConfig
from ..datatypes import BYTES, Datatype
from ..engine.session import TensorSpec
from ..pb import open_inference_extensions_pb2 as pb
from ..plane import PLATFORM, Served
from .protocol import LABELS, PREPROCESSING

BACKEND = "onnxruntime"


def model_config(served: Served) -> pb.ModelConfig:
    """The message. Where requests share runs, the sizes stand without the batch, as Triton's do."""
    tuning, skipped = served.tuning, int(served.batched)
    return pb.ModelConfig(
        name=served.name,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=tuning.max_batch if served.batched else 0,
        input=[
            pb.ModelInput(name=at.name, data_type=_kind(at.datatype), dims=_dims(at, skipped))
            for at in served.inputs
        ],
        output=[
            pb.ModelOutput(name=at.name, data_type=_kind(at.datatype), dims=_dims(at, skipped))
            for at in served.outputs
        ],
        instance_group=[_instances(served)],
        dynamic_batching=_batching(served.config) if served.batched else None,
        response_cache=pb.ModelResponseCache(enable=served.config.response_cache),
        parameters={
            name: pb.ModelParameter(string_value=str(value))
            for name, value in (
                ("cortex.provider", served.provider),
                ("cortex.threads", tuning.threads),
                ("cortex.tuning", tuning.source),
                *_for_clients(served.config),
            )
        },
    )


def _instances(served: Served) -> pb.ModelInstanceGroup:
    """What runs it: so many batches at a time."""
    kinds = pb.ModelInstanceGroup.Kind
    on_cpu = served.provider == "cpu"
    return pb.ModelInstanceGroup(
        name=served.name,
        count=served.tuning.runners,
        kind=kinds.KIND_CPU if on_cpu else kinds.KIND_GPU,
        gpus=() if on_cpu else served.config.devices or (0,),
    )


def _batching(config: ModelConfig) -> pb.ModelDynamicBatching:
    return pb.ModelDynamicBatching(
        max_queue_delay_microseconds=round(config.queue_delay_ms * 1000),
        default_priority_level=config.default_priority,
        default_queue_policy=pb.ModelQueuePolicy(
            max_queue_size=config.max_queue,
            default_timeout_microseconds=round((config.timeout_ms or 0) * 1000),
        ),
    )


def _for_clients(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """What a client is told to do with pictures, and what the classes are called."""
    if config.preprocessing is not None:
        yield PREPROCESSING, config.preprocessing.model_dump_json(exclude_defaults=True)
    if config.labels:
        yield LABELS, json.dumps(config.labels, ensure_ascii=False)


def _dims(spec: TensorSpec, skipped: int) -> Sequence[int]:
    return spec.sizes[skipped:]


def _kind(datatype: Datatype) -> str:
    return f"TYPE_{'STRING' if datatype is BYTES else datatype.name}"
