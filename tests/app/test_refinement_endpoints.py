"""Refinement through the public endpoints, called as a script calls them."""

import time

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from pipelines.images.provenance import read_record
from tests.app.tiny_refining import HYPOTHESES


@pytest.fixture(scope="module")
def client(app_url):
    return Client(app_url, verbose=False)


def ask(client, pictures, checkpoint="oeft-refining", **others):
    return client.submit(
        image=handle_file(pictures["source"]),
        exemplar=handle_file(pictures["exemplar"]),
        checkpoint=checkpoint,
        preset="fast",
        num_steps=3,
        seed=3,
        **{"num_refine_steps": 6, **others},
        api_name="/translate_exemplar",
    )


def test_arguments_have_defaults(client):
    endpoint = client.view_api(return_format="dict")["named_endpoints"]["/translate_exemplar"]
    defaults = {each["parameter_name"]: each["parameter_default"] for each in endpoint["parameters"]}
    assert defaults["refine"] is True
    assert defaults["num_refine_steps"] == 150  # of oeft-cats, the first checkpoint that can refine


def test_refined_result_its_hypotheses_and_another_choice(client, pictures):
    path, details = ask(client, pictures).result(timeout=90)
    assert details["steps"] == 9
    assert [[each["layer"], each["num_codes"]] for each in details["hypotheses"]] == HYPOTHESES
    losses = [each["loss"] for each in details["hypotheses"]]
    assert details["chosen"] == losses.index(min(losses))
    assert read_record(path)["arguments"]["refine"] is True

    other = (details["chosen"] + 1) % 3
    by_hand, chosen = client.predict(hypothesis=other, api_name="/choose_hypothesis")
    assert chosen["chosen"] == other
    assert "Chosen by hand" in chosen["notes"][-1]
    assert read_record(by_hand)["arguments"]["refine_settings"] == {"decide": other}
    assert Image.open(by_hand).tobytes() != Image.open(path).tobytes()

    again, _ = client.predict(hypothesis=details["chosen"], api_name="/choose_hypothesis")
    assert read_record(again) == read_record(path)
    assert Image.open(again).tobytes() == Image.open(path).tobytes()

    warp, _ = client.predict(hypothesis=-1, api_name="/choose_hypothesis")
    plain, _ = ask(client, pictures, refine=False).result(timeout=90)
    assert Image.open(warp).tobytes() == Image.open(plain).tobytes()


def test_what_cannot_be_chosen_is_explained(client, app_url, pictures):
    ask(client, pictures).result(timeout=90)
    with pytest.raises(Exception, match="0 to 2 are accepted, and -1 for the warp"):
        client.predict(hypothesis=7, api_name="/choose_hypothesis")
    ask(client, pictures, checkpoint="oeft-starter").result(timeout=90)
    for each in (client, Client(app_url, verbose=False)):  # after a run without refinement, and after none
        with pytest.raises(Exception, match="There is nothing to choose from"):
            each.predict(hypothesis=0, api_name="/choose_hypothesis")


def test_a_domain_that_does_not_fit_is_noted(client, pictures):
    _, details = ask(client, pictures, checkpoint="oeft-foreign").result(timeout=90)
    assert details["chosen"] is None
    assert "the result is the warp" in details["notes"][0]


def test_stop_in_refinement_keeps_the_best_so_far(client, pictures):
    job = ask(client, pictures, num_refine_steps=500)
    deadline = time.monotonic() + 60
    while not any(each[1]["stage"] == "refine" for each in job.outputs()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.predict(api_name="/stop_exemplar") == {"stopped": True}
    path, details = job.result(timeout=60)
    assert details["stopped"]
    assert details["chosen"] is not None
    assert read_record(path)["arguments"]["num_refine_steps"] == details["steps"] - 3
