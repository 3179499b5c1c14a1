"""What CUTPipeline promises to those who call it."""

import copy
import hashlib
import threading
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines import CUTPipeline, load_pipeline
from pipelines.__main__ import main
from pipelines.cut.networks import ResnetGenerator
from pipelines.images.formats import read_image
from pipelines.images.geometry import enlarge, resize
from pipelines.images.limits import ImageError
from pipelines.images.provenance import read_record
from tests.tiny import picture, seeded, tiny_cut, tiny_generator

PHOTO = Path(__file__).parents[2] / "demo" / "examples" / "1-pagoda" / "source.jpg"


@pytest.fixture(scope="module")
def pipe():
    return tiny_cut()


def call(pipe, image=None, **kwargs):
    return pipe(picture() if image is None else image, **{"precision": "fp32", "output_type": "pt", **kwargs})


def component_hash(pipe) -> str:
    digest = hashlib.sha256()
    for name, tensor in pipe.generator.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes() + repr((tensor.dtype, tensor.stride())).encode())
    parameters = [(n, p.requires_grad, p.grad) for n, p in pipe.generator.named_parameters()]
    digest.update(repr([parameters, pipe.generator.training]).encode())
    return digest.hexdigest()


def psnr(first, second) -> float:
    return float(-10 * torch.log10((first - second).square().mean()))


@settings(max_examples=40, deadline=None)
@given(width=st.integers(2, 97), height=st.integers(2, 97), max_pixels=st.sampled_from([1, 2_000]))
def test_any_size_comes_out_as_it_went_in(pipe, width, height, max_pixels):
    output = call(pipe, np.zeros((height, width, 3), np.uint8), max_pixels=max_pixels, output_type="pil")
    assert output.images[0].size == (width, height)


def test_a_larger_picture_is_translated_at_the_checkpoints_size(tmp_path):
    tiny_cut().save_pretrained(tmp_path / "plain")
    CUTPipeline(tiny_generator(), size=24).save_pretrained(tmp_path / "sized")
    pipe = CUTPipeline.from_pretrained(tmp_path / "sized")
    large, small = picture(80, 48), picture(30, 20)
    output = pipe([large, small], precision="fp32", output_type="pt")
    assert [image.shape[-2:] for image in output.images] == [(48, 80), (20, 30)]
    assert output.notes[0][0] == "Translated at 40 x 24 pixels and enlarged."
    assert len(output.notes[1]) == 1
    assert output.arguments["size"] == 24

    plain = CUTPipeline.from_pretrained(tmp_path / "plain")
    assert torch.equal(call(plain, large).images, call(pipe, large, size=0).images)
    assert torch.equal(call(plain, large, size=24).images, call(pipe, large).images)
    assert torch.equal(call(plain, small).images, call(pipe, small).images)
    reduced = call(plain, resize(read_image(large).pixels, (24, 40))[None].add(1).div(2)).images
    assert torch.allclose(enlarge(reduced * 2 - 1, (48, 80)), call(pipe, large).images * 2 - 1, atol=1e-5)


@pytest.mark.parametrize("size", [-1, 1.5, True, "large"])
def test_a_wrong_size_is_named(pipe, size):
    with pytest.raises(ValueError, match="`size` is .*; a whole number of pixels"):
        call(pipe, size=size)


@pytest.mark.parametrize("channels", [{"in_channels": 1}, {"out_channels": 1}, {"in_channels": 1, "out_channels": 1}])
def test_grey_generators(channels):
    output = call(tiny_cut(**channels), picture(40, 32))
    assert output.images.shape == (1, 3, 32, 40)
    if "in_channels" in channels:
        grey = picture(40, 32).convert("L")
        assert torch.allclose(output.images, call(tiny_cut(**channels), grey).images, atol=2e-2)
    if "out_channels" in channels:
        assert torch.equal(output.images[:, 0], output.images[:, 2])


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="`generator` has 4 in_channels; pictures have 3"):
        tiny_cut(in_channels=4)


def test_a_picture_is_the_generators_cropped_result(pipe):
    pixels = torch.from_numpy(np.array(picture(40, 32))).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        whole = pipe.generator(pixels)
    assert torch.allclose(call(pipe, picture(40, 32)).images, (whole + 1) / 2, atol=1e-5)


def test_padding_repeats_the_pictures_border(pipe):
    wide = np.asarray(picture(41, 32))
    mirrored = np.concatenate([wide, wide[:, -2:-5:-1]], axis=1)
    assert torch.allclose(call(pipe, wide).images, call(pipe, mirrored).images[..., :41], atol=1e-5)


def test_lists_and_folders_give_what_their_pictures_give_alone(pipe, tmp_path):
    pictures = [picture(40, 30, seed=6), picture(27, 44, seed=7).convert("L"), picture(9, 5, seed=8)]
    alone = [call(pipe, each).images[0] for each in pictures]
    for number, each in enumerate(pictures):
        each.save(tmp_path / f"{number}.png")
    for given_as in (pictures, str(tmp_path)):
        output = call(pipe, given_as)
        assert all(torch.equal(got, wanted) for got, wanted in zip(output.images, alone, strict=True))
        assert len(output.notes) == 3


def test_transparent_areas_are_white_and_said_to_be(pipe):
    clear = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    output = call(pipe, clear)
    assert torch.equal(output.images, call(pipe, Image.new("RGB", (20, 20), "white")).images)
    assert output.notes == [("Transparent areas were laid on white.", "Computed in fp32, in one piece.")]


def test_same_pixels_twice_and_the_global_random_state_stays():
    first, second = tiny_cut(), tiny_cut()
    before = torch.get_rng_state()
    wanted = call(first).images
    assert torch.equal(call(first, generator=seeded(5)).images, wanted)
    assert torch.equal(call(second).images, wanted)
    assert torch.equal(before, torch.get_rng_state())


def test_a_call_leaves_the_component_as_it_was(pipe):
    before = component_hash(pipe)
    for kwargs in ({}, {"precision": "bf16"}, {"max_pixels": 1}, {"callback_on_step_end": lambda *_: {"stop": True}}):
        call(pipe, **kwargs)
        assert component_hash(pipe) == before

    def fail(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call(pipe, callback_on_step_end=fail)
    assert component_hash(pipe) == before


def test_threads_do_not_disturb_each_other():
    pictures = [picture(48, 40, seed=2), picture(33, 47, seed=3)]
    precisions = ["fp32", "bf16"]
    alone = [call(tiny_cut(), image, precision=name).images for image, name in zip(pictures, precisions, strict=True)]
    pipe, together = tiny_cut(), [None, None]
    meet = threading.Barrier(2, timeout=60)

    def wait(*_):
        meet.wait()

    def work(index):
        wait()
        pictures_of_one = [pictures[index]] * 3
        together[index] = call(pipe, pictures_of_one, precision=precisions[index], callback_on_step_end=wait).images

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, wanted in zip(together, alone, strict=True):
        assert torch.equal(got, wanted.expand_as(got))


def test_changed_weights_count_at_once():
    pipe = tiny_cut()
    before = call(pipe).images
    with torch.no_grad():
        pipe.generator.head.bias.add_(1)
    changed = call(pipe).images
    assert not torch.equal(changed, before)
    pipe.generator = tiny_generator(seed=1)
    assert torch.equal(call(pipe).images, call(tiny_cut(seed=1)).images)
    pipe.generator.load_state_dict(tiny_generator().state_dict())
    assert torch.equal(call(pipe).images, before)


def test_the_copy_is_kept_as_long_as_the_weights_stay(pipe, monkeypatch):
    before = [call(pipe, precision=precision).images for precision in (None, "bf16")]
    convert = Mock()
    monkeypatch.setattr(ResnetGenerator, "load_state_dict", convert)
    after = [call(pipe, precision=precision).images for precision in (None, "bf16")]
    assert not convert.called
    assert all(map(torch.equal, before, after))


def test_strips_give_the_same_picture_and_say_so(pipe):
    image = picture(90, 61)
    whole, strips = call(pipe, image), call(pipe, image, max_pixels=90 * 61 - 1)
    assert whole.images.std() > 0.05
    assert (whole.images - strips.images).abs().max() < 1e-4
    assert whole.notes == [("Computed in fp32, in one piece.",)]
    assert strips.notes == [("Computed in fp32, in strips, with the statistics of the whole picture.",)]


def test_the_arguments_of_the_output_give_the_same_pixels_again(pipe):
    for kwargs in ({"precision": None}, {"precision": "bf16", "max_pixels": 100}):
        output = call(pipe, **kwargs)
        assert set(output.arguments) == {"size", "precision", "max_pixels", "compile"}
        assert None not in output.arguments.values()
        assert torch.equal(call(pipe, **output.arguments).images, output.images)


def test_bf16_is_close_to_fp32_on_a_photograph():
    pipe = tiny_cut(base_channels=8, num_blocks=9)
    photo = Image.open(PHOTO).resize((192, 144))
    full, half, strips = (
        call(pipe, photo, **kwargs).images
        for kwargs in ({}, {"precision": "bf16"}, {"precision": "bf16", "max_pixels": 100 * 100})
    )
    assert full.std() > 0.1  # a picture, not grey
    assert 40 < psnr(full, half) < 80
    assert 40 < psnr(full, strips) < 80


def test_compiled_is_asked_for_once_and_said(pipe, monkeypatch):
    compiled = []
    monkeypatch.setattr(ResnetGenerator, "compile", lambda network, **options: compiled.append(network))
    pipe = tiny_cut()
    output = call(pipe, [picture(), picture(90, 61)], compile=True, max_pixels=90 * 60)
    call(pipe, compile=True)
    assert len(compiled) == 1
    assert compiled[0] is not pipe.generator
    assert output.arguments["compile"] is True
    assert [notes[-1] for notes in output.notes] == [
        "Computed in fp32, compiled, in one piece.",
        "Computed in fp32, in strips, with the statistics of the whole picture.",
    ]


def test_the_callback_sees_every_picture_and_stops(pipe):
    seen = []

    def stop_after_two(_, step, num_steps, tensors):
        seen.append((step, num_steps, tuple(tensors["image"].shape)))
        return {"stop": step == 1}

    output = call(pipe, [picture(), picture(9, 5), picture()], callback_on_step_end=stop_after_two)
    assert seen == [(0, 3, (1, 3, 30, 40)), (1, 3, (1, 3, 5, 9))]
    assert [image.shape[1:] for image in output.images] == [(30, 40), (5, 9)]
    assert len(output.notes) == 2


def test_a_wrong_callback_answer_is_named(pipe):
    with pytest.raises(TypeError, match="callback_on_step_end.*returned a bool"):
        call(pipe, callback_on_step_end=lambda *_: True)


def test_output_types_agree(pipe):
    pil, array, tensor = (call(pipe, output_type=kind).images for kind in ("pil", "np", "pt"))
    assert array.shape == (1, 30, 40, 3)
    assert tensor.shape == (1, 3, 30, 40)
    assert np.abs(array - tensor.permute(0, 2, 3, 1).numpy()).max() < 1e-6
    assert np.abs(np.asarray(pil[0]) / 255 - array[0]).max() <= 1 / 255


def test_images_of_every_form_agree(pipe):
    image = picture()
    wanted = call(pipe, image).images
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255
    for form in (array, tensor, tensor[None], [image]):
        assert torch.allclose(call(pipe, form).images, wanted, atol=1e-5)


def test_return_dict_false_gives_a_tuple(pipe):
    images, notes, arguments = call(pipe, return_dict=False)
    assert len(images) == len(notes) == 1
    assert arguments["precision"] == "fp32"


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_a_callers_mode_changes_nothing(context):
    pipe = tiny_cut()
    with context():
        inside = call(pipe).images
    assert torch.equal(inside, call(pipe).images)


def test_a_generator_loaded_under_inference_mode_works(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    with torch.inference_mode():
        loaded = CUTPipeline.from_pretrained(tmp_path)
    assert torch.equal(call(loaded).images, call(pipe).images)


def test_save_and_load_give_the_same_pixels(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("*.bin"))
    for loaded in (CUTPipeline.from_pretrained(tmp_path / "saved"), load_pipeline(tmp_path / "saved")):
        assert isinstance(loaded, CUTPipeline)
        assert torch.equal(call(loaded).images, call(pipe).images)


def test_weights_in_half_precision_are_computed_with_in_fp32(pipe, tmp_path):
    CUTPipeline(copy.deepcopy(pipe.generator).half()).save_pretrained(tmp_path)
    half = CUTPipeline.from_pretrained(tmp_path, dtype=torch.float16)
    assert half.dtype is torch.float16
    assert psnr(call(half).images, call(pipe).images) > 50


def test_it_works_under_accelerates_offload_hooks(pipe):
    hooked = CUTPipeline(copy.deepcopy(pipe.generator))
    hooked.enable_model_cpu_offload(device="cpu")
    before = component_hash(hooked)
    for max_pixels in (None, 1):
        wanted = call(pipe, max_pixels=max_pixels).images
        assert torch.equal(call(hooked, max_pixels=max_pixels).images, wanted)
    assert component_hash(hooked) == before
    assert hooked._all_hooks  # still in place for the next call


BAD_INPUTS = {
    "not an image": ("no such file.png", "`image`.*no such file"),
    "another type": (3, "`image` is of type int"),
    "1 x 1": (Image.new("RGB", (1, 1)), "`image` is 1 x 1 pixels"),
    "NaN": (torch.full((3, 8, 8), float("nan")), "`image`.*(NaN|finite)"),
    "wrong range": (torch.full((3, 8, 8), 255.0), "`image`.*255"),
    "empty list": ([], "`image` is empty"),
    "second of a list": ([picture(), "nowhere.png"], r"`image\[1\]` \(nowhere.png\) does not exist"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_named_before_any_work(pipe, case):
    image, message = BAD_INPUTS[case]
    seen = []
    with pytest.raises(ImageError, match=message):
        call(pipe, image, callback_on_step_end=lambda *_: seen.append(1))
    assert not seen


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"precision": "fp16"}, "`precision` is 'fp16'; one of fp32, bf16, or None, is accepted"),
        ({"max_pixels": 0}, "`max_pixels` is 0; a whole number of pixels above 0"),
        ({"max_pixels": 1e6}, "`max_pixels` is 1000000.0"),
        ({"output_type": "jpeg"}, "`output_type`"),
    ],
)
def test_bad_arguments_are_named(pipe, kwargs, message):
    with pytest.raises(ValueError, match=message):
        call(pipe, **kwargs)


def test_translate_a_folder_with_a_broken_file(checkpoint, capsys):
    assert main(["translate", checkpoint, "--image", "photos", "--max-pixels", "2000", "--precision", "bf16"]) == 1
    said = capsys.readouterr().out
    assert "2 written, 1 failed" in said
    assert "photos/broken.png) is not an image that can be read" in said
    record = read_record("outputs/b.png")
    assert record["arguments"] == {"size": 0, "precision": "bf16", "max_pixels": 2000, "compile": False}
    assert record["notes"] == ["Computed in bf16, in strips, with the statistics of the whole picture."]
    assert read_record("outputs/a.png")["notes"] == ["Computed in bf16, in one piece."]
    with Image.open("outputs/b.png") as image:
        assert image.size == (90, 61)


@pytest.mark.parametrize("chosen", ["fp32", "bf16"])
def test_from_png_takes_the_recorded_precision_not_this_machines(checkpoint, capsys, monkeypatch, chosen):
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}
    monkeypatch.setattr("pipelines.cut.pipeline.fast_precision", lambda device: dtype[chosen])
    assert main(["translate", checkpoint, "--image", "photos/a.png"]) == 0
    assert read_record("outputs/a.png")["arguments"]["precision"] == chosen
    other = dtype["bf16" if chosen == "fp32" else "fp32"]
    monkeypatch.setattr("pipelines.cut.pipeline.fast_precision", lambda device: other)
    assert main(["translate", "--from-png", "outputs/a.png"]) == 0
    assert "the same pixels as outputs/a.png" in capsys.readouterr().out
    assert read_record("outputs/a-2.png") == read_record("outputs/a.png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--exemplar", "photos/b.png"], "CUTPipeline takes no --exemplar; it takes --image, "),
        (["--num-steps", "3"], "CUTPipeline takes no --num-steps"),
    ],
)
def test_options_of_other_pipelines_are_refused(checkpoint, capsys, words, message):
    assert main(["translate", checkpoint, "--image", "photos/a.png", *words]) == 2
    assert message in capsys.readouterr().err
