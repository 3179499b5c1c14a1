"""Conversion of the authors' BigGAN and DeepI2I, on files made here."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipelines import DeepI2IPipeline, DeepI2IStyleGANPipeline
from pipelines.__main__ import main
from pipelines.conversion.biggan import convert_discriminator, convert_generator
from pipelines.conversion.class_list import read_class_list
from pipelines.conversion.report import ConversionError
from pipelines.deepi2i.convert import convert_adaptor, convert_encoder, find_checkpoint
from pipelines.deepi2i.convert_stylegan import convert_stylegan
from pipelines.deepi2i.transfer import read_pretrained
from pipelines.networks.stylegan import StyleGANGenerator
from tests.authors_biggan import adaptor_file, discriminator_file, generator_file
from tests.tiny import picture, seeded
from tests.unit import test_stylegan_convert as stylegan

FILES = {"G": generator_file, "D": discriminator_file, "E1": discriminator_file, "A1": adaptor_file}
CONVERSIONS = {"G": convert_generator, "D": convert_discriminator, "E1": convert_encoder, "A1": convert_adaptor}

# Some of our names, and the authors'.
NAMES = {
    "G": {
        "embedding.weight": "shared.weight",
        "stem.u": "linear.u0",
        "blocks.1.norm2.gain.weight": "blocks.1.0.bn2.gain.weight",
        "blocks.3.norm1.running_var": "blocks.3.0.bn1.stored_var",
        "blocks.0.shortcut.bias": "blocks.0.0.conv_sc.bias",
        "attention.query.weight": "blocks.2.1.theta.weight",
        "attention.value.u": "blocks.2.1.g.u0",
        "attention.gamma": "blocks.2.1.gamma",
        "head_norm.weight": "output_layer.0.gain",
        "head_norm.running_mean": "output_layer.0.stored_mean",
        "head.bias": "output_layer.2.bias",
    },
    "D": {
        "trunk.blocks.4.shortcut.weight": "blocks.4.0.conv_sc.weight",
        "trunk.attention.key.weight": "blocks.0.1.phi.weight",
        "trunk.attention.output.u": "blocks.0.1.o.u0",
        "linear.weight": "linear.weight",
        "embedding.u": "embed.u0",
    },
    "E1": {"trunk.blocks.2.conv2.weight": "blocks.2.0.conv2.weight", "trunk.attention.gamma": "blocks.0.1.gamma"},
    "A1": {"blocks.32.conv1.weight": "blocks.0.0.conv1.weight", "blocks.4.shortcut.u": "blocks.3.0.conv_sc.u0"},
}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint as the authors' training leaves it, below two folders."""
    weights = tmp_path / "result" / "weights" / "DeepI2I_animals"
    weights.mkdir(parents=True)
    for name, make in FILES.items():
        torch.save(make(), weights / f"{name}.pth")
    for name in ("state_dict", "G_optim"):
        (weights / f"{name}.pth").write_bytes(pickle.dumps(Trap()))
    return weights


class Trap:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise AssertionError('a pickle was opened')",)


def convert(method, source, output, *options) -> int:
    return main(["convert", method, "--source", str(source), "--output", str(output), *map(str, options)])


@pytest.mark.parametrize("name", FILES)
def test_every_weight_comes_from_its_place(name):
    state = FILES[name]()
    before = torch.random.get_rng_state()
    network = CONVERSIONS[name](state)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not network.training
    found = network.state_dict()
    for ours, theirs in NAMES[name].items():
        assert torch.equal(found[ours], state[theirs]), ours
    unused = ("linear.", "embed.") if name in ("E1", "A1") else ()
    taken = [key for key in state if not key.endswith("sv0") and not key.startswith(unused or "sv0")]
    assert len([key for key in found if not key.endswith("num_batches_tracked")]) == len(taken)


@pytest.mark.parametrize("resolution", [64, 128])
@pytest.mark.parametrize("attention", [None, 1])
def test_sizes_are_recognized(resolution, attention):
    config = convert_generator(generator_file(resolution, base=8, attention=attention, num_classes=3)).config
    slots = {64: 5, 128: 6}[resolution]
    assert (config["resolution"], config["base_channels"], config["num_classes"]) == (resolution, 8, 3)
    assert (config["latent_dim"], config["embedding_dim"]) == (3 * slots, 6)
    assert config["attention_resolution"] == (0 if attention is None else 16)
    for network in (
        convert_discriminator(discriminator_file(resolution, attention=attention)),
        convert_encoder(discriminator_file(resolution, attention=attention)),
    ):
        assert network.config["resolution"] == resolution
        assert network.config["base_channels"] == 8
        assert network.config["attention_resolution"] == (0 if attention is None else resolution // 4)


@pytest.mark.parametrize("name", FILES)
def test_one_report_for_everything(name):
    state = FILES[name]()
    del state["blocks.1.0.conv2.bias"]
    state["extra"] = torch.zeros(2, 3)
    state["blocks.1.0.conv_sc.weight"] = torch.zeros(8, 4, 5, 5)
    state["blocks.0.0.conv2.bias"][0] = float("nan")
    with pytest.raises(ConversionError, match="1 missing, 1 unexpected, 1 misshapen, 1 not finite") as error:
        CONVERSIONS[name](state, "file.pth")
    assert "missing: blocks.1.0.conv2.bias" in str(error.value)
    assert "unexpected: extra 2x3" in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_every_missing_tensor_is_named(name):
    unused = ("linear.", "embed.") if name in ("E1", "A1") else ()
    left_out = ("blocks.1.0.", "blocks.2.0.", *unused)  # these blocks are as the others
    for key in FILES[name]():
        if key.endswith((".sv0", ".gamma")) or key.startswith(left_out):
            continue
        state = FILES[name]()
        del state[key]
        with pytest.raises(ConversionError, match=key.replace(".", r"\.")):
            CONVERSIONS[name](state)


def test_networks_are_told_apart():
    for wanted, description in (("G", "generator"), ("D", "discriminator"), ("A1", "adaptor")):
        for given in {"G", "D", "A1"} - {wanted}:
            with pytest.raises(ConversionError, match=f"in its place the file of the {description} is needed"):
                CONVERSIONS[wanted](FILES[given]())
        with pytest.raises(ConversionError, match=f"is no {description} of BigGAN or DeepI2I"):
            CONVERSIONS[wanted]({"model.1.weight": torch.zeros(1)})
        with pytest.raises(ConversionError, match="is a network of BigGAN-deep"):
            CONVERSIONS[wanted]({**FILES[wanted](), "blocks.0.0.conv4.weight": torch.zeros(1)})


def test_generators_of_another_kind():
    state = {**generator_file(), "blocks.4.0.conv1.weight": torch.zeros(1), "blocks.5.0.conv1.weight": torch.zeros(1)}
    with pytest.raises(ConversionError, match="has 6 blocks; 4 for 64 pixels or 5 for 128 pixels are supported"):
        convert_generator(state)
    state = {**generator_file(), "blocks.0.0.bn1.gain.weight": torch.zeros(64, 6)}
    with pytest.raises(ConversionError, match="was not trained with --G_shared --hier: its blocks see 6 numbers"):
        convert_generator(state)
    state = {**discriminator_file(), "blocks.0.0.conv1.weight": torch.zeros(2000, 3, 1, 1)}
    with pytest.raises(ConversionError, match="has 2000 base channels; 1 to 1024 are supported"):
        convert_discriminator(state)


@torch.no_grad()
def test_deepi2i_folder(folder, tmp_path, capsys):
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"dog": 1, "cat": 0, "fox": 2}))
    assert convert("deepi2i", folder.parents[1], tmp_path / "out", "--classes", names) == 0
    printed = capsys.readouterr().out
    assert "a DeepI2IPipeline of encoder, adaptor, generator, discriminator" in printed
    assert "Not read, as states of training or other networks: G_optim.pth, state_dict.pth." in printed
    assert "carry linear and embed of a discriminator along" in printed
    assert "3 of the 5 rows of the class embedding have a name." in printed

    pipe = DeepI2IPipeline.from_pretrained(tmp_path / "out")
    assert pipe.class_names == ["cat", "dog", "fox"]
    image = torch.rand(1, 3, 64, 64, generator=seeded()) * 2 - 1
    features = pipe.adaptor(pipe.encoder(image))
    wanted = convert_adaptor(adaptor_file())(convert_encoder(discriminator_file())(image))
    assert all(torch.equal(features[level], wanted[level]) for level in wanted)
    kept = convert_discriminator(discriminator_file()).state_dict()
    found = type(convert_discriminator(discriminator_file())).from_pretrained(tmp_path / "out/discriminator")
    assert all(torch.equal(value, kept[key]) for key, value in found.state_dict().items())
    assert read_pretrained(tmp_path / "out").class_names == ["cat", "dog", "fox"]
    assert (tmp_path / "out/README.md").read_text().count("sha256") == 4


def test_deepi2i_without_names_and_in_half_precision(folder, tmp_path, capsys):
    assert convert("deepi2i", folder, tmp_path / "out", "--half") == 0
    assert "hold no names of classes: give them with --classes" in capsys.readouterr().out
    assert DeepI2IPipeline.from_pretrained(tmp_path / "out").class_names == ["0", "1", "2", "3", "4"]
    assert "rounded to half precision" in (tmp_path / "out/README.md").read_text()
    assert convert("deepi2i", folder, tmp_path / "out") == 1
    assert convert("deepi2i", folder, tmp_path / "out", "--overwrite") == 0


def test_where_a_checkpoint_is(folder, tmp_path):
    assert find_checkpoint(tmp_path)["adaptor"] == folder / "A1.pth"
    assert find_checkpoint(folder)["adaptor"] == folder / "A1.pth"
    with pytest.raises(ConversionError, match="is no folder: give the one that holds E1.pth, A1.pth, G.pth, D.pth"):
        find_checkpoint(folder / "G.pth")
    copy = folder / "5000"
    copy.mkdir()
    for path in folder.glob("*1.pth"):
        (copy / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConversionError, match=r"are needed, in one folder\. \. lacks G.pth, D.pth\."):
        find_checkpoint(copy)
    for path in folder.glob("[GD].pth"):
        (copy / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConversionError, match="holds 2 checkpoints: give one of .*DeepI2I_animals, .*5000 under it"):
        find_checkpoint(tmp_path)


def test_errors_of_all_files_and_nothing_written(folder, tmp_path, capsys):
    for name in ("G", "A1"):
        state = FILES[name]()
        del state["blocks.1.0.conv1.bias"]
        torch.save(state, folder / f"{name}.pth")
    assert convert("deepi2i", folder, tmp_path / "out") == 1
    printed = capsys.readouterr().err
    assert "G.pth does not fit BigGANGenerator: 1 missing" in printed
    assert "A1.pth does not fit DeepI2IAdaptor: 1 missing" in printed
    torch.save(generator_file(base=8), folder / "G.pth")
    torch.save(adaptor_file(), folder / "A1.pth")
    assert convert("deepi2i", folder, tmp_path / "out") == 1
    assert "do not belong together" in capsys.readouterr().err
    (folder / "G.pth").write_bytes(pickle.dumps(Trap()))
    assert convert("deepi2i", folder, tmp_path / "out") == 1
    assert "holds more than tensors" in capsys.readouterr().err
    assert convert("deepi2i", folder / "G.pth", tmp_path / "out") == 1
    assert "give the folder of all four" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_biggan(tmp_path, capsys):
    source = tmp_path / "weights"
    source.mkdir()
    torch.save(generator_file(seed=7), source / "G.pth")
    torch.save(generator_file(), source / "G_ema.pth")
    assert convert("biggan", source / "G_ema.pth", tmp_path / "alone") == 0
    assert "No discriminator lies beside G_ema.pth" in capsys.readouterr().out
    assert not (tmp_path / "alone/discriminator").exists()

    torch.save(discriminator_file(), source / "D.pth")
    (tmp_path / "names.txt").write_text("cat\ndog\n\n")
    assert convert("biggan", source, tmp_path / "gan", "--classes", tmp_path / "names.txt") == 0
    assert "Not read, as states of training or other networks: G.pth." in capsys.readouterr().out
    gan = read_pretrained(tmp_path / "gan")
    assert gan.class_names == ["cat", "dog"]
    wanted = convert_generator(generator_file()).state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in gan.generator.state_dict().items())
    assert gan.discriminator.config["num_classes"] == 5
    assert convert("biggan", source, tmp_path / "gan", "--overwrite") == 0
    assert json.loads((tmp_path / "gan/classes.json").read_text()) == []


@pytest.fixture
def stylegan_file(tmp_path):
    """A checkpoint of the StyleGAN variant as the authors' training leaves it, for 128 pixels."""
    discriminator = stylegan.discriminator_of_file()
    parts = {"generator": stylegan.generator_of_file(), "discriminator": discriminator, "encoder": dict(discriminator)}
    parts["align"] = stylegan.adaptor_of_file()
    parts["g_optimizer"] = {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.001, "params": [0]}]}
    path = tmp_path / "train_step-000001.model"
    torch.save(parts, path)
    return path


def test_stylegan(stylegan_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
    assert convert("deepi2i", stylegan_file, "out", "--resolution", 128) == 0
    printed = capsys.readouterr().out
    assert "a DeepI2IStyleGANPipeline of encoder, adaptor, generator, discriminator" in printed
    text = Path("out/README.md").read_text()
    assert 'Load it with `DeepI2IStyleGANPipeline.from_pretrained("<this folder>")`.' in text

    pipe = DeepI2IStyleGANPipeline.from_pretrained("out")
    assert pipe.config["level_weights"] == {"64": 0.0, "32": 0.1, "16": 0.1, "8": 0.1, "4": 0.1}
    wanted = vars(convert_stylegan(stylegan_file, 128))
    for name in ("encoder", "adaptor", "generator", "discriminator"):
        network = type(wanted[name]).from_pretrained(Path("out", name))
        assert all(torch.equal(value, wanted[name].state_dict()[key]) for key, value in network.state_dict().items())

    picture(60, 40).save("photo.png")
    assert main(["translate", "./out", "--image", "photo.png", "--num-images", "2", "--seed", "3"]) == 0
    with Image.open("outputs/photo-2.png") as image:
        assert image.size == (128, 128)
    assert main(["translate", "--from-png", "outputs/photo-2.png"]) == 0
    assert "the same pixels as outputs/photo-2.png" in capsys.readouterr().out


def test_stylegan_in_half_precision(stylegan_file, tmp_path):
    assert convert("deepi2i", stylegan_file, tmp_path / "out", "--resolution", 128, "--half") == 0
    pipe = DeepI2IStyleGANPipeline.from_pretrained(tmp_path / "out", dtype=torch.float16)
    wanted = convert_stylegan(stylegan_file, 128).adaptor.half().state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in pipe.adaptor.state_dict().items())


def test_a_stylegan_alone_has_no_pipeline(stylegan_file, tmp_path, capsys):
    parts = torch.load(stylegan_file)
    torch.save({name: parts[name] for name in ("generator", "discriminator")}, stylegan_file)
    assert convert("deepi2i", stylegan_file, tmp_path / "gan", "--resolution", 128) == 0
    printed = capsys.readouterr().out
    assert "a StyleGAN of generator, discriminator" in printed
    assert "holds a GAN, which translates nothing: it has no `encoder` and no `align`" in printed
    assert not (tmp_path / "gan/model_index.json").exists()
    network = StyleGANGenerator.from_pretrained(tmp_path / "gan/generator")
    wanted = parts["generator"]["generator.to_rgb.5.conv.weight_orig"]
    assert torch.equal(network.state_dict()["head.weight"], wanted)


def test_errors_of_the_stylegan_variant(stylegan_file, tmp_path, capsys):
    def refused(*options):
        capsys.readouterr()
        assert convert("deepi2i", stylegan_file, tmp_path / "out", *options) == 1
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "--classes is given, and the StyleGAN variant has no classes" in refused("--classes", tmp_path / "n.txt")
    assert "`resolution` is 64; these networks may have 128, 256" in refused("--resolution", 64)
    parts = torch.load(stylegan_file)
    torch.save(parts | {"align": stylegan.adaptor_of_file(level_32=7)}, stylegan_file)
    message = refused("--resolution", 128)
    assert "train_step-000001.model do not belong together: `adaptor` is for 7 channels of `encoder`" in message
    torch.save({name: parts[name] for name in ("generator", "encoder")}, stylegan_file)
    assert "accepted are `generator` or `g_running`" in refused()
    torch.save(parts["align"], stylegan_file)
    assert "does not hold several networks by name" in refused()
    stylegan_file.write_bytes(pickle.dumps(Trap()))
    assert "holds more than tensors" in refused()
    picture().save(stylegan_file, "png")
    assert "train_step-000001.model is not a file of weights" in refused()


def test_names_of_classes(tmp_path):
    def read(text, name="names.json"):
        (tmp_path / name).write_text(text)
        return read_class_list(tmp_path / name)

    assert read('["a", "b"]') == read('{"b": 1, "a": 0}') == read("\ufeffa\n b \n\n", "names.txt") == ["a", "b"]
    for text in ('{"a": 0, "b": 2}', '{"a": 0, "b": 0}', '{"a": false}', '{"a": "0"}'):
        with pytest.raises(ConversionError, match="does not give every class its own number"):
            read(text)
    with pytest.raises(ConversionError, match="is not valid JSON"):
        read('["a"')
    with pytest.raises(ConversionError, match="is no list of classes"):
        read("a\n" * 600_000)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConversionError, match="is no text in UTF-8"):
        read_class_list(tmp_path / "bytes")
    with pytest.raises(ConversionError, match="There is no file"):
        read_class_list(tmp_path / "none.json")


def test_the_authors_list_of_classes_is_not_opened(folder, tmp_path, capsys):
    (tmp_path / "I128_imgs.pickle").write_bytes(pickle.dumps(Trap()))
    assert convert("deepi2i", folder, tmp_path / "out", "--classes", tmp_path / "I128_imgs.pickle") == 1
    assert "is a pickle, which may run code and is never opened" in capsys.readouterr().err
    (tmp_path / "many.txt").write_text("\n".join("abcdef"))
    assert convert("deepi2i", folder, tmp_path / "out", "--classes", tmp_path / "many.txt") == 1
    assert "many.txt: `class_names` is 6 names; a list of 1 to 5 names" in capsys.readouterr().err
    assert convert("cut", folder / "G.pth", tmp_path / "out", "--classes", tmp_path / "many.txt") == 2
    assert "--classes is given, and networks of cut have none" in capsys.readouterr().err
