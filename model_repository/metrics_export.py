"""Shows `lafi.serving.metrics` at Triton Server's /metrics.

With the bridge and the adapters, the only place that knows `triton_python_backend_utils`.
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
    """Brings the numbers up to date from time to time, in a thread of its own.

    read: all metrics now, always the same ones. every: seconds.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]], every: float = 0.5) -> None:
        self._read = read
        self._every = every
        self._families: dict[str, Any] = {}
        self._shown: dict[Key, Any] = {}
        self._values: dict[Key, float] = {}
        self._stop = threading.Event()
        self.update()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def update(self) -> None:
        """Shows the numbers as they are now."""
        for metric in self._read():
            key = (metric.name, tuple(metric.labels.items()))
            before = self._values.get(key)
            if before == metric.value:
                continue
            shown = self._shown_metric(key, metric)
            if metric.kind == "gauge":
                shown.set(metric.value)
            else:
                shown.increment(metric.value - (before or 0.0))
            self._values[key] = metric.value

    def close(self) -> None:
        """Stops; the server wants metrics to go before their families."""
        self._stop.set()
        self._thread.join()
        self._shown.clear()
        self._families.clear()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.update()

    def _shown_metric(self, key: Key, metric: Metric) -> Any:
        if key not in self._shown:
            self._shown[key] = self._family(metric).Metric(labels=dict(metric.labels))
        return self._shown[key]

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
