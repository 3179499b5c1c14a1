"""The public endpoints, called as a script calls them."""

import time

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from pipelines.images.provenance import read_record


@pytest.fixture(scope="module")
def client(app_url):
    return Client(app_url, verbose=False)


def ask(client, pictures, source="source", exemplar="exemplar", num_steps=4, seed=3):
    return client.submit(
        image=handle_file(pictures[source]),
        exemplar=handle_file(pictures[exemplar]),
        checkpoint="oeft-starter",
        preset="fast",
        num_steps=num_steps,
        seed=seed,
        augment=True,
        api_name="/translate_exemplar",
    )


def test_public_names_and_arguments(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {
        "/translate_exemplar",
        "/choose_hypothesis",
        "/stop_exemplar",
        "/correspondence",
        "/translate_single",
        "/stop_single",
        "/translate_unpaired",
        "/translate_unpaired_batch",
        "/stop_unpaired",
        "/translate_classes",
        "/all_classes",
        "/interpolate_classes",
        "/stop_classes",
    }
    names = [parameter["parameter_name"] for parameter in endpoints["/translate_exemplar"]["parameters"]]
    given = ["image", "exemplar", "checkpoint", "preset", "num_steps", "seed", "augment"]
    assert names == [*given, "refine", "num_refine_steps"]


def test_translation_is_saved_with_its_record_and_can_be_asked(client, pictures):
    path, details = ask(client, pictures).result(timeout=60)
    assert details["steps"] == 4
    assert not details["stopped"]
    assert path.endswith("my-source-oeft-starter-seed3.png") or path.endswith("my_source-oeft-starter-seed3.png")
    assert Image.open(path).size == (128, 96)
    record = read_record(path)
    assert record["arguments"] == {"preset": "fast", "num_steps": 4}
    assert record["seed"] == 3
    assert record["inputs"]["exemplar"][0]["name"] == "exemplar.png"

    place = client.predict(x=60, y=40, api_name="/correspondence")
    assert 0 <= place["x"] < 80
    assert 0 <= place["y"] < 100
    assert place["words"]


def test_same_seed_gives_same_pixels(client, pictures):
    one, other, third = (ask(client, pictures, num_steps=3, seed=seed) for seed in (5, 5, 6))
    one, other, third = (Image.open(job.result(timeout=60)[0]).tobytes() for job in (one, other, third))
    assert one == other
    assert one != third


def test_stop_ends_this_clients_run_with_its_best(client, app_url, pictures):
    job = ask(client, pictures, num_steps=200)
    deadline = time.monotonic() + 30
    while not job.outputs() and time.monotonic() < deadline:
        time.sleep(0.05)
    stranger = Client(app_url, verbose=False)
    assert stranger.predict(api_name="/stop_exemplar") == {"stopped": False}
    assert not job.done()
    assert client.predict(api_name="/stop_exemplar") == {"stopped": True}
    path, details = job.result(timeout=30)
    assert details["stopped"]
    assert 0 < details["steps"] < 200
    assert read_record(path)["arguments"]["num_steps"] == details["steps"]
    assert client.predict(api_name="/stop_exemplar") == {"stopped": False}


def test_large_picture_is_scaled_with_a_note(client, pictures):
    path, details = ask(client, pictures, source="large", num_steps=1).result(timeout=60)
    width, height = Image.open(path).size
    assert abs(width * height - 40_000) < 800
    assert details["notes"] == [f"The source was scaled from 400 x 300 to {width} x {height} pixels."]


@pytest.mark.parametrize(
    ("source", "message"),
    [("broken", "The source (broken.png) is not an image that can be read"), ("bomb", "at most 1 megapixels")],
)
def test_bad_picture_is_named_in_a_sentence(client, pictures, source, message):
    with pytest.raises(Exception, match="(?s).+") as caught:
        ask(client, pictures, source=source).result(timeout=30)
    assert message in str(caught.value)


def test_question_outside_of_the_result(client, app_url, pictures):
    ask(client, pictures, num_steps=1).result(timeout=60)
    with pytest.raises(Exception, match="lies outside of the result, which is 128 x 96 pixels"):
        client.predict(x=500, y=0, api_name="/correspondence")
    with pytest.raises(Exception, match="There is no result to ask about"):
        Client(app_url, verbose=False).predict(x=1, y=1, api_name="/correspondence")
