"""Which class is meant by what somebody types."""

import pytest

from pipelines.deepi2i.class_names import UnknownClassError, read_class_names, resolve_classes

NAMES = ["pug", "mongoose", "red fox", "fox squirrel", "12", "meer_kat", "Panda", "cat", "wild cat"]


@pytest.mark.parametrize(
    ("target", "numbers"),
    [
        ("pug", [0]),
        (1, [1]),
        ("1", [1]),
        ("12", [4]),  # a name is no number
        ("Panda", [6]),
        ("panda", [6]),
        ("MONGOO", [1]),
        ("meer-kat", [5]),
        ("meer kat", [5]),
        ("squirrel", [3]),
        ("cat", [7]),  # a name, and a part of another
        ("CAT", [7]),
        ("red", [2]),
        ("all", list(range(9))),
        (["red fox", 0, "mong"], [2, 0, 1]),
        (("pug", "pug"), [0, 0]),
    ],
)
def test_what_is_meant(target, numbers):
    assert resolve_classes(target, NAMES) == numbers


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fox", "`target_class` is 'fox', which is a part of 2 names: red fox, fox squirrel; give more of one"),
        ("mongose", "'mongose', which is no class of this checkpoint; did you mean mongoose?"),
        ("PANDAA", "did you mean Panda?"),
        ("xylophone", "there are 9: pug, mongoose, red fox, fox squirrel, 12, meer_kat and 3 more[.]$"),
        ("", "''.* which is no class"),
        ("_", "'_', which is no class"),
        (9, "`target_class` is 9; the classes of this checkpoint are 0 to 8"),
        (-1, "`target_class` is -1; the classes"),
        ("99", "`target_class` is 99; the classes"),
        (True, "`target_class` has True; the name or the number of a class"),
        (1.0, "`target_class` has 1.0; the name"),
        (None, "`target_class` has None; the name"),
        (["pug", None], "`target_class` has None; the name"),
        (["pug", "all"], "'all', which is no class"),
        ([], "`target_class` is empty"),
    ],
)
def test_what_is_not_clear_is_said(target, message):
    with pytest.raises(ValueError, match=message) as caught:
        resolve_classes(target, NAMES)
    assert isinstance(caught.value, UnknownClassError) or not target


def test_names_in_any_form():
    assert read_class_names(["a", "b"], 5) == ["a", "b"]
    assert read_class_names({str(number): f"n{number}" for number in reversed(range(12))}, 12)[10] == "n10"
    assert read_class_names(None, 3) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "c"], "`class_names` is 3 names; a list of 1 to 2 names"),
        ([], "`class_names` is 0 names"),
        ("pug", "`class_names` is 'pug'; a list"),
        (["a", " "], r"`class_names\[1\]` is ' '; a text"),
        (["all"], r"`class_names\[0\]` is 'all'"),
        (["a", 1], r"`class_names\[1\]` is 1"),
        (["a", "a"], "`class_names` has 'a' twice: as 0 and as 1"),
        ({"0": "a", "2": "b"}, "`class_names` has no name for class 1"),
    ],
)
def test_wrong_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        read_class_names(names, 2)
