"""Publishes `lafi.serving.metrics` at Triton Server's /metrics.

Only this module, the bridge and the adapters import `triton_python_backend_utils`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import triton_python_backend_utils as pb_utils

from lafi.serving.metrics import Metric

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and labels."""


class MetricsExport:
    """Updates the published numbers at regular intervals, in its own thread.

    read: returns all metrics, always the same names. every: seconds between updates.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]], every: float = 0.5) -> None:
        self._read = read
        self._every = every
        self._families: dict[str, Any] = {}
        self._published: dict[Key, Any] = {}
        self._values: dict[Key, float] = {}
        self._stop = threading.Event()
        self.update()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def update(self) -> None:
        """Publishes the current numbers."""
        for metric in self._read():
            key = (metric.name, tuple(metric.labels.items()))
            before = self._values.get(key)
            if before == metric.value:
                continue
            published = self._published_metric(key, metric)
            if metric.kind == "gauge":
                published.set(metric.value)
            else:
                published.increment(metric.value - (before or 0.0))
            self._values[key] = metric.value

    def close(self) -> None:
        """Stops the thread. Frees metrics before their families, as the server requires."""
        self._stop.set()
        self._thread.join()
        self._published.clear()
        self._families.clear()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.update()

    def _published_metric(self, key: Key, metric: Metric) -> Any:
        if key not in self._published:
            self._published[key] = self._family(metric).Metric(labels=dict(metric.labels))
        return self._published[key]

    def _family(self, metric: Metric) -> Any:
        if metric.name not in self._families:
            kinds = {
                "counter": pb_utils.MetricFamily.COUNTER,
                "gauge": pb_utils.MetricFamily.GAUGE,
            }
            self._families[metric.name] = pb_utils.MetricFamily(
                name=metric.name, description=metric.help, kind=kinds[metric.kind]
            )
        return self._families[metric.name]
