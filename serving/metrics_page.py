"""The counts of a server as Prometheus reads them. Labels are models and versions, never what callers send."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.measures import BOUNDS_US
from serving.prediction_log import PredictionLog
from serving.predictor import Predictor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_VERSION = ("model", "version")


class ServerCollector(Collector):
    """Reads the counts when it is asked; keeps none of its own. `behind`: topics that the stream is behind of."""

    def __init__(self, predictor: Predictor, log: PredictionLog, behind: Callable[[], Iterable[str]]) -> None:
        self._predictor = predictor
        self._log = log
        self._behind = behind

    def collect(self) -> Iterator[Metric]:
        """Everything, as of now."""
        yield from self._answers()
        yield from self._models()
        yield from self._losses()

    def _answers(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("bighead_requests", "Requests by how they ended.", labels=(*_VERSION, "outcome"))
        rows = CounterMetricFamily("bighead_predictions", "Rows that were answered.", labels=_VERSION)
        explained = CounterMetricFamily("bighead_explanations", "Rows that were explained.", labels=_VERSION)
        seconds = HistogramMetricFamily("bighead_request_seconds", "Time from request to answer.", labels=_VERSION)
        for (model, version), counts in list(self._predictor.measures.versions.items()):
            labels = [model, str(version)]
            requests.add_metric([*labels, "answered"], counts.answers)
            requests.add_metric([*labels, "failed"], counts.failures)
            rows.add_metric(labels, counts.predictions)
            explained.add_metric(labels, counts.explanations)
            seconds.add_metric(labels, _cumulative(counts.buckets), counts.total_us / 1e6)
        yield from (requests, rows, explained, seconds)

    def _models(self) -> Iterator[Metric]:
        live = GaugeMetricFamily("bighead_live_version", "The version that is live.", labels=["model"])
        memory = GaugeMetricFamily("bighead_model_memory_bytes", "Memory of loaded versions.", labels=_VERSION)
        flight = GaugeMetricFamily("bighead_requests_in_flight", "Requests that are worked on.", labels=["model"])
        refused = CounterMetricFamily("bighead_requests_refused", "Requests beyond the bound.", labels=["model"])
        for model, served in self._predictor.snapshot.models.items():
            live.add_metric([model], served.live.version)
            for number, loaded in served.versions.items():
                memory.add_metric([model, str(number)], loaded.memory_bytes)
            gate = self._predictor.gates.of(model)
            flight.add_metric([model], gate.in_flight)
            refused.add_metric([model], gate.refused)
        yield from (live, memory, flight, refused)

    def _losses(self) -> Iterator[Metric]:
        lost = CounterMetricFamily("bighead_log_lost", "Predictions that are not in the log.", labels=["why"])
        lost.add_metric(["no room"], self._log.dropped)
        lost.add_metric(["not published"], self._log.failed)
        shadows = CounterMetricFamily("bighead_shadows_lost", "Requests that no shadow answered.", labels=["why"])
        shadows.add_metric(["no room"], self._predictor.shadows.dropped)
        shadows.add_metric(["failed"], self._predictor.shadows.failed)
        behind = GaugeMetricFamily("bighead_features_behind", "Topics that the stream is behind of.", labels=["topic"])
        for topic in sorted(self._behind()):
            behind.add_metric([topic], 1)
        yield from (lost, shadows, behind)


def _cumulative(buckets: Iterable[int]) -> list[tuple[str, float]]:
    bounds = [*(repr(bound / 1e6) for bound in BOUNDS_US), "+Inf"]
    total, found = 0, []
    for bound, count in zip(bounds, buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


def page_of(collector: Collector) -> Callable[[], bytes]:
    """Writes the page each time it is called."""
    registry = CollectorRegistry()
    registry.register(collector)
    return lambda: generate_latest(registry)
