"""A model that is served as it is: what serves it is asked what it computes, and nothing is proved.

Its outputs are recorded, so that a server can see that it computes the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime import repository
from ..runtime.check import Array, Check, Difference, Recorded, Statistics
from ..runtime.digests import digests
from ..runtime.errors import Unsupported
from ..runtime.ir import Graph
from ..runtime.preprocessing import Preprocessing
from ..runtime.report import Compared, FirstDifference, Report, finite
from .proof import Proof, hashed
from .sample import given_inputs, sample_inputs
from .source import Unread
from .verify import told

ENGINE = "onnxruntime, optimized"
Found = list[tuple[str, Difference]]


@dataclass(frozen=True)
class Untouched:
    """A model of which no network was made."""

    reading: Unread
    proof: Proof

    @property
    def path(self) -> Path:
        """The file, as the user named it."""
        return self.reading.path

    @property
    def graph(self) -> None:
        """There is none."""
        return

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Nothing is known of it."""
        return None

    @property
    def training(self) -> Mapping[str, Any]:
        """Nothing is known of it."""
        return {}

    def write(self, target: repository.ModelVersion, place: Path | None = None) -> Report:
        """Copies the model into the folder of ``target``, with a check and a report.

        Each operator alone is held against the model as it is served.

        Raises:
            Unsupported: a reference is given, or the model does not run.
        """
        start, reading = time.monotonic(), self.reading
        if self.proof.reference is not None:
            raise Unsupported(
                f"{self.path}: it is served as it is, and has no layers to hold against "
                f"{self.proof.reference}; not read: {reading.why}"
            )
        names = reading.files.copy(target.path)
        inputs = self._inputs()
        plain, served = (reading.run(inputs, optimized=optimized) for optimized in (False, True))
        found = _compared(reading.outputs, plain, served)
        records = {name: Recorded.of(x) for name, x in zip(reading.outputs, plain, strict=True)}
        check = Check(inputs, records, {}, self.proof.tolerance, "unread")
        repository.write_check(target.path / repository.CHECK, check)
        report = self._report(target.name, found, plain, served).model_copy(
            update={
                "seconds": round(time.monotonic() - start, 3),
                "files": digests(target.path, [*names, repository.CHECK]),
            }
        )
        if place and report.accepted(self.proof.required):
            report = report.model_copy(update={"version": target.version, "path": str(place)})
        (target.path / repository.REPORT).write_text(report.to_json() + "\n")
        return report

    def _report(
        self, name: str, found: Found, plain: Sequence[Array], served: Sequence[Array]
    ) -> Report:
        reading = self.reading
        return Report(
            model=name,
            verified=False,
            evidence="unread",
            reference=reading.engine,
            source=hashed(reading.path, reading.format),
            layers=(),
            outputs=_said(found, plain, self.proof),
            first_difference=_first(found, plain, served, self.proof),
            seconds=0.0,
            warnings=(f"as it is: onnxruntime only: not read: {reading.why}",),
            notes=reading.notes,
        )

    def _inputs(self) -> dict[str, Array]:
        """In the types that the model takes, of which the graph has not all."""
        tensors, dtypes = self.reading.inputs, self.reading.dtypes
        first = next(iter(tensors), None)
        if first is None:
            raise Unsupported(f"{self.path}: it has no inputs")
        stand_in = Graph(tensors, (), {"": first})
        given = self.proof.inputs
        inputs = given_inputs(stand_in, given) if given else sample_inputs(stand_in)
        return {name: array.astype(dtypes[name]) for name, array in inputs.items()}


def _compared(names: Sequence[str], plain: Sequence[Array], served: Sequence[Array]) -> Found:
    return [
        (name, Recorded.of(a, a.size or 1).difference(b))
        for name, a, b in zip(names, plain, served, strict=True)
    ]


def _said(found: Found, values: Sequence[Array], proof: Proof) -> tuple[Compared, ...]:
    return tuple(
        Compared(
            name=name,
            output_shape=value.shape,
            max_abs=finite(difference.max_abs),
            scale=difference.scale,
            ok=difference.within(proof.tolerance),
            outside=False,
        )
        for (name, difference), value in zip(found, values, strict=True)
    )


def _first(
    found: Found, plain: Sequence[Array], served: Sequence[Array], proof: Proof
) -> FirstDifference | None:
    for (name, difference), expected, value in zip(found, plain, served, strict=True):
        if not difference.within(proof.tolerance):
            return FirstDifference(
                layer=name,
                engine=ENGINE,
                found=told(Statistics.of(value)),
                expected=told(Statistics.of(expected)),
            )
    return None
