"""The listener that hands a training's news to its page."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import Batch, classes_of
from ..device import to_numpy
from ..errors import UsageError
from ..training.loop import Epoch, Listener, Run
from ..training.measures import Accuracy, usual
from .answers import Answers
from .curve import Curve
from .details import Details, Learnt, history, kept_kernels, layers, plain
from .pictures import Examples, pictured
from .projection import embedding

PORT = 8091
REFRESH = 0.25  # seconds
LEARNT = 24  # examples that are shown as they were learnt from


@dataclass
class LivePage(Listener):
    """A page on 127.0.0.1 that follows the training, as long as that takes.

    Attributes:
        port: where; 0: any that is free.
        name: of the training, its title.
        labels: what the classes are called; by default what the data call them.
        embedding: the value or layer that is drawn in the plane; by default what the last layer
            with weights reads.
    """

    port: int = PORT
    name: str = ""
    labels: tuple[str, ...] = ()
    embedding: str = ""
    _labels: tuple[str, ...] = field(default=(), init=False, repr=False)
    _server: Any = field(default=None, init=False, repr=False)
    _curve: Curve = field(default_factory=Curve, init=False, repr=False)
    _began: float = field(default=0.0, init=False, repr=False)
    _shown: float = field(default=0.0, init=False, repr=False)
    _steps: int = field(default=0, init=False, repr=False)
    _revision: int = field(default=0, init=False, repr=False)
    _told: bool = field(default=False, init=False, repr=False)
    _picture: str | None = field(default=None, init=False, repr=False)
    _examples: Examples | None = field(default=None, init=False, repr=False)
    _learnt: Learnt | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        """Where it is."""
        assert self._server
        return self._server.url

    def begin(self, run: Run) -> None:
        from .server import Server  # what serves is slow to import

        self._watch(run)
        self._began = self._shown = time.monotonic()
        self._server = Server(self.port)
        self._detail(run)
        self._write(run, "training")

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        self._steps += 1
        self._curve.add(len(run.history) + run.steps_done / run.steps, loss)
        if run.steps_done == 1:
            self._keep(run, batch)
        if not self._told:
            self._told = True
            run.say(f"live page: {self.url}")
        if time.monotonic() - self._shown >= REFRESH:
            self._write(run, "training")

    def epoch(self, run: Run, epoch: Epoch) -> None:
        self._detail(run)
        self._write(run, "training")

    def end(self, run: Run) -> None:
        if self._server is None:
            return
        done = run.epochs is not None and len(run.history) >= run.epochs
        self._write(run, "failed" if run.failed else "done" if done else "stopped")
        self._server.close()

    def _watch(self, run: Run) -> None:
        """Finds what can be shown, and asks for what evaluations do not keep by themselves."""
        graph = run.trainer.network.graph
        self._labels = self.labels or classes_of(run.data)
        self._picture = pictured(graph)
        if run.validation is None:
            return
        if self._picture:
            self._examples = Examples.of(run.validation, self._picture)
        asked = graph.layers.get(self.embedding)
        self.embedding = asked.value if asked else self.embedding
        for measure in usual(run.trainer.model.terms)[:1]:
            self.embedding = self.embedding or embedding(graph, measure.on) or ""
        if self.embedding:
            if self.embedding not in graph.types:
                known = ", ".join(graph.layers)
                raise UsageError(
                    f"live page: no layer is called {self.embedding!r}; there are {known}"
                )
            run.watched.add(self.embedding)

    def _keep(self, run: Run, batch: Batch) -> None:
        """The first examples of an epoch, as they were changed before they were learnt from."""
        if self._picture is None:
            return
        images = np.array(to_numpy(batch[self._picture][:LEARNT]))
        labels = [""] * len(images)
        for measure in usual(run.trainer.model.terms)[:1]:
            wanted = np.asarray(to_numpy(batch[measure.target][:LEARNT])).reshape(len(images), -1)
            if isinstance(measure, Accuracy) and wanted.shape[1] > 1:
                wanted = wanted.argmax(-1)[:, None]
            if wanted.shape[1] == 1:
                labels = [self._label(int(number)) for number in wanted[:, 0]]
        self._learnt = Learnt(images, labels)

    def _label(self, number: int) -> str:
        return self._labels[number] if 0 <= number < len(self._labels) else str(number)

    def _detail(self, run: Run) -> None:
        assert self._server
        self._revision += 1
        embedded = run.answers.get(self.embedding)
        about = {
            "name": self.name,
            "revision": self._revision,
            "goal": run.goal,
            "history": history(run.history),
            "layers": layers(run),
            "embedding": self.embedding if embedded is not None else None,
        }
        self._server.details = Details(
            about,
            Answers.of(run, self._labels),
            kept_kernels(run),
            self._examples,
            self._learnt,
            embedded,
        )

    def _write(self, run: Run, status: str) -> None:
        assert self._server
        now = time.monotonic()
        self._shown = now
        taken = now - self._began
        pace = self._steps / taken if taken > 0 else 0.0
        left = None
        if run.epochs is not None and pace:
            left = ((run.epochs - len(run.history)) * run.steps - run.steps_done) / pace
        told: dict[str, Any] = {
            "status": status,
            "revision": self._revision,
            "epoch": min(len(run.history) + 1, run.epochs or len(run.history) + 1),
            "epochs": run.epochs,
            "step": run.steps_done,
            "steps": run.steps,
            "done": len(run.history) + run.steps_done / run.steps,
            "loss": self._curve.latest,
            "rate": run.trainer.update.rate,
            "pace": pace * run.batch_size,
            "seconds": taken,
            "left": left,
            "curve": self._curve.points,
        }
        self._server.board.write(json.dumps(plain(told)))
