"""What DeepI2IStyleGANPipeline promises to those who call it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import DeepI2IPipeline, DeepI2IStyleGANPipeline, load_pipeline
from pipelines.__main__ import main
from pipelines.deepi2i.stylegan import StyleGANAdaptor
from pipelines.hub.errors import CheckpointError
from pipelines.images.formats import read_image
from pipelines.images.geometry import resize
from pipelines.images.limits import ImageError
from pipelines.images.provenance import read_record
from pipelines.networks.stylegan import StyleGANGenerator, mix_styles
from tests.contract.shared import assert_changed_weights_count, assert_threads_do_not_disturb
from tests.contract.test_deepi2i_pipeline import COMPONENTS, component_hash, public
from tests.tiny import picture, seeded, tiny_deepi2i_stylegan


@pytest.fixture(scope="module")
def pipe():
    return tiny_deepi2i_stylegan()


def call(pipe, image=None, seed=0, **kwargs):
    kwargs = {"precision": "fp32", "output_type": "pt", "batch_size": 2, **kwargs}
    if "generator" not in kwargs:
        kwargs["generator"] = seeded(seed)
    return pipe(picture() if image is None else image, **kwargs)


@torch.no_grad()
def by_hand(pipe, image, count, factors, truncation=1.0, crossover=0, noise=True):
    """All results of one square picture, from the registered networks; (count, 3, R, R) in [0, 1]."""
    source, made = seeded(), []
    features = pipe.adaptor(pipe.encoder(resize(read_image(image).pixels[None], (32, 32))))
    added = {level: factors[level] * feature for level, feature in features.items()}
    first = None
    for _ in range(count):
        styles = pipe.generator.style(torch.randn(1, 6, generator=source), truncation)
        drawn = pipe.generator.draw_noise(1, seeded(int(torch.randint(2**62, (), generator=source))))
        first = styles if first is None else first
        mixed = mix_styles(first, styles, crossover)
        made.append(pipe.generator.synthesize(mixed, added, drawn if noise else None)[0])
    return ((torch.stack(made) + 1) / 2).clamp(0, 1)


@pytest.mark.parametrize(
    "kwargs", [{}, {"truncation": 0.4}, {"crossover": 4}, {"noise": False}, {"crossover": 3, "truncation": 0.7}]
)
def test_a_result_is_what_the_networks_compute(pipe, kwargs):
    images = call(pipe, picture(30, 30), num_images=3, strength=2.5, **kwargs).images
    wanted = by_hand(pipe, picture(30, 30), 3, dict.fromkeys((16, 8, 4), 0.25), **kwargs)
    assert torch.allclose(images, wanted, atol=1e-4)
    assert images.std() > 0.05
    assert (images[0] - images[1]).abs().max() > 0.02, "styles differ"


def test_with_all_layers_of_the_first_style_only_the_noise_differs(pipe):
    layers = pipe.generator.num_styles
    same = call(pipe, num_images=3, crossover=layers, noise=False).images
    assert torch.equal(same[1], same[2])
    noisy = call(pipe, num_images=2, crossover=layers).images
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy[0], call(pipe).images[0])


def test_truncation_to_zero_leaves_the_noise_alone(pipe):
    plain = call(pipe, num_images=2, truncation=0, noise=False).images
    assert torch.equal(plain[0], plain[1])
    assert torch.equal(plain, call(pipe, num_images=2, truncation=0, noise=False, seed=8).images)


def test_results_come_picture_by_picture_style_by_style(pipe, tmp_path):
    pictures = [picture(30, 30, seed=4), picture(27, 44, seed=5).convert("L")]
    together = call(pipe, pictures, num_images=3)
    assert len(together.notes) == len(together.images) == 6
    for index, image in enumerate(pictures):
        image.save(tmp_path / f"{index}.png")
        assert torch.equal(together.images[3 * index : 3 * index + 3], call(pipe, image, num_images=3).images)
    assert not torch.equal(together.images[:3], together.images[3:])
    assert torch.equal(call(pipe, str(tmp_path), num_images=3).images, together.images)


def test_more_styles_begin_with_the_same(pipe):
    assert torch.equal(call(pipe, num_images=5).images[:2], call(pipe, num_images=2).images)


@settings(max_examples=15, deadline=None)
@given(width=st.integers(2, 97), height=st.integers(2, 97))
def test_pictures_of_any_size_become_squares(pipe, width, height):
    output = call(pipe, np.zeros((height, width, 3), np.uint8), output_type="pil")
    assert output.images[0].size == (32, 32)
    assert any(note.startswith("Cropped") for note in output.notes[0]) == (width != height)


def test_the_crop_is_said_and_can_be_chosen(pipe):
    image = picture(60, 40)
    centered, chosen = call(pipe, image), call(pipe, image, crop=(3, 5, 20))
    assert centered.notes == [
        ("Cropped from 60 x 40 pixels to the square of 40 pixels at column 10, row 0.", "Computed in fp32.")
    ]
    assert torch.equal(centered.images, call(pipe, image.crop((10, 0, 50, 40))).images)
    assert torch.equal(chosen.images, call(pipe, image.crop((3, 5, 23, 25))).images)
    with pytest.raises(ImageError, match="`crop` is .3, 5, 20.; .*`image` is 22 x 40 pixels"):
        call(pipe, [image, picture(22, 40)], crop=(3, 5, 20))


def test_strength_scales_the_level_weights(pipe):
    weighted = tiny_deepi2i_stylegan(level_weights={"16": 0.2, 8: 0.05, "4": 0.0})
    assert weighted.config["level_weights"] == {"16": 0.2, "8": 0.05, "4": 0.0}
    wanted = call(weighted).images
    for strength in ([2, 0.5, 0], {16: 2, 8: 0.5, 4: 0}):
        assert torch.allclose(call(pipe, strength=strength).images, wanted, atol=1e-5)
    other = picture(seed=9)
    assert torch.equal(call(pipe, strength=0).images, call(pipe, other, strength=0).images)
    assert not torch.equal(call(pipe).images, call(pipe, other).images)


def test_the_finest_level_of_the_authors_is_not_used():
    widths = (4, 4, 4, 4, 2, 2)
    with torch.random.fork_rng():
        encoder = tiny_part("encoder", widths, levels=(64, 32))
        adaptor = StyleGANAdaptor((64, 32), (2, 4))
        pipe = DeepI2IStyleGANPipeline(encoder, adaptor, tiny_part("generator", widths))
    assert pipe.config["level_weights"] == {"64": 0.0, "32": 0.1}


def tiny_part(name, widths, **config):
    network = getattr(tiny_deepi2i_stylegan(), name)
    return type(network)(**{**public(network.config), "widths": widths, **config})


def test_same_seed_same_pixels_and_the_global_random_state_stays(pipe):
    before = torch.get_rng_state()
    wanted = call(pipe, seed=3).images
    assert torch.equal(call(tiny_deepi2i_stylegan(), seed=3).images, wanted)
    assert not torch.equal(call(pipe, seed=4).images, wanted)
    assert not torch.equal(call(pipe, generator=None).images, call(pipe, generator=None).images)
    assert torch.equal(before, torch.get_rng_state())


def test_a_call_leaves_the_components_as_they_were(pipe):
    before = component_hash(pipe)
    for kwargs in ({}, {"precision": "bf16"}, {"callback_on_step_end": lambda *_: {"stop": True}}):
        call(pipe, num_images=3, **kwargs)
        assert component_hash(pipe) == before

    def fail(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call(pipe, callback_on_step_end=fail)
    assert component_hash(pipe) == before


def test_threads_do_not_disturb_each_other():
    pictures, precisions = [picture(48, 40, seed=2), picture(33, 47, seed=3)], ["fp32", "bf16"]

    def one(pipe, index, **kwargs):
        return call(pipe, pictures[index], seed=index, num_images=5, precision=precisions[index], **kwargs).images

    assert_threads_do_not_disturb(tiny_deepi2i_stylegan, one)


@pytest.mark.parametrize("component", COMPONENTS)
def test_changed_weights_count_at_once(component):
    assert_changed_weights_count(tiny_deepi2i_stylegan, call, component)


def test_progress_and_stop():
    pipe, seen = tiny_deepi2i_stylegan(), []

    def watch(which, step, num_steps, tensors):
        assert which is pipe
        seen.append((step, num_steps, tuple(tensors["images"].shape)))
        return {"stop": len(seen) == 4}

    pictures = [picture(30, 30), picture(30, 30, seed=1), picture(30, 30, seed=2)]
    output = call(pipe, pictures, num_images=5, callback_on_step_end=watch)
    assert seen == [(step, 9, (size, 3, 32, 32)) for step, size in enumerate((2, 2, 1, 2))]
    assert len(output.images) == len(output.notes) == 7
    assert torch.equal(output.images[:5], call(pipe, pictures[0], num_images=5).images)


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
def test_output_types(pipe, output_type):
    images = call(pipe, num_images=2, output_type=output_type).images
    wanted = call(pipe, num_images=2).images
    if output_type == "pil":
        images = np.stack([np.asarray(image) for image in images]) / np.float32(255)
    if output_type != "pt":
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.allclose(images, wanted, atol=0.5 / 255 + 1e-6)
    output, *_ = call(pipe, return_dict=False)
    assert torch.equal(output, wanted[:1])


def test_the_arguments_give_the_same_pixels_again(pipe):
    kwargs = {"batch_size": None, "truncation": 0.7, "crossover": 2, "strength": [1, 0.5, 2], "crop": (1, 2, 20)}
    output = call(pipe, num_images=3, precision=None, **kwargs)
    assert output.arguments["precision"] == "fp32"

    def again(arguments):
        return pipe(picture(), **arguments, generator=seeded(), output_type="pt").images

    assert torch.equal(again(output.arguments), output.images)
    for index in range(3):
        assert torch.equal(again(output.arguments_of(index))[-1], output.images[index])


@pytest.mark.parametrize("context", [torch.inference_mode, lambda: torch.autocast("cpu")])
def test_a_callers_mode_changes_nothing(context):
    pipe = tiny_deepi2i_stylegan()
    with context():
        inside = call(pipe).images
    assert torch.equal(inside, call(pipe).images)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_images": 0}, "`num_images` is 0; a whole number from 1 to 1024"),
        ({"num_images": True}, "`num_images` is True"),
        ({"batch_size": 10**9}, "`batch_size` is 1000000000; a whole number from 1 to"),
        ({"truncation": 1.5}, "`truncation` is 1.5; a number from 0 to 1"),
        ({"crossover": 9}, "`crossover` is 9; a whole number from 0 to 8 is accepted"),
        ({"crossover": 1.0}, "`crossover` is 1.0"),
        ({"strength": -1}, "`strength` has -1; finite numbers from 0 up"),
        ({"strength": [1, 2]}, "`strength` has 2 numbers; there are 3 levels: 16, 8, 4"),
        ({"strength": {32: 1}}, "`strength` names level 32; the levels of this checkpoint are 16, 8, 4"),
        ({"precision": "fp16"}, "`precision` is 'fp16'; one of fp32, bf16, or None"),
        ({"crop": (0, 0)}, "`crop` is"),
        ({"output_type": "jpeg"}, "`output_type`"),
        ({"image": "nowhere.png"}, "`image` .nowhere.png. does not exist"),
        ({"image": 3}, "`image` is of type int"),
        ({"image": []}, "`image` is empty"),
    ],
)
def test_bad_arguments_are_named_before_any_work(pipe, kwargs, message):
    seen = []
    with pytest.raises(ValueError, match=message):
        call(pipe, callback_on_step_end=lambda *_: seen.append(1), **kwargs)
    assert not seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": {"widths": (8, 6, 4, 3, 2)}}, "`encoder` is for 64 pixels and `generator` for 32"),
        ({"encoder": {"widths": (8, 6, 5, 3)}}, "`adaptor` is for 4 channels of `encoder` at level 16; it has 5"),
        ({"encoder": {"levels": (16, 8)}}, "`adaptor` has level 4; `encoder` has 16, 8"),
        ({"generator": {"widths": (8, 7, 4, 3)}}, "`adaptor` is for 6 channels of `generator` at level 8; it has 7"),
        ({"weights": {"32": 0.1}}, "`level_weights` names level 32; the levels of this checkpoint are 16, 8, 4"),
        ({"weights": {"16": -1}}, "`level_weights` has -1"),
    ],
)
def test_what_does_not_fit_is_refused(pipe, change, message):
    parts = {name: getattr(pipe, name) for name in COMPONENTS}
    for name in set(change) - {"weights"}:
        parts[name] = type(parts[name])(**{**public(parts[name].config), **change[name]})
    with pytest.raises(ValueError, match=message):
        DeepI2IStyleGANPipeline(**parts, level_weights=change.get("weights"))


def test_saved_and_loaded_it_gives_the_same_pixels(tmp_path):
    made = tiny_deepi2i_stylegan(level_weights={"16": 0.3})
    made.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("*.bin"))
    for load in (DeepI2IStyleGANPipeline.from_pretrained, load_pipeline):
        loaded = load(tmp_path / "saved")
        loaded.set_progress_bar_config(disable=True)
        assert loaded.config["level_weights"] == {"16": 0.3, "8": 0.1, "4": 0.1}
        assert torch.equal(call(loaded).images, call(made).images)
        assert set(loaded.components) == set(COMPONENTS)
        assert len(loaded.source_record["sha256"]) == 3
    with pytest.raises(CheckpointError, match="holds a DeepI2IStyleGANPipeline, not a DeepI2IPipeline"):
        DeepI2IPipeline.from_pretrained(tmp_path / "saved")


def test_a_missing_weight_is_named(pipe, tmp_path):
    incomplete = copy.deepcopy(pipe.generator)
    del incomplete.mean_style
    DeepI2IStyleGANPipeline(pipe.encoder, pipe.adaptor, incomplete).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="do not fit StyleGANGenerator: 1 missing .mean_style."):
        DeepI2IStyleGANPipeline.from_pretrained(tmp_path)


def test_noise_that_the_generator_holds(pipe):
    config = {**public(pipe.generator.config), "fixed_noise": True}
    with torch.random.fork_rng():
        generator = StyleGANGenerator(**config)
    generator.load_state_dict(pipe.generator.state_dict(), strict=False)
    held = DeepI2IStyleGANPipeline(pipe.encoder, pipe.adaptor, generator)
    held.set_progress_bar_config(disable=True)
    assert torch.equal(call(held).images, call(pipe).images)
    assert not torch.equal(call(held, noise=False).images, call(pipe, noise=False).images)


def test_weights_in_half_precision_are_computed_with_in_fp32(pipe, tmp_path):
    networks = {name: copy.deepcopy(getattr(pipe, name)).half() for name in COMPONENTS}
    DeepI2IStyleGANPipeline(**networks).save_pretrained(tmp_path)
    half = DeepI2IStyleGANPipeline.from_pretrained(tmp_path, dtype=torch.float16)
    assert half.dtype is torch.float16
    assert (call(half).images - call(pipe).images).abs().mean() < 0.01


def test_it_works_under_accelerates_offload_hooks(pipe):
    hooked = DeepI2IStyleGANPipeline(*(copy.deepcopy(getattr(pipe, name)) for name in COMPONENTS))
    hooked.enable_model_cpu_offload(device="cpu")
    assert torch.equal(call(hooked).images, call(pipe).images)


def test_translate_a_folder_with_a_broken_file(checkpoint, capsys):
    words = ["--num-images", "2", "--truncation", "0.5", "--strength", "1", "2", "0", "--seed", "5"]
    assert main(["translate", checkpoint, "--image", "photos", *words]) == 1
    said = capsys.readouterr().out
    assert "2 written, 1 failed" in said
    assert "photos/broken.png) is not an image that can be read" in said
    assert {path.name for path in Path("outputs").iterdir()} == {f"{name}-{n}.png" for name in "ab" for n in (1, 2)}
    record = read_record("outputs/a-2.png")
    assert record["pipeline"] == "DeepI2IStyleGANPipeline"
    assert record["arguments"] == {
        "num_images": 2,
        "crossover": 0,
        "noise": True,
        "truncation": 0.5,
        "strength": {"16": 1.0, "8": 2.0, "4": 0.0},
        "crop": None,
        "precision": "fp32",
        "batch_size": 2,
    }
    assert record["notes"][0].startswith("Cropped from 41 x 27 pixels to the square of 27")
    for name in ("a-2", "b-1"):
        assert main(["translate", "--from-png", f"outputs/{name}.png", "--output", "again"]) == 0
        assert f"the same pixels as outputs/{name}.png" in capsys.readouterr().out
        assert read_record(f"again/{name}.png") == read_record(f"outputs/{name}.png")


def test_translate_one_picture_to_one_file(checkpoint):
    assert (
        main(["translate", checkpoint, "--image", "photos/a.png", "--crop", "4", "3", "20", "--output", "x.png"]) == 0
    )
    assert read_record("x.png")["arguments"]["crop"] == [4, 3, 20]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-images", "0"], "--num-images is 0; a whole number above 0"),
        (["--target-class", "pug"], "DeepI2IStyleGANPipeline takes no --target-class; it takes --image, "),
        (["--num-images", "2", "--output", "one.png"], "is one file, for 2 images; give a folder"),
    ],
)
def test_wrong_usage_is_said(checkpoint, capsys, words, message):
    assert main(["translate", checkpoint, "--image", "photos/a.png", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().glob("outputs/*"))


def test_the_record_decides_about_the_number(checkpoint, capsys):
    assert main(["translate", checkpoint, "--image", "photos/a.png"]) == 0
    assert main(["translate", "--from-png", "outputs/a.png", "--num-images", "2"]) == 2
    assert "takes num_images from the PNG" in capsys.readouterr().err
