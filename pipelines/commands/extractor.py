"""The networks that `evaluate` measures with: a backbone, Inception from a file or the Hub, and a segmenter."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from pipelines.commands import UsageError, call
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import COMMIT
from pipelines.hub.snapshot import download_snapshot
from pipelines.hub.verify import file_sha256
from pipelines.metrics.features import PYTORCH_FID_SIZE, FeatureExtractor
from pipelines.metrics.segments import Segments, chosen_labels
from pipelines.networks.inception import PYTORCH_FID_SHA256, InceptionBackbone
from pipelines.networks.segmenter import Segmenter

INCEPTION = "inception:"
ON_THE_HUB = ("timm/inception_v3.tv_in1k", "timm/inception_v3.tf_in1k")
_FILE = "model.safetensors"
_SIZE = 128


class _Loaded(NamedTuple):
    network: nn.Module
    name: str
    sha256: dict[str, str]
    resize: str = "clean"
    size: int = _SIZE
    published: bool = False


def load_extractor(args: argparse.Namespace) -> FeatureExtractor:
    """The extractor of `--extractor`, `--tap`, `--resize`, `--size` and `--batch-size`, on `--device`.

    Raises:
        UsageError: there is no such extractor, or it has no backbone.
        CheckpointError: it cannot be fetched.
        ConversionError: the file of weights cannot be read, or does not fit.
        MetricError: it has no such layer.
    """
    loaded = _inception(args) if args.extractor.startswith(INCEPTION) else _backbone(args)
    return FeatureExtractor(
        loaded.network.float().eval(),
        loaded.name,
        loaded.sha256,
        tap=args.tap,
        resize=args.resize or loaded.resize,
        size=args.size or loaded.size,
        batch_size=args.batch_size,
        published=loaded.published,
    )


def load_segments(args: argparse.Namespace) -> Segments | None:
    """The segmenter of `--segmenter` and `--labels`, on `--device`; None where there is none.

    Raises:
        UsageError: it does not have the labels.
        ConversionError: the file of weights cannot be read, or is of no segmentation network.
    """
    if args.segmenter is None:
        return None
    network = Segmenter.from_file(args.segmenter).to(call.place(args.device))
    try:
        labels = chosen_labels(args.labels or (), network.classes)
    except ValueError as error:
        raise UsageError(f"--labels: {error}.") from error
    return Segments(network, args.segmenter.name, file_sha256(args.segmenter), labels)


def _backbone(args: argparse.Namespace) -> _Loaded:
    pipe: Any = call.load(args.extractor, args.device)
    if "backbone" not in pipe.components:
        raise UsageError(f"--extractor {args.extractor} has no backbone; oeft-starter has one.")
    hashes = {path: value for path, value in pipe.source_record["sha256"].items() if path.startswith("backbone/")}
    return _Loaded(pipe.backbone, args.extractor, hashes)


def _inception(args: argparse.Namespace) -> _Loaded:
    source = args.extractor.removeprefix(INCEPTION)
    name, _, revision = source.partition("@")
    if name in ON_THE_HUB:
        path, source = _from_hub(name, revision)
    elif not Path(source).is_file():
        raise UsageError(
            f"--extractor {args.extractor}: there is no file {source}; a file of weights, or one of "
            f"{', '.join(ON_THE_HUB)} is accepted."
        )
    else:
        path, source = Path(source), Path(source).name
    sha256 = file_sha256(path)
    network = InceptionBackbone.from_file(path).to(call.place(args.device))
    name = f"{INCEPTION}{source}"
    return _Loaded(
        network, name, {path.name: sha256}, "pytorch-fid", PYTORCH_FID_SIZE, published=sha256 == PYTORCH_FID_SHA256
    )


def _from_hub(repo_id: str, revision: str) -> tuple[Path, str]:
    """The file, and the repository with the commit that it is from."""
    if os.environ.get("TRANSLATION_HUB_STRICT", "0") not in ("", "0") and not COMMIT.fullmatch(revision):
        raise CheckpointError(
            f"{repo_id!r} is not pinned to a commit, which TRANSLATION_HUB_STRICT asks for: write "
            f"{INCEPTION}{repo_id}@COMMIT, with 40 hex digits."
        )
    folder = download_snapshot(repo_id, revision or "main", patterns=[_FILE])
    return folder / _FILE, f"{repo_id}@{folder.name}"
