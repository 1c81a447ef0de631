"""What a delivery did, measured on its requests."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass
class Statistics:
    """Counts of records, and of requests by their answer; `latencies` are seconds, four bytes a request."""

    records: int = 0
    delivered: int = 0
    already_there: int = 0
    failed: int = 0
    acknowledged_before: int = 0
    retries: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    latencies: "array[float]" = field(default_factory=lambda: array("f"))

    def latency_ms(self) -> dict[str, float]:
        """Percentiles of the time from sending a request to its whole answer, each a time that was measured."""
        ordered = sorted(self.latencies)
        if not ordered:
            return {}
        last = len(ordered) - 1
        return {name: round(ordered[min(int(len(ordered) * p), last)] * 1000, 2) for name, p in PERCENTILES.items()}

    def as_json(self) -> dict[str, Any]:
        """The report."""
        acknowledged = self.delivered + self.already_there
        return {
            "records": self.records,
            "delivered": self.delivered,
            "already_there": self.already_there,
            "failed": self.failed,
            "acknowledged_before": self.acknowledged_before,
            "requests": len(self.latencies),
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(acknowledged / self.seconds, 1) if self.seconds else 0.0,
            "latency_ms": self.latency_ms(),
            "answers": dict(self.answers.most_common()),
            "reasons": dict(self.reasons.most_common(20)),
        }
