"""What versions have done, as JSON; the names are those of Triton's statistics extension."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict

from .. import statistics
from .schema import Message


class Duration(Message):
    """How often something happened, and how many nanoseconds all of it took."""

    model_config = ConfigDict(from_attributes=True)

    count: int
    ns: int


class InferStatistics(Message):
    """Requests, by how they ended and by what they went through."""

    model_config = ConfigDict(from_attributes=True)

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(Message):
    """The batches of one size."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(Message):
    """What a version has done since it was loaded."""

    name: str
    version: str
    last_inference: int
    """In milliseconds since 1970; 0: there was none."""
    inference_count: int
    """Rows."""
    execution_count: int
    """Batches."""
    inference_stats: InferStatistics
    batch_stats: list[BatchStatistics]


class Statistics(Message):
    """What versions have done."""

    model_stats: list[ModelStatistics]


def counted(found: Sequence[statistics.Statistics]) -> Statistics:
    """The message."""
    return Statistics(model_stats=[_version(of) for of in found])


def _version(of: statistics.Statistics) -> ModelStatistics:
    return ModelStatistics(
        name=of.name,
        version=of.version,
        last_inference=of.last_inference_ms,
        inference_count=of.inferences,
        execution_count=of.executions,
        inference_stats=InferStatistics.model_validate(of),
        batch_stats=[
            BatchStatistics(
                batch_size=rows,
                compute_input=Duration.model_validate(at.compute_input),
                compute_infer=Duration.model_validate(at.compute_infer),
                compute_output=Duration.model_validate(at.compute_output),
            )
            for rows, at in sorted(of.batches.items())
        ],
    )
