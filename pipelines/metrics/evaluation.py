"""Metrics of several systems against the same real pictures, each result with everything that decided about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from pipelines.images.provenance import installed_version, library_versions
from pipelines.metrics.accuracy import fake_classifier, real_classifier
from pipelines.metrics.features import FeatureExtractor
from pipelines.metrics.fid import fid_score
from pipelines.metrics.kid import kid_score
from pipelines.metrics.measures import FEATURES, PAIRED, SEGMENTATION, SEGMENTED, Measures
from pipelines.metrics.per_class import Sets, mean_over_classes, over_all
from pipelines.metrics.results import ResultsFile, result_key
from pipelines.metrics.score import FEW, Score, mean_score
from pipelines.metrics.segments import segmentation_score, segmentation_scores
from pipelines.metrics.shares import Shares

Metric = Callable[[Sets, Sets, int], Score]
METRICS: dict[str, Metric] = {
    "fid": partial(over_all, fid_score),
    "kid": partial(over_all, kid_score),
    "mfid": partial(mean_over_classes, fid_score),
    "mkid": partial(mean_over_classes, kid_score),
    "rc": real_classifier,
    "fc": fake_classifier,
}
OF_PICTURES = (*PAIRED, *SEGMENTED)  # metrics that are means over pictures
CLASSIFIERS = ("rc", "fc")
PER_CLASS = ("mfid", "mkid", *CLASSIFIERS)
PUBLISHED = ("fid", "mfid")  # what papers measure with pytorch-fid
WHAT = {  # a metric in words
    "fid": "FID",
    "kid": "KID",
    "mfid": "FID, mean over classes",
    "mkid": "KID, mean over classes",
    "rc": "RC, accuracy on generated pictures of a linear classifier of real ones, mean over classes",
    "fc": "FC, accuracy on real pictures of a linear classifier of generated ones, mean over classes",
    "lpips": "uncalibrated LPIPS (unit features, squared distance, mean over places and taps), mean over pairs",
    "sifid": "single-image FID (features of all places), mean over pairs",
    "pixels": "share of the pixels that have the labels, mean over pictures",
    "segmentation": "mean IoU of the labels that are found with those of the label maps",
}


@dataclass(frozen=True)
class System:
    """What is measured: a checkpoint, a baseline, or a folder of pictures.

    Attributes:
        name: of the result's `system`.
        measured: returns by measure, and by class, the rows of what it generates; called once, when it is needed.
        protocol: one sentence on how its pictures come about.
        checkpoint: where its weights came from; None for what has none.
        conditions: everything else that decides about its pictures, JSON values.
        details: what only its run tells, such as the precision; filled in by `measured`.
        compared_with: which picture each of its pictures is compared with; None where there is none.
        offers: what it measures of its pictures; metrics of anything else are left out for it.
    """

    name: str
    measured: Callable[[], Mapping[str, Sets]]
    protocol: str
    checkpoint: dict[str, Any] | None = None
    conditions: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    compared_with: str | None = None
    offers: tuple[str, ...] = (FEATURES,)


def measures_for(metrics: Sequence[str]) -> list[str]:
    """What has to be measured of every picture for metrics of these names."""
    own = [metric for metric in OF_PICTURES if metric in metrics]
    return own if len(own) == len(set(metrics)) else [FEATURES, *own]


def evaluate(
    real: Callable[[], Sets],
    systems: Sequence[System],
    metrics: Sequence[str],
    measures: Measures,
    seed: int,
    results: ResultsFile,
    shares: Shares,
) -> Iterator[dict[str, Any]]:
    """Measure every system by every metric; what the file of results holds already is not measured again.

    Args:
        real: returns the features of the real pictures by class; called only when something is to be measured.
        systems: see `System`.
        metrics: names of `METRICS`, and of measures of pictures.
        measures: measured the pictures.
        seed: of subsets and resamplings.
        results: new results are appended to it, each as soon as it is there, by the main process.
        shares: of this process; all processes get all results.

    Yields:
        The results, measured or found, as dicts of JSON values.

    Raises:
        MetricError: a set has too few pictures.
    """
    for system in systems:
        measured = None
        for metric in metrics:
            if (metric if metric in OF_PICTURES else FEATURES) not in system.offers:
                continue
            conditions = {
                "metric": metric,
                "system": system.name,
                "checkpoint": system.checkpoint,
                "extractor": measures.record_of(metric),
                "seed": seed,
                "conditions": system.conditions,
            }
            key = result_key(conditions)
            result = shares.from_main(partial(results.find, key))
            if result is None:
                start = time.perf_counter()
                measured = system.measured() if measured is None else measured
                against = {} if metric in OF_PICTURES else real()
                result = {
                    "key": key,
                    "metric": metric,
                    "system": system.name,
                    **shares.from_main(partial(_values, metric, against, measured, seed)),
                    **conditions,
                    "details": system.details,
                    "versions": {**library_versions(), "torchvision": installed_version("torchvision")},
                    "protocol": _protocol(metric, system, measures),
                    "published": _published(metric, measures.extractor),
                    "seconds": round(time.perf_counter() - start, 1),
                }
                if shares.is_main:
                    results.append(result)
            yield result


def _values(metric: str, real: Sets, measured: Mapping[str, Sets], seed: int) -> dict[str, Any]:
    extra: Mapping[str, float] = {}
    if metric in OF_PICTURES:
        rows = torch.cat(list(measured[metric].values()))
        score = segmentation_score(rows, seed) if metric == SEGMENTATION else mean_score(rows.flatten(), seed)
        extra = segmentation_scores(rows) if metric == SEGMENTATION else {}
        what = "pairs" if metric in PAIRED else "pictures"
        counts, smallest = {what: len(rows)}, len(rows)
    else:
        generated = measured[FEATURES]
        score = METRICS[metric](real, generated, seed)
        counts, smallest, what = _counts(real, generated, metric)
    values: dict[str, Any] = {"value": score.value, "interval": score.interval, "std": score.std, **extra}
    if score.per_class:
        values["per_class"] = score.per_class
    return {**values, "counts": counts, "warning": _warning(metric, smallest, what)}


def _counts(real: Sets, generated: Sets, metric: str) -> tuple[dict[str, Any], int, str]:
    """The counts of a result, the smallest of them, and what it counts."""
    counts: dict[str, Any] = {"real": _total(real), "generated": _total(generated)}
    if metric not in PER_CLASS:
        return counts, min(counts.values()), "pictures"
    counts["per_class"] = {name: [len(real[name]), len(generated[name])] for name in real}
    return counts, min(min(pair) for pair in counts["per_class"].values()), "pictures of a class"


def _warning(metric: str, smallest: int, what: str) -> str | None:
    if smallest >= FEW:
        return None
    across = "; it is over classes, with the same classifier" if metric in CLASSIFIERS else ""
    return (
        f"As few as {smallest} {what}, which is below 1,000: the interval (95 %{across}) is the value and 1.96 "
        "bootstrap standard errors to both sides, and the value can only be compared with ones of the same counts."
    )


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


def _protocol(metric: str, system: System, measures: Measures) -> str:
    extractor = measures.extractor
    if metric in SEGMENTED:
        by = measures.record_of(metric)["id"]
        return f"{WHAT[metric]}, by {by}; {system.protocol} Scores of other segmenters cannot be compared with it."
    size = f" to {extractor.size} px" if extractor.resize != "none" else ""
    if metric in PAIRED:
        layers = f"{', '.join(measures.taps[metric])}; each compared with {system.compared_with}"
    else:
        layers = f"{extractor.tap} averaged over the picture"
    return (
        f"{WHAT[metric]}, on {extractor.name} {layers}, resize {extractor.resize}{size}; {system.protocol} Scores of "
        "other extractors cannot be compared with it."
    )
