"""`python -m pipelines convert deepi2i|biggan|pggan|stylegan`: GANs, and pipelines of several networks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_UNUSED = "E1.pth and A1.pth carry linear and embed of a discriminator along, which nothing uses: they were left out."
_LOAD = "Load a network with `from_pretrained` of its class, which the config.json in its folder names."
_NO_NAMES = "The files hold no names of classes: give them with --classes."


@dataclass
class _Checkpoint:
    """What is written: networks, by the name of their folder, and what the README.md says."""

    title: str
    usage: str
    networks: dict[str, Any]
    files: Mapping[str, Path]
    notes: list[str] = field(default_factory=list)
    pipeline: Any = None  # that holds some of the networks
    class_names: list[str] | None = None  # written as classes.json

    def save(self, folder: Path) -> None:
        """Write all but the README.md."""
        if self.pipeline is not None:
            self.pipeline.save_pretrained(folder)
        if self.class_names is not None:
            (folder / "classes.json").write_text(json.dumps(self.class_names, indent=1) + "\n", encoding="utf-8")
        for name, network in self.networks.items():
            if not (folder / name).exists():
                network.save_pretrained(folder / name)


def run(args: argparse.Namespace) -> int:
    """Convert one checkpoint.

    Returns:
        0.

    Raises:
        ConversionError: it cannot be converted, or the folder is taken; nothing is written.
    """
    from pipelines.conversion.output import check_free, precision, readme, whole_folder
    from pipelines.conversion.report import check_finite
    from pipelines.hub.verify import file_sha256

    check_free(args.output, overwrite=args.overwrite)
    if args.method == "deepi2i":
        checkpoint = _deepi2i_stylegan(args) if args.source.is_file() else _deepi2i(args)
    else:
        checkpoint = {"biggan": _biggan, "pggan": _pggan, "stylegan": _stylegan}[args.method](args)
    if args.half:
        for name, network in checkpoint.networks.items():
            check_finite(network.half(), f"{args.source.name} ({name})")
    files = {path.name: file_sha256(path) for path in checkpoint.files.values()}
    text = readme(files, checkpoint.title, checkpoint.usage, precision(args.half), checkpoint.notes)
    with whole_folder(args.output, overwrite=args.overwrite) as folder:
        checkpoint.save(folder)
        (folder / "README.md").write_text(text, encoding="utf-8")
    print(f"{args.output}: a {checkpoint.title} of {', '.join(checkpoint.networks)}")
    for note in checkpoint.notes:
        print(note)
    return 0


def _deepi2i(args: argparse.Namespace) -> _Checkpoint:
    """A DeepI2IPipeline, and beside it the discriminator for further training."""
    from pipelines import DeepI2IPipeline
    from pipelines.conversion.files import convert_files, describe_ignored
    from pipelines.conversion.output import usage
    from pipelines.conversion.report import ConversionError
    from pipelines.deepi2i.convert import CONVERSIONS, find_checkpoint

    files = find_checkpoint(args.source)
    networks = convert_files(files, CONVERSIONS)
    names = _class_names(args, networks["generator"])
    parts = {name: network for name, network in networks.items() if name != "discriminator"}
    try:
        pipe = DeepI2IPipeline(**parts, class_names=names)
    except ValueError as error:
        raise ConversionError(f"The networks of {args.source.name} do not belong together: {error}") from error
    notes = [_UNUSED, *describe_ignored(files["generator"].parent, files), *_describe_names(names, networks)]
    return _Checkpoint("DeepI2IPipeline", usage("DeepI2IPipeline"), networks, files, notes, pipeline=pipe)


def _biggan(args: argparse.Namespace) -> _Checkpoint:
    """A GAN as `train biggan` writes it."""
    from pipelines.conversion.biggan import convert_discriminator, convert_generator, find_gan
    from pipelines.conversion.files import convert_files, describe_ignored

    files = find_gan(args.source)
    networks = convert_files(files, {"generator": convert_generator, "discriminator": convert_discriminator})
    names = _class_names(args, networks["generator"])
    notes = [*describe_ignored(files["generator"].parent, files), *_describe_names(names, networks)]
    if "discriminator" not in files:
        notes.append(f"No discriminator lies beside {files['generator'].name}: training cannot begin from this GAN.")
    usage = "Train DeepI2I from it with `python -m pipelines train deepi2i --init <this folder>`."
    return _Checkpoint("BigGAN", usage, networks, files, notes, class_names=names or [])


def _deepi2i_stylegan(args: argparse.Namespace) -> _Checkpoint:
    """A DeepI2IStyleGANPipeline, and beside it the discriminator; of the file of a GAN, its networks alone."""
    from pipelines import DeepI2IStyleGANPipeline
    from pipelines.conversion.output import usage
    from pipelines.conversion.report import ConversionError
    from pipelines.deepi2i.convert import FILES
    from pipelines.deepi2i.convert_stylegan import convert_stylegan

    if args.source.name in FILES.values():
        raise ConversionError(
            f"{args.source.name} is one of {', '.join(FILES.values())}: give the folder of all four."
        )
    _check_no_classes(args, "the StyleGAN variant")
    found = vars(convert_stylegan(args.source, args.resolution))
    networks = {name: network for name, network in found.items() if network is not None}
    files = {"networks": args.source}
    if "adaptor" not in networks:
        note = f"{args.source.name} holds a GAN, which translates nothing: it has no `encoder` and no `align`."
        return _Checkpoint("StyleGAN", _LOAD, networks, files, [note])
    parts = {name: network for name, network in networks.items() if name != "discriminator"}
    try:
        pipe = DeepI2IStyleGANPipeline(**parts)
    except ValueError as error:
        raise ConversionError(f"The networks of {args.source.name} do not belong together: {error}") from error
    name = type(pipe).__name__
    return _Checkpoint(name, usage(name), networks, files, pipeline=pipe)


def _pggan(args: argparse.Namespace) -> _Checkpoint:
    """A PGGAN of the layout of mGANprior, as a prior for inversion."""
    from pipelines.conversion.files import convert_files
    from pipelines.conversion.pggan import convert_generator

    _check_no_classes(args, "a PGGAN")
    files = {"generator": args.source}
    return _Checkpoint("PGGAN", _LOAD, convert_files(files, {"generator": convert_generator}), files)


def _stylegan(args: argparse.Namespace) -> _Checkpoint:
    """A StyleGAN of the layout of mGANprior, as a prior for inversion."""
    from pipelines.conversion.files import convert_files
    from pipelines.conversion.stylegan import TRUNCATED_LAYERS, TRUNCATION, convert_generator

    _check_no_classes(args, "a StyleGAN")
    files = {"generator": args.source}
    networks = convert_files(files, {"generator": convert_generator})
    note = (
        f"Its authors truncate: `generator(latent, truncation={TRUNCATION}, truncated_layers={TRUNCATED_LAYERS})`. "
        "The noise of the file is part of the generator."
    )
    return _Checkpoint("StyleGAN", _LOAD, networks, files, [note])


def _check_no_classes(args: argparse.Namespace, what: str) -> None:
    from pipelines.conversion.report import ConversionError

    if args.classes:
        raise ConversionError(f"--classes is given, and {what} has no classes: leave it out.")


def _class_names(args: argparse.Namespace, generator: Any) -> list[str] | None:
    """The names in --classes; None without."""
    from pipelines.conversion.class_list import read_class_list
    from pipelines.conversion.report import ConversionError
    from pipelines.deepi2i.class_names import read_class_names

    if args.classes is None:
        return None
    try:
        return read_class_names(read_class_list(args.classes), generator.config["num_classes"])
    except ConversionError:
        raise
    except ValueError as error:
        raise ConversionError(f"{args.classes.name}: {error}") from error


def _describe_names(names: list[str] | None, networks: Mapping[str, Any]) -> list[str]:
    rows = networks["generator"].config["num_classes"]
    if names is None:
        return [_NO_NAMES]
    return [f"{len(names)} of the {rows} rows of the class embedding have a name."] if len(names) < rows else []
