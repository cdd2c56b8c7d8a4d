"""The text that Prometheus reads. Source: Prometheus text exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; samples are (labels, value)."""

    name: str
    kind: str
    text: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def requests_metric(name: str, totals: Mapping[tuple[str, str], int]) -> Metric:
    """Requests by route and class of status, those that there were."""
    samples = (({"route": route, "status": status}, float(count)) for (route, status), count in totals.items() if count)
    return Metric(name, "counter", "Requests by route and class of status.", tuple(samples))


def render(metrics: Iterable[Metric]) -> str:
    """The text that is scraped."""
    lines: list[str] = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in metric.samples:
            shown = ",".join(f'{name}="{label}"' for name, label in labels.items())
            lines.append(f"{metric.name}{{{shown}}} {value:.15g}" if shown else f"{metric.name} {value:.15g}")
    return "\n".join(lines) + "\n"
