"""The public endpoints of the Single-image tab, called as a script calls them."""

import time
import zipfile

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from pipelines import SinCUTPipeline
from pipelines.images.provenance import read_record


@pytest.fixture(scope="module")
def client(app_url):
    return Client(app_url, verbose=False)


def ask(client, pictures, source="source", num_steps=3, **others):
    return client.submit(
        image=handle_file(pictures[source]),
        exemplar=handle_file(pictures["exemplar"]),
        num_steps=num_steps,
        seed=3,
        preset="cpu",
        **others,
        api_name="/translate_single",
    )


def test_public_arguments(client):
    endpoint = client.view_api(return_format="dict")["named_endpoints"]["/translate_single"]
    names = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
    assert names == ["image", "exemplar", "minutes", "num_steps", "stop_after", "preset", "seed"]


def test_picture_and_pipeline_arrive(client, pictures, tmp_path):
    job = ask(client, pictures)
    path, archive, details = job.result(timeout=60)
    assert (details["steps"], details["stopped"], details["seed"]) == (3, False, 3)
    assert any("preview" in note for note in details["notes"])
    assert Image.open(path).size == (128, 96)
    record = read_record(path)
    assert record["checkpoint"] == "sincut"
    assert (record["arguments"]["preset"], record["arguments"]["num_steps"]) == ("cpu", 3)
    assert record["inputs"]["exemplar"][0]["name"] == "exemplar.png"
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    again = SinCUTPipeline.from_pretrained(folder)(str(pictures["source"])).images[0]
    assert again.tobytes() == Image.open(path).tobytes()


def test_stop_ends_this_clients_run(client, app_url, pictures):
    job = ask(client, pictures, num_steps=100_000)
    deadline = time.monotonic() + 30
    while not job.outputs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(job.outputs()[0][2]) == {"step", "num_steps", "losses"}
    stranger = Client(app_url, verbose=False)
    assert stranger.predict(api_name="/stop_single") == {"stopped": False}
    assert not job.done()
    assert client.predict(api_name="/stop_single") == {"stopped": True}
    path, _, details = job.result(timeout=30)
    assert details["stopped"]
    assert read_record(path)["arguments"]["settings"]["stop_after"] == details["steps"]

    again = ask(client, pictures, num_steps=100_000, stop_after=details["steps"]).result(timeout=60)[0]
    assert Image.open(again).tobytes() == Image.open(path).tobytes()


def test_bad_pictures_are_named_in_a_sentence(client, pictures):
    with pytest.raises(Exception, match=r"The source \(broken.png\) is not an image that can be read"):
        ask(client, pictures, source="broken").result(timeout=30)
