"""The Unpaired tab's public endpoints, called as a script calls them."""

import time
import zipfile

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from pipelines import CUTPipeline
from pipelines.images.provenance import read_record


@pytest.fixture(scope="module")
def client(app_url):
    return Client(app_url, verbose=False)


def translate(client, path, checkpoint="cut-one", precision="auto"):
    return client.predict(
        image=handle_file(path), checkpoint=checkpoint, precision=precision, api_name="/translate_unpaired"
    )


def submit_batch(client, paths, checkpoint="cut-one"):
    files = [handle_file(path) for path in paths]
    return client.submit(files=files, checkpoint=checkpoint, api_name="/translate_unpaired_batch")


def test_arguments_and_defaults(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    for name, first in (("translate_unpaired", "image"), ("translate_unpaired_batch", "files")):
        parameters = endpoints[f"/{name}"]["parameters"]
        assert [each["parameter_name"] for each in parameters] == [first, "checkpoint", "precision"]
        assert [each["parameter_has_default"] for each in parameters] == [False, True, True]


def test_one_photo_becomes_a_png_with_its_record(client, pictures):
    path, details = translate(client, pictures["source"], "cut-other", "fp32")
    assert path.endswith("source-cut-other.png")
    record = read_record(path)
    assert record["checkpoint"] == "cut-other"
    expected = CUTPipeline.from_pretrained("cut-other")(pictures["source"], **record["arguments"]).images[0]
    assert Image.open(path).tobytes() == expected.tobytes()
    assert details["photos"][0]["precision"] == "fp32"
    assert details["failed"] == []


def test_several_photos_become_a_zip_and_a_broken_one_is_named(client, pictures, tmp_path):
    job = submit_batch(client, [pictures[name] for name in ("source", "broken", "large")])
    path, details = job.result(timeout=60)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 2
        archive.extractall(tmp_path)
    assert {read_record(file)["checkpoint"] for file in tmp_path.iterdir()} == {"cut-one"}
    assert details["failed"][0]["name"] == "broken.png"
    assert "is not an image that can be read" in details["failed"][0]["reason"]
    assert details["photos"][1]["notes"][0].startswith("The photo was scaled from 400 x 300 to ")
    watched = [output[1] for output in job.outputs()[:-1]]
    assert [each["index"] for each in watched] == [0, 2]


@pytest.mark.parametrize(
    ("picture", "checkpoint", "precision", "message"),
    [
        ("broken", "cut-one", "auto", r"The photo \(broken.png\) is not an image that can be read"),
        ("bomb", "cut-one", "auto", "at most 1 megapixels"),
        ("source", "nothing", "auto", "There is no checkpoint 'nothing' here; there is cut-one, cut-other"),
        ("source", "oeft-starter", "auto", "There is no checkpoint 'oeft-starter' here"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(client, pictures, picture, checkpoint, precision, message):
    with pytest.raises(Exception, match=message):
        translate(client, pictures[picture], checkpoint, precision)


def test_too_many_photos_are_refused(client, pictures):
    with pytest.raises(Exception, match="These are 5 photos; at most 4 are translated at once"):
        submit_batch(client, [pictures["source"]] * 5).result(timeout=30)


def test_stop_keeps_what_is_done_and_reaches_its_own_client_only(client, app_url, pictures, monkeypatch):
    real = CUTPipeline.__call__
    began = []

    def slow(self, *arguments, **options):
        began.append(time.monotonic())
        time.sleep(1.5)
        return real(self, *arguments, **options)

    monkeypatch.setattr(CUTPipeline, "__call__", slow)
    job = submit_batch(client, [pictures["source"], pictures["exemplar"], pictures["large"]])
    deadline = time.monotonic() + 30
    while not began and time.monotonic() < deadline:
        time.sleep(0.05)
    assert Client(app_url, verbose=False).predict(api_name="/stop_unpaired") == {"stopped": False}
    assert client.predict(api_name="/stop_unpaired") == {"stopped": True}
    path, details = job.result(timeout=30)
    assert 1 <= len(details["photos"]) < 3
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == len(details["photos"])
    assert client.predict(api_name="/stop_unpaired") == {"stopped": False}
