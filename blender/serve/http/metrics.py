"""Metrics of a server, in Prometheus' format."""

from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from blender.serve.generate import Answer

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)


class ServerMetrics:
    """Metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = self._counter("requests", "Requests by path and status.", ("path", "status"))
        self._answers = self._counter("answers", "Answers by how they ended.", ("finish",))
        self._prompt = self._counter("prompt_tokens", "Positions of prompts, images included.")
        self._cached = self._counter("cached_prompt_tokens", "Positions of prompts that were cached.")
        self._generated = self._counter("generated_tokens", "Tokens of answers.")
        self._wait = self._histogram("wait_seconds", "From a question to its turn.")
        self._first = self._histogram("first_text_seconds", "From a question to the first text of its answer.")
        self._whole = self._histogram("answer_seconds", "From a question to the end of its answer.")
        self._batch_size = self._histogram("batch_size", "Questions answered together.", (1, 2, 4, 8, 16, 32, 64))

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is computed whenever the metrics are read."""
        Gauge(f"visualchat_{name}", description, registry=self._registry).set_function(value)

    def request(self, path: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()

    def begin(self, waited: Sequence[float]) -> None:
        """Count a batch, by the seconds that each of its questions waited."""
        self._batch_size.observe(len(waited))
        for seconds in waited:
            self._wait.observe(seconds)

    def end(self, answer: Answer, first: float | None, whole: float) -> None:
        """Count an answer, with the seconds until its first text, if any, and until its end."""
        self._answers.labels(answer.finish).inc()
        self._prompt.inc(answer.num_prompt_tokens)
        self._cached.inc(answer.num_cached_tokens)
        self._generated.inc(answer.num_new_tokens)
        self._whole.observe(whole)
        if first is not None:
            self._first.observe(first)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"visualchat_{name}", description, labels, registry=self._registry)

    def _histogram(self, name: str, description: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
        return Histogram(f"visualchat_{name}", description, registry=self._registry, buckets=buckets)
