import pytest

from pipelines.sincut.settings import PRESETS, SinCUTSettings, learning_rate_factor


def test_the_presets_are_sound_and_cpu_is_the_smaller_one():
    paper, cpu = (SinCUTSettings.preset(name) for name in ("paper", "cpu"))
    assert paper == SinCUTSettings()
    for name in PRESETS["cpu"].keys() & {"num_steps", "base_channels", "num_blocks", "batch_size"}:
        assert getattr(cpu, name) < getattr(paper, name)


def test_minutes_and_steps_replace_each_other():
    by_the_clock = SinCUTSettings.preset("cpu", minutes=5)
    assert (by_the_clock.minutes, by_the_clock.num_steps) == (5, None)
    assert SinCUTSettings.preset("cpu", num_steps=7).num_steps == 7


def test_lists_become_tuples():
    assert SinCUTSettings(nce_layers=["input", "down"]).nce_layers == ("input", "down")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 5, "minutes": 5}, "`num_steps` is 5 and `minutes` is 5; one of them"),
        ({"num_steps": None}, "`num_steps` is None and `minutes` is None; one of them"),
        ({"num_steps": 0}, "`num_steps` is 0; it must be a whole number, 1 or more"),
        ({"num_steps": True}, "`num_steps` is True"),
        ({"num_steps": 2.5}, "`num_steps` is 2.5"),
        ({"minutes": 0}, "`minutes` is 0; it must be a number above 0"),
        ({"minutes": float("nan")}, "`minutes` is nan"),
        ({"num_blocks": 5}, "`num_blocks` is 5; it must be even"),
        ({"tile_size": 48}, "`tile_size` is 48; it must be a power of two"),
        ({"crop_size": 96}, "`crop_size` is 96; it must be a multiple of `tile_size`, 64"),
        ({"smallest_zoom": 1.5}, "`smallest_zoom` is 1.5; it must be at most 1"),
        ({"beta2": 1}, "`beta2` is 1; it must be below 1"),
        ({"lr": "fast"}, "`lr` is 'fast'; it must be a number above 0"),
        ({"lambda_nce": -1}, "`lambda_nce` is -1; it must be a number, 0 or more"),
        ({"inject_noise": 1}, "`inject_noise` is 1; it must be true or false"),
        ({"zoom": "far"}, "`zoom` is 'far'; it must be one of each, width"),
        ({"nce_layers": "down"}, "`nce_layers` is 'down'; it must be a list"),
        ({"nce_layers": []}, "`nce_layers` is \\[\\]"),
        ({"nmu_steps": 5}, "'nmu_steps' is no setting of SinCUT; accepted are base_channels"),
    ],
)
def test_what_cannot_be_trained_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        SinCUTSettings.preset("paper", **changes)


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="`preset` is 'slow'; accepted are paper, cpu"):
        SinCUTSettings.preset("slow")


def test_the_learning_rate_falls_in_the_second_half_and_never_to_zero():
    factors = [learning_rate_factor(step, 8) for step in range(1, 9)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert learning_rate_factor(1, 1) > 0
    assert learning_rate_factor(10**6, None) == 1
