"""What DeepI2IPipeline promises to those who call it."""

import copy
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines import DeepI2IPipeline, load_pipeline
from pipelines.__main__ import main
from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.class_names import UnknownClassError
from pipelines.images.formats import read_image
from pipelines.images.geometry import resize
from pipelines.images.limits import ImageError
from pipelines.images.provenance import read_record
from pipelines.networks.biggan import BigGANGenerator
from tests.contract.shared import assert_changed_weights_count, assert_threads_do_not_disturb
from tests.tiny import TINY_CLASSES, picture, seeded, tiny_deepi2i

COMPONENTS = ("encoder", "adaptor", "generator")


@pytest.fixture(scope="module")
def pipe():
    return tiny_deepi2i()


def call(pipe, target="pug", image=None, seed=0, **kwargs):
    kwargs = {"precision": "fp32", "output_type": "pt", "batch_size": 4, **kwargs}
    if "generator" not in kwargs:
        kwargs["generator"] = seeded(seed)
    return pipe(picture() if image is None else image, target, **kwargs)


def component_hash(pipe) -> str:
    digest = hashlib.sha256()
    for component in COMPONENTS:
        network = getattr(pipe, component)
        for name, tensor in network.state_dict().items():
            digest.update(name.encode() + tensor.numpy().tobytes() + repr((tensor.dtype, tensor.stride())).encode())
        parameters = [(n, p.requires_grad, p.grad) for n, p in network.named_parameters()]
        digest.update(repr([parameters, network.training]).encode())
    return digest.hexdigest()


def by_hand(pipe, image, class_id, latent, factors):
    """One result from the registered networks, as eq. 5 of the paper says; (3, R, R) in [0, 1]."""
    pixels = resize(read_image(image).pixels[None], (32, 32))
    for component in COMPONENTS:
        getattr(pipe, component).eval()
    with torch.no_grad():
        features = pipe.adaptor(pipe.encoder(pixels))
        embedding = pipe.generator.embedding(torch.tensor([class_id]))
        made = pipe.generator(latent[None], embedding, {level: factors[level] * f for level, f in features.items()})
    return (made[0] + 1) / 2


@pytest.mark.parametrize(("truncation", "strength"), [(1.0, 1.0), (0.4, 2.5)])
def test_a_result_is_what_the_networks_compute(pipe, truncation, strength):
    image = picture(30, 30)
    output = call(pipe, ["mongoose", 5], image, num_images_per_class=2, truncation=truncation, strength=strength)
    generator = seeded()
    latents = [torch.randn(16, generator=generator) * truncation for _ in range(2)]
    factors = dict.fromkeys((16, 8, 4), 0.1 * strength)
    wanted = [by_hand(pipe, image, class_id, latent, factors) for class_id in (1, 5) for latent in latents]
    assert torch.allclose(output.images, torch.stack(wanted), atol=1e-5)
    assert output.classes == ["mongoose", "mongoose", "meer_kat", "meer_kat"]
    assert output.class_ids == [1, 1, 5, 5]
    assert output.images.std() > 0.05
    assert (output.images[0] - output.images[2]).abs().max() > 0.05, "classes differ"
    assert (output.images[0] - output.images[1]).abs().max() > 0.05, "draws differ"


def test_results_come_picture_by_picture_class_by_class_draw_by_draw(pipe):
    pictures = [picture(30, 30, seed=4), picture(22, 22, seed=5)]
    together = call(pipe, [3, 0], pictures, num_images_per_class=2)
    assert together.class_ids == [3, 3, 0, 0] * 2
    assert len(together.notes) == len(together.classes) == len(together.images) == 8
    for index, image in enumerate(pictures):
        alone = call(pipe, [3, 0], image, num_images_per_class=2)
        assert torch.equal(together.images[4 * index : 4 * index + 4], alone.images)
    assert not torch.equal(together.images[:4], together.images[4:])


def test_a_folder_is_a_list(pipe, tmp_path):
    pictures = [picture(40, 30, seed=6), picture(27, 44, seed=7).convert("L"), picture(9, 5, seed=8)]
    for number, each in enumerate(pictures):
        each.save(tmp_path / f"{number}.png")
    assert torch.equal(call(pipe, 1, str(tmp_path)).images, call(pipe, 1, pictures).images)


@settings(max_examples=20, deadline=None)
@given(width=st.integers(2, 97), height=st.integers(2, 97))
def test_pictures_of_any_size_become_squares(pipe, width, height):
    image = np.zeros((height, width, 3), np.uint8)
    output = call(pipe, image=image, output_type="pil")
    assert output.images[0].size == (32, 32)
    assert any(note.startswith("Cropped") for note in output.notes[0]) == (width != height)


def test_the_crop_is_said_and_can_be_chosen(pipe):
    image = picture(60, 40)
    centered, chosen = call(pipe, image=image), call(pipe, image=image, crop=(3, 5, 20))
    assert centered.notes == [
        ("Cropped from 60 x 40 pixels to the square of 40 pixels at column 10, row 0.", "Computed in fp32.")
    ]
    assert "square of 20 pixels at column 3, row 5" in chosen.notes[0][0]
    assert torch.equal(centered.images, call(pipe, image=image.crop((10, 0, 50, 40))).images)
    assert torch.equal(chosen.images, call(pipe, image=image.crop((3, 5, 23, 25))).images)
    assert not torch.equal(chosen.images, centered.images)
    seen = []
    with pytest.raises(ImageError, match="`crop` is .3, 5, 20.; .*`image` is 22 x 40 pixels"):
        call(pipe, image=[image, picture(22, 40)], crop=(3, 5, 20), callback_on_step_end=lambda *_: seen.append(1))
    assert not seen


def test_strength_scales_the_level_weights(pipe):
    weighted = tiny_deepi2i(level_weights={"16": 0.2, "8": 0.05, "4": 0.0})
    assert weighted.config["level_weights"] == {"16": 0.2, "8": 0.05, "4": 0.0}
    wanted = call(weighted).images
    for strength in ([2, 0.5, 0], {16: 2, 8: 0.5, 4: 0}, {"16": 2.0, "8": 0.5, "4": 0.0}):
        assert torch.allclose(call(pipe, strength=strength).images, wanted, atol=1e-5)
    assert not torch.allclose(call(pipe).images, wanted, atol=1e-3)
    other = picture(seed=9)
    assert torch.equal(call(pipe, strength=0).images, call(pipe, image=other, strength=0).images)
    assert not torch.equal(call(pipe).images, call(pipe, image=other).images)


def test_truncation_to_zero_leaves_no_diversity(pipe):
    images = call(pipe, num_images_per_class=3, truncation=0).images
    assert torch.equal(images[0], images[1])
    assert torch.equal(images, call(pipe, num_images_per_class=3, truncation=0, seed=8).images)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_class_does_not_depend_on_the_others(pipe, precision):
    everything = call(pipe, "all", precision=precision, num_images_per_class=2)
    assert everything.classes[::2] == TINY_CLASSES
    for number in (0, 3, 6):
        alone = call(pipe, number, precision=precision, num_images_per_class=2)
        assert torch.equal(alone.images, everything.images[2 * number : 2 * number + 2])
    others = [call(pipe, "all", precision=precision, num_images_per_class=2, batch_size=size) for size in (1, 14)]
    within = {"fp32": 1e-5, "bf16": 0.03}[precision]  # rounding
    for other in others:
        assert (other.images - everything.images).abs().max() < within


def test_more_draws_begin_with_the_same(pipe):
    assert torch.equal(call(pipe, num_images_per_class=3).images[:2], call(pipe, num_images_per_class=2).images)


def test_same_seed_same_pixels_and_the_global_random_state_stays(pipe):
    before = torch.get_rng_state()
    wanted = call(pipe, seed=3).images
    assert torch.equal(call(tiny_deepi2i(), seed=3).images, wanted)
    assert not torch.equal(call(pipe, seed=4).images, wanted)
    assert not torch.equal(call(pipe, generator=None).images, call(pipe, generator=None).images)
    assert torch.equal(before, torch.get_rng_state())


def test_a_call_leaves_the_components_as_they_were(pipe):
    for training in (False, True):
        for component in COMPONENTS:
            getattr(pipe, component).train(training)
        before = component_hash(pipe)
        wanted = None
        for kwargs in ({}, {"precision": "bf16"}, {"callback_on_step_end": lambda *_: {"stop": True}}):
            got = call(pipe, "all", **kwargs).images
            wanted = got if wanted is None else wanted
            assert component_hash(pipe) == before
        pipe.interpolate(picture(), 0, 1, num_frames=2, precision="fp32")
        assert component_hash(pipe) == before

        def fail(*_):
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            call(pipe, callback_on_step_end=fail)
        assert component_hash(pipe) == before


def test_threads_do_not_disturb_each_other():
    pictures, precisions = [picture(48, 40, seed=2), picture(33, 47, seed=3)], ["fp32", "bf16"]

    def one(pipe, index, **kwargs):
        return call(pipe, "all", pictures[index], seed=index, precision=precisions[index], **kwargs).images

    assert_threads_do_not_disturb(tiny_deepi2i, one)


@pytest.mark.parametrize("component", COMPONENTS)
def test_changed_weights_count_at_once(component):
    assert_changed_weights_count(tiny_deepi2i, call, component)


def test_statistics_that_changed_count_at_once():
    pipe = tiny_deepi2i()
    before = call(pipe).images
    pipe.generator.blocks[0].norm1.running_mean.add_(1)
    assert not torch.equal(call(pipe).images, before)


def test_weights_are_converted_once_and_a_picture_is_encoded_once(monkeypatch):
    pipe = tiny_deepi2i()
    call(pipe)

    def never(*_args, **_kwargs):
        raise AssertionError("the weights were converted again")

    monkeypatch.setattr(BigGANGenerator, "load_state_dict", never)
    counts = dict.fromkeys(COMPONENTS, 0)
    for component in COMPONENTS:
        network_class = type(getattr(pipe, component))

        def forward(self, *args, _own=network_class.forward, _name=component):
            counts[_name] += 1
            return _own(self, *args)

        monkeypatch.setattr(network_class, "forward", forward)
    call(pipe, "all", [picture(), picture(seed=1)], num_images_per_class=2, batch_size=5)
    assert counts == {"encoder": 2, "adaptor": 2, "generator": 6}


def test_progress_and_stop():
    pipe, seen = tiny_deepi2i(), []

    def watch(which, step, num_steps, tensors):
        assert which is pipe
        seen.append((step, num_steps, tensors["class_ids"].tolist(), tuple(tensors["images"].shape)))
        return {"stop": len(seen) == 4}

    pictures = [picture(30, 30), picture(30, 30, seed=1), picture(30, 30, seed=2)]
    output = call(pipe, "all", pictures, batch_size=3, callback_on_step_end=watch)
    assert [entry[:2] for entry in seen] == [(step, 9) for step in range(4)]
    assert [entry[2] for entry in seen] == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2]]
    assert [entry[3][0] for entry in seen] == [3, 3, 1, 3]
    assert output.class_ids == [*range(7), 0, 1, 2]
    assert len(output.images) == len(output.notes) == 10
    assert torch.equal(output.images[:7], call(pipe, "all", pictures[0], batch_size=3).images)


def test_many_classes_go_in_bounded_batches():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        part = tiny_deepi2i(num_classes=555)
    pipe = DeepI2IPipeline(part.encoder, part.adaptor, part.generator, [f"bird {number}" for number in range(555)])
    pipe.set_progress_bar_config(disable=True)
    sizes = []
    output = call(
        pipe, "all", batch_size=None, callback_on_step_end=lambda *a: sizes.append(len(a[3]["images"])) and None
    )
    assert sum(sizes) == len(output.images) == 555
    assert max(sizes) == output.arguments["batch_size"] <= 8
    assert min(sizes[:-1]) == max(sizes)


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
def test_output_types(pipe, output_type):
    images = call(pipe, ["pug", "red"], output_type=output_type).images
    wanted = call(pipe, ["pug", "red"]).images
    if output_type == "pil":
        images = np.stack([np.asarray(image) for image in images]) / np.float32(255)
    if output_type != "pt":
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.allclose(images, wanted, atol=0.5 / 255 + 1e-6)
    output, *_ = call(pipe, return_dict=False)
    assert torch.equal(output, wanted[:1])


def test_the_arguments_give_the_same_pixels_again(pipe):
    kwargs = {"precision": None, "batch_size": None, "truncation": 0.7, "strength": [1, 0.5, 2], "crop": (1, 2, 20)}
    output = call(pipe, ["pug", "squirrel"], num_images_per_class=2, **kwargs)
    assert output.arguments["target_class"] == ["pug", "fox squirrel"]
    assert output.arguments["precision"] in ("fp32", "bf16")

    def again(arguments):
        return pipe(picture(), **arguments, generator=seeded(), output_type="pt").images

    assert torch.equal(again(output.arguments), output.images)
    for index in range(4):
        assert torch.equal(again(output.arguments_of(index))[-1], output.images[index])


def test_bf16_is_close_to_fp32(pipe):
    full, half = (call(pipe, "all", precision=precision).images for precision in ("fp32", "bf16"))
    assert not torch.equal(full, half)
    assert -10 * torch.log10((full - half).square().mean()) > 40


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"target": "pugg"}, "'pugg', which is no class of this checkpoint; did you mean pug?"),
        ({"target": 7}, "`target_class` is 7; the classes of this checkpoint are 0 to 6"),  # it has no name
        ({"target": []}, "`target_class` is empty"),
        ({"num_images_per_class": 0}, "`num_images_per_class` is 0; a whole number from 1"),
        ({"num_images_per_class": 1.0}, "`num_images_per_class` is 1.0"),
        ({"batch_size": 10**9}, "`batch_size` is 1000000000; a whole number from 1 to"),
        ({"truncation": 1.5}, "`truncation` is 1.5; a number from 0 to 1"),
        ({"truncation": float("nan")}, "`truncation` is nan"),
        ({"strength": [1, 2]}, "`strength` has 2 numbers; there are 3 levels: 16, 8, 4"),
        ({"strength": {32: 1}}, "`strength` names level 32"),
        ({"precision": "fp16"}, "`precision` is 'fp16'; one of fp32, bf16, or None"),
        ({"crop": (0, 0)}, "`crop` is"),
        ({"output_type": "jpeg"}, "`output_type`"),
        ({"image": "nowhere.png"}, "`image` .nowhere.png. does not exist"),
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
        ({"encoder": {"resolution": 64}}, "`encoder` is for 64 pixels and `generator` for 32; the same is accepted"),
        ({"encoder": {"base_channels": 6}}, "`adaptor` is for 8 channels of `encoder` at level 16; it has 12"),
        ({"encoder": {"levels": (16, 8)}}, "`adaptor` has level 4; `encoder` has 16, 8"),
        ({"generator": {"base_channels": 8}}, "`adaptor` is for 16 channels of `generator` at level 16; it has 32"),
        ({"generator": {"num_classes": 6}}, "`class_names` is 7 names; a list of 1 to 6 names"),
        ({"weights": {"32": 0.1}}, "`level_weights` names level 32; the levels of this checkpoint are 16, 8, 4"),
        ({"weights": {"16": -1}}, "`level_weights` has -1"),
        ({"titles": {"cat": "a cat"}}, "`class_titles` has a title for 'cat', which is no class"),
    ],
)
def test_what_does_not_fit_is_refused(pipe, change, message):
    parts = {name: getattr(pipe, name) for name in COMPONENTS}
    for name in set(change) - {"weights", "titles"}:
        parts[name] = type(parts[name])(**{**public(parts[name].config), **change[name]})
    with pytest.raises(ValueError, match=message):
        DeepI2IPipeline(
            **parts, class_names=TINY_CLASSES, level_weights=change.get("weights"), class_titles=change.get("titles")
        )


def public(config) -> dict:
    return {name: value for name, value in config.items() if not name.startswith("_")}


def test_some_levels_will_do(pipe):
    config = public(pipe.adaptor.config)
    fewer = DeepI2IAdaptor(**{name: values[:2] for name, values in config.items()})
    fewer.load_state_dict({k: v for k, v in pipe.adaptor.state_dict().items() if not k.startswith("blocks.4")})
    part = DeepI2IPipeline(pipe.encoder, fewer, pipe.generator, TINY_CLASSES)
    part.set_progress_bar_config(disable=True)
    assert torch.allclose(call(part).images, call(pipe, strength={4: 0}).images, atol=1e-6)


def test_titles_are_saved_and_call_for_classes(pipe, tmp_path):
    parts = {name: getattr(pipe, name) for name in COMPONENTS}
    titles = {"pug": "small dog", "meer_kat": "sentinel"}
    DeepI2IPipeline(**parts, class_names=TINY_CLASSES, class_titles=titles).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["class_titles"] == titles
    titled = DeepI2IPipeline.from_pretrained(tmp_path)
    titled.set_progress_bar_config(disable=True)
    assert titled.class_titles == ["small dog", *TINY_CLASSES[1:5], "sentinel", "Panda"]
    assert call(titled, ["small dog", "sentinel"]).classes == ["pug", "meer_kat"]
    assert titled.interpolate(picture(), "small dog", "sentinel", 2).arguments["end_class"] == "meer_kat"


def test_saved_and_loaded_it_gives_the_same_pixels(pipe, tmp_path):
    made = tiny_deepi2i(level_weights={"16": 0.3})
    made.save_pretrained(tmp_path / "saved")
    for load in (DeepI2IPipeline.from_pretrained, load_pipeline):
        loaded = load(tmp_path / "saved")
        loaded.set_progress_bar_config(disable=True)
        assert loaded.class_names == TINY_CLASSES
        assert loaded.config["level_weights"] == {"16": 0.3, "8": 0.1, "4": 0.1}
        assert torch.equal(call(loaded, "all").images, call(made, "all").images)
        assert set(loaded.components) == set(COMPONENTS)


def test_between_classes_the_ends_are_the_plain_results(pipe):
    kwargs = {"precision": "fp32", "truncation": 0.8, "strength": 2.0, "batch_size": 4}
    way = pipe.interpolate(picture(), "pug", "squirrel", num_frames=6, generator=seeded(), **kwargs)
    assert len(way.images) == 6
    assert way.arguments["start_class"] == "pug"
    assert way.arguments["end_class"] == "fox squirrel"
    for frame, name in ((way.images[0], "pug"), (way.images[-1], "squirrel")):
        plain = pipe(picture(), name, generator=seeded(), **kwargs)
        assert frame.tobytes() == plain.images[0].tobytes()
        assert way.notes == plain.notes[0]
    assert len({frame.tobytes() for frame in way.images}) == 6


def test_between_seeds_the_ends_are_the_plain_results(pipe):
    kwargs = {"precision": "bf16", "batch_size": 4}
    way = pipe.interpolate(picture(), 2, 2, num_frames=5, seeds=(11, 12), **kwargs)
    for frame, seed in ((way.images[0], 11), (way.images[-1], 12)):
        assert frame.tobytes() == pipe(picture(), 2, generator=seeded(seed), **kwargs).images[0].tobytes()
    assert len({frame.tobytes() for frame in way.images}) == 5
    again = pipe.interpolate(picture(), **way.arguments)
    assert [frame.tobytes() for frame in again.images] == [frame.tobytes() for frame in way.images]


def test_a_way_can_be_stopped_and_saved(pipe, tmp_path):
    steps = []

    def watch(_pipe, step, num_steps, tensors):
        steps.append((step, num_steps, len(tensors["images"])))
        return {"stop": step == 1}

    way = pipe.interpolate(picture(), 0, 1, num_frames=7, batch_size=2, callback_on_step_end=watch)
    assert steps == [(0, 4, 2), (1, 4, 2)]
    way.save(tmp_path / "way.gif", bounce=False)
    with Image.open(tmp_path / "way.gif") as image:
        assert image.n_frames == len(way.images) == 4


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((0, 1), {"num_frames": 1}, "`num_frames` is 1; a whole number from 2"),
        ((0, "fox"), {}, "'fox', which is a part of 2 names"),
        ((0, 1), {"seeds": (1, 2), "generator": seeded()}, "`seeds` and `generator` are both given"),
        ((0, 1), {"seeds": 3}, "`seeds` is 3; two whole numbers"),
        ((0, 1), {"seeds": (1, 2, 3)}, "`seeds` is .1, 2, 3.; two whole numbers"),
    ],
)
def test_a_way_that_cannot_be_gone_is_refused(pipe, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        pipe.interpolate(picture(), *args, **kwargs)


def test_an_unknown_class_has_its_own_error(pipe):
    with pytest.raises(UnknownClassError):
        call(pipe, "giraffe")


def test_translate_to_one_class(checkpoint, capsys):
    words = [
        "--target-class",
        "squirrel",
        "--truncation",
        "0.5",
        "--strength",
        "1",
        "2",
        "3",
        "--crop",
        "4",
        "3",
        "20",
    ]
    assert main(["translate", checkpoint, "--image", "photos/a.png", *words, "--output", "made.png"]) == 0
    record = read_record("made.png")
    assert record["arguments"] == {
        "target_class": "fox squirrel",
        "num_images_per_class": 1,
        "truncation": 0.5,
        "strength": {"16": 1.0, "8": 2.0, "4": 3.0},
        "crop": [4, 3, 20],
        "precision": record["arguments"]["precision"],
        "batch_size": 1,
    }
    assert record["notes"][0].startswith("Cropped from 41 x 27 pixels to the square of 20")
    assert "1 written, 0 failed" in capsys.readouterr().out


def test_every_result_of_many_can_be_repeated(checkpoint, capsys):
    words = ["--target-class", "pug", "meer", "2", "pug", "--num-images-per-class", "2", "--seed", "5"]
    assert main(["translate", checkpoint, "--image", "photos", *words, "--strength", "0.5"]) == 1
    labels = [f"{name}-{draw}" for name in ("pug", "meer_kat", "red_fox") for draw in (1, 2)]
    written = {f"{image}-{label}.png" for image in "ab" for label in labels}
    assert {path.name for path in Path("outputs").iterdir()} == written
    assert "outputs/a-pug-1.png and 5 more" in capsys.readouterr().out
    for name in ("a-red_fox-2", "b-meer_kat-1"):
        assert main(["translate", "--from-png", f"outputs/{name}.png", "--output", "again"]) == 0
        assert f"the same pixels as outputs/{name}.png" in capsys.readouterr().out
        assert read_record(f"again/{name}.png") == read_record(f"outputs/{name}.png")


def test_all_classes_and_files_that_are_in_the_way(checkpoint):
    picture(seed=5).save("photos/a-pug.png")
    before = Path("photos/a-pug.png").read_bytes()
    words = ["--image", "photos/a.png", "photos/a-pug.png", "--target-class", "all", "--output", "photos"]
    assert main(["translate", checkpoint, *words]) == 0
    assert Path("photos/a-pug.png").read_bytes() == before
    assert Path("photos/a-pug-2.png").exists()
    assert len(list(Path("photos").glob("a*.png"))) == 2 + 2 * len(TINY_CLASSES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "DeepI2IPipeline needs --target-class"),
        (["--target-class", "mongose"], "did you mean mongoose?"),
        (["--target-class", "fox"], "a part of 2 names: red fox, fox squirrel"),
        (["--target-class", "pug", "--num-images-per-class", "0"], "--num-images-per-class is 0"),
        (["--target-class", "pug", "--exemplar", "photos/b.png"], "DeepI2IPipeline takes no --exemplar"),
        (["--target-class", "pug", "2", "--output", "one.png"], "is one file, for 2 images; give a folder"),
    ],
)
def test_wrong_usage_is_said(checkpoint, capsys, words, message):
    assert main(["translate", checkpoint, "--image", "photos/a.png", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().glob("outputs/*"))


def test_the_record_decides_about_the_class(checkpoint, capsys):
    assert main(["translate", checkpoint, "--image", "photos/a.png", "--target-class", "pug"]) == 0
    assert main(["translate", "--from-png", "outputs/a.png", "--target-class", "Panda"]) == 2
    assert "takes target_class from the PNG" in capsys.readouterr().err


def test_weights_in_half_precision_are_computed_with_in_fp32(pipe, tmp_path):
    networks = {name: copy.deepcopy(getattr(pipe, name)).half() for name in COMPONENTS}
    DeepI2IPipeline(**networks, class_names=pipe.class_names).save_pretrained(tmp_path)
    half = DeepI2IPipeline.from_pretrained(tmp_path, dtype=torch.float16)
    assert half.dtype is torch.float16
    difference = (call(half).images - call(pipe).images).abs()
    assert difference.mean() < 0.01
