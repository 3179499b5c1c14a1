"""The Many-class tab's public endpoints, called as a script calls them."""

import time
import zipfile

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from pipelines import DeepI2IPipeline
from pipelines.images.provenance import read_record
from tests.app.tiny_classes import ANIMALS, FOODS

LOOK = ["seed", "truncation", "strength", "precision"]


@pytest.fixture(scope="module")
def client(app_url):
    return Client(app_url, verbose=False)


def ask(client, pictures, endpoint="translate_classes", image="source", checkpoint="many-animals", **arguments):
    return client.submit(
        image=handle_file(pictures[image]), checkpoint=checkpoint, **arguments, api_name=f"/{endpoint}"
    ).result(timeout=120)


def test_arguments_and_defaults(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    expected = {
        "translate_classes": ["image", "target_classes", "checkpoint", "num_images_per_class", *LOOK],
        "all_classes": ["image", "checkpoint", "num_images_per_class", *LOOK],
        "interpolate_classes": ["image", "start_class", "end_class", "checkpoint", "num_frames", *LOOK],
    }
    for name, arguments in expected.items():
        parameters = endpoints[f"/{name}"]["parameters"]
        assert [each["parameter_name"] for each in parameters] == arguments
        defaults = {each["parameter_name"]: each.get("parameter_default") for each in parameters[-4:]}
        assert defaults == {"seed": 0, "truncation": 1, "strength": 1, "precision": "auto"}


def test_some_classes(client, pictures):
    look = {"seed": 4, "strength": [1, 1, 0, 2]}
    files, sheet, details = ask(client, pictures, target_classes=["banded mongoose", "guinea pig"], **look)
    assert [each["class"] for each in details["pictures"]] == ["mongoose", "guinea_pig"]
    record = read_record(files[1])
    assert (record["checkpoint"], record["seed"]) == ("many-animals", 4)
    assert record["arguments"]["strength"] == {"32": 1, "16": 1, "8": 0, "4": 2}
    assert record["inputs"]["image"][0]["name"].endswith("source.png")
    assert any("Cropped from 128 x 96 pixels" in note for note in details["notes"])
    assert read_record(sheet)["arguments"]["target_class"] == ["mongoose", "guinea_pig"]
    same, _, _ = ask(client, pictures, target_classes=["1"], **look)
    assert Image.open(same[0]).tobytes() == Image.open(files[1]).tobytes()


def test_all_classes(client, pictures):
    archive, sheet, details = ask(client, pictures, "all_classes", checkpoint="many-foods", num_images_per_class=2)
    assert [each["class"] for each in details["pictures"]] == [name for name in FOODS for _ in range(2)]
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 6
    assert Image.open(sheet).width > 500


def test_interpolation(client, pictures):
    path, details = ask(client, pictures, "interpolate_classes", start_class="pug", end_class="otter", num_frames=4)
    assert Image.open(path).n_frames == 6
    assert (details["start_class"], details["end_class"], details["num_frames"]) == ("pug", "otter", 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": "broken"}, r"The photo \(broken.png\) is not an image that can be read"),
        ({"checkpoint": "nothing"}, "There is no checkpoint 'nothing' here; there is many-animals, many-foods"),
        ({"target_classes": ["zebbra"]}, r"did you mean plains zebra \(zebra\)"),
        ({"target_classes": []}, "Choose a class first"),
        ({"strength": [1]}, "there are 4 levels: 32, 16, 8, 4"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(client, pictures, arguments, message):
    with pytest.raises(Exception, match=message):
        ask(client, pictures, **{"target_classes": ["pug"], **arguments})


def test_stop_keeps_what_is_done_and_reaches_its_own_client_only(client, app_url, pictures, monkeypatch):
    real = DeepI2IPipeline.__call__

    def slow(self, *arguments, callback_on_step_end, **options):
        def wait(*step):
            answer = callback_on_step_end(*step)
            deadline = time.monotonic() + 30
            while not answer["stop"] and time.monotonic() < deadline:
                time.sleep(0.1)
                answer = callback_on_step_end(*step)
            return answer

        return real(self, *arguments, callback_on_step_end=wait, **options)

    monkeypatch.setattr(DeepI2IPipeline, "__call__", slow)
    image = handle_file(pictures["source"])
    job = client.submit(image=image, checkpoint="many-animals", api_name="/all_classes")
    deadline = time.monotonic() + 60
    while not job.outputs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job.outputs()[0][2]["pictures"] == 8
    assert Client(app_url, verbose=False).predict(api_name="/stop_classes") == {"stopped": False}
    assert client.predict(api_name="/stop_classes") == {"stopped": True}
    archive, _, details = job.result(timeout=60)
    assert [each["class"] for each in details["pictures"]] == ANIMALS[:8]
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 8
    assert client.predict(api_name="/stop_classes") == {"stopped": False}
