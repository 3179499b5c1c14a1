"""Metrics of several systems against the same real pictures, each result with everything that decided about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines.images.provenance import installed_version, library_versions
from pipelines.metrics.features import FeatureExtractor
from pipelines.metrics.fid import fid_score
from pipelines.metrics.kid import kid_score
from pipelines.metrics.per_class import Sets, mean_over_classes, over_all
from pipelines.metrics.results import ResultsFile, result_key
from pipelines.metrics.score import FEW, Score

METRICS: dict[str, Callable[[Sets, Sets, int], Score]] = {
    "fid": partial(over_all, fid_score),
    "kid": partial(over_all, kid_score),
    "mfid": partial(mean_over_classes, fid_score),
    "mkid": partial(mean_over_classes, kid_score),
}
PER_CLASS = ("mfid", "mkid")
PUBLISHED = ("fid", "mfid")  # what papers measure with pytorch-fid


@dataclass(frozen=True)
class System:
    """What is measured: a checkpoint, a baseline, or a folder of pictures.

    Attributes:
        name: of the result's `system`.
        features: returns the features of what it generates, by class; called once, when it is needed.
        protocol: one sentence on how its pictures come about.
        checkpoint: where its weights came from; None for what has none.
        conditions: everything else that decides about its pictures, JSON values.
        details: what only its run tells, such as the precision; filled in by `features`.
    """

    name: str
    features: Callable[[], Sets]
    protocol: str
    checkpoint: dict[str, Any] | None = None
    conditions: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def evaluate(
    real: Callable[[], Sets],
    systems: Sequence[System],
    metrics: Sequence[str],
    extractor: FeatureExtractor,
    seed: int,
    results: ResultsFile,
) -> Iterator[dict[str, Any]]:
    """Measure every system by every metric; what the file of results holds already is not measured again.

    Args:
        real: returns the features of the real pictures by class; called only when something is to be measured.
        systems: see `System`.
        metrics: names of `METRICS`.
        extractor: made the features.
        seed: of subsets and resamplings.
        results: new results are appended to it, each as soon as it is there.

    Yields:
        The results, measured or found, as dicts of JSON values.

    Raises:
        MetricError: a set has too few pictures.
    """
    for system in systems:
        generated = None
        for metric in metrics:
            conditions = {
                "metric": metric,
                "system": system.name,
                "checkpoint": system.checkpoint,
                "extractor": extractor.record,
                "seed": seed,
                "conditions": system.conditions,
            }
            key = result_key(conditions)
            result = results.find(key)
            if result is None:
                start = time.perf_counter()
                generated = system.features() if generated is None else generated
                score = METRICS[metric](real(), generated, seed)
                result = {
                    "key": key,
                    "metric": metric,
                    "system": system.name,
                    **_values(score),
                    **_counts(real(), generated, metric),
                    **conditions,
                    "details": system.details,
                    "versions": {**library_versions(), "torchvision": installed_version("torchvision")},
                    "protocol": _protocol(metric, system, extractor),
                    "published": _published(metric, extractor),
                    "seconds": round(time.perf_counter() - start, 1),
                }
                results.append(result)
            yield result


def _values(score: Score) -> dict[str, Any]:
    values: dict[str, Any] = {"value": score.value, "interval": score.interval, "std": score.std}
    if score.per_class:
        values["per_class"] = score.per_class
    return values


def _counts(real: Sets, generated: Sets, metric: str) -> dict[str, Any]:
    counts: dict[str, Any] = {"real": _total(real), "generated": _total(generated)}
    smallest = min(counts.values())
    where = ""
    if metric in PER_CLASS:
        counts["per_class"] = {name: [len(real[name]), len(generated[name])] for name in real}
        smallest, where = min(min(pair) for pair in counts["per_class"].values()), " of a class"
    warning = None
    if smallest < FEW:
        warning = (
            f"As few as {smallest} pictures{where}, which is below 1,000: the interval (95 %) is the value and 1.96 "
            "bootstrap standard errors to both sides, and the value can only be compared with ones of the same counts."
        )
    return {"counts": counts, "warning": warning}


def _total(sets: Sets) -> int:
    return sum(len(features) for features in sets.values())


def _published(metric: str, extractor: FeatureExtractor) -> dict[str, Any]:
    """Whether a paper's figure may stand beside the value, and why."""
    if metric not in PUBLISHED:
        return {"comparable": False, "why": f"Papers do not measure {metric} in this way."}
    if not extractor.published:
        return {"comparable": False, "why": "Papers use another extractor: Inception as pytorch-fid reads it."}
    why = "Extractor and resizing are pytorch-fid's; a paper's pictures, their size and their number must be the same."
    return {"comparable": True, "why": why}


def _protocol(metric: str, system: System, extractor: FeatureExtractor) -> str:
    over = ", mean over classes" if metric in PER_CLASS else ""
    size = f" to {extractor.size} px" if extractor.resize != "none" else ""
    return (
        f"{metric.lstrip('m').upper()}{over}, on {extractor.name} {extractor.tap} averaged over the picture, resize "
        f"{extractor.resize}{size}; {system.protocol} Scores of other extractors cannot be compared with it."
    )
