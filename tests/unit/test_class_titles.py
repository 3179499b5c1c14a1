"""Titles of classes, and calling for a class by its title."""

import pytest

from pipelines.deepi2i.class_names import UnknownClassError, resolve_classes
from pipelines.deepi2i.class_titles import in_words, read_class_titles

NAMES = ["f360-apple-red-1", "f360-apple-red-2", "produce-red-bell-pepper", "guinea_pig", "7"]
TITLES = ["apple red 1", "apple red 2", "red bell pepper", "guinea pig", "lucky number"]


def test_a_name_is_its_title_in_words():
    assert in_words("guinea_pig") == in_words("guinea-pig") == in_words("guinea__pig-") == "guinea pig"
    assert in_words("_") == "_"
    assert read_class_titles(None, NAMES)[2:] == ["produce red bell pepper", "guinea pig", "7"]


def test_some_titles_will_do():
    titles = dict(zip(NAMES[:3], TITLES, strict=False))
    assert read_class_titles(titles, NAMES) == [*TITLES[:4], "7"]


def test_names_that_are_the_same_in_words_are_their_own_titles():
    names = ["red_fox", "red-fox", "arctic_fox"]
    assert read_class_titles(None, names) == ["red_fox", "red-fox", "arctic fox"]


@pytest.mark.parametrize(
    ("titles", "message"),
    [
        (["a", "b"], "`class_titles` is a list; titles by the names of classes"),
        ({"dog": "a dog"}, "`class_titles` has a title for 'dog', which is no class"),
        ({"7": " "}, r"`class_titles\['7'\]` is ' '; a text"),
        ({"7": 7}, r"`class_titles\['7'\]` is 7; a text"),
        ({"7": "all"}, r"`class_titles\['7'\]` is 'all'"),
        ({"7": "guinea_pig"}, r"`class_titles\['7'\]` is 'guinea_pig', which is the name of another class"),
        ({"7": "guinea pig"}, "`class_titles` has 'guinea pig' twice: for 'guinea_pig' and for '7'"),
        ({NAMES[0]: "apple", NAMES[1]: "apple"}, f"has 'apple' twice: for '{NAMES[0]}' and for '{NAMES[1]}'"),
    ],
)
def test_wrong_titles_are_refused(titles, message):
    with pytest.raises(ValueError, match=message):
        read_class_titles(titles, NAMES)


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("apple red 2", 1),
        ("Apple_Red_2", 1),
        ("f360-apple-red-2", 1),
        ("bell pepper", 2),
        ("lucky", 4),
        ("7", 4),  # a name
        (3, 3),
        ("produce", 2),  # in the name alone
    ],
)
def test_a_class_is_called_by_its_name_or_title(target, number):
    assert resolve_classes(target, NAMES, TITLES) == [number]


def test_a_title_comes_before_a_number():
    assert resolve_classes(["3", 3], NAMES, [*TITLES[:4], "3"]) == [4, 3]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "apple red",
            r"2 names: apple red 1 \(f360-apple-red-1\), apple red 2 \(f360-apple-red-2\); give more of one",
        ),
        ("luky number", "no class of this checkpoint; did you mean lucky number \\(7\\)[?]"),
        ("red bel peper", "did you mean red bell pepper \\(produce-red-bell-pepper\\)[?]$"),
        ("xxxxxx", "there are 5: apple red 1 \\(f360-apple-red-1\\), "),
    ],
)
def test_what_is_not_clear_is_said(target, message):
    with pytest.raises(UnknownClassError, match=message):
        resolve_classes(target, NAMES, TITLES)
