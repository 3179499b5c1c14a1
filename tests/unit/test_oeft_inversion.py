"""Multi-code inversion: composition, batching of hypotheses, dropping, and the interface to generators."""

import pytest
import torch

from pipelines.base import DivergedError
from pipelines.networks.biggan import BigGANGenerator
from pipelines.networks.pggan import PGGANGenerator
from pipelines.networks.stylegan import StyleGANGenerator
from pipelines.oeft.distance import StructureDistance
from pipelines.oeft.inversion import Inversion, compose
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.priors import StyleGANPrior, prior_of
from tests.tiny import TINY_SIZES, seeded, tiny_oeft


def tiny_prior(kind: str):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "biggan":
            network = BigGANGenerator(num_classes=2, latent_dim=16, embedding_dim=8, **TINY_SIZES)
            return prior_of(network.eval().requires_grad_(False), label=1)
        if kind == "pggan":
            return prior_of(PGGANGenerator(32, latent_dim=8, widths=(8, 8, 8, 4)).eval().requires_grad_(False))
        network = StyleGANGenerator(widths=(8, 8, 8, 4), latent_dim=8, mapping_layers=2).eval().requires_grad_(False)
        return StyleGANPrior(network, space=kind)


PLAIN = {"drop_ratio": 0, "num_draws": 0, "learning_rate": 0.05}
KINDS = ["biggan", "pggan", "z", "w", "w+"]


def squared(target):
    return lambda images: (images - target).square().mean(dim=(1, 2, 3))


def target_of(prior, seed=5):
    codes = prior.draw(1, seeded(seed))
    with torch.no_grad():
        return prior.tail(prior.head(codes, 4), codes, 4)


def run(prior, seed=0, objective=None, **settings):
    settings = InversionSettings(**{**PLAIN, "hypotheses": ((4, 3),), "num_steps": 5, **settings})
    inversion = Inversion(prior, objective or squared(target_of(prior)), settings, seeded(seed))
    reports = []
    while not inversion.done:
        reports.append(inversion.step())
    return inversion, reports


@pytest.mark.parametrize("kind", KINDS)
def test_one_code_of_full_importance_is_the_generators_own_picture(kind):
    prior = tiny_prior(kind)
    code = prior.draw(1, seeded())
    for layer, (channels, side) in prior.layers.items():
        hidden = prior.head(code, layer)
        assert hidden.shape == (1, channels, side, side)
        torch.testing.assert_close(
            prior.tail(hidden, code, layer), prior.tail(prior.head(code, 4), code, 4), rtol=1e-4, atol=1e-4
        )
    assert max(side for _, side in prior.layers.values()) == prior.resolution == 32


@pytest.mark.parametrize("kind", ["biggan", "z", "w", "w+"])
def test_the_tail_runs_nothing_in_front_of_the_split_and_gives_the_same_bits(kind):
    prior = tiny_prior(kind)
    codes, tail = prior.draw(2, seeded()), prior.draw(2, seeded(1)).requires_grad_()
    generator, calls = prior.generator, []
    inputs = (tail, prior._embedding(2)) if kind == "biggan" else (prior._styles(tail),)
    first = generator.stem if kind == "biggan" else generator.blocks[0]
    for layer, (_, side) in prior.layers.items():
        hidden = prior.head(codes, layer)
        _, conditions = generator.start(*inputs)
        whole = generator.finish(generator.run(hidden, conditions, start=side))
        with first.register_forward_hook(lambda *_: calls.append(first)):
            picture = prior.tail(hidden, tail, layer)
        assert torch.equal(picture, whole)
        if side < prior.resolution:
            gradients = [
                torch.autograd.grad(each.square().sum(), tail, retain_graph=True)[0] for each in (picture, whole)
            ]
            assert torch.equal(*gradients)
    assert not calls


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls_and_the_generator_stays(kind):
    prior = tiny_prior(kind)
    before = {name: tensor.clone() for name, tensor in prior.generator.state_dict().items()}
    inversion, reports = run(prior, num_steps=30)
    assert reports[-1].losses[0] < 0.7 * reports[0].losses[0]
    assert inversion.hypotheses[0].loss == min(report.losses[0] for report in reports)
    assert all(torch.equal(before[name], tensor) for name, tensor in prior.generator.state_dict().items())
    assert all(parameter.grad is None for parameter in prior.generator.parameters())


def test_the_composition_is_the_papers_sum():
    prior = tiny_prior("pggan")
    inversion, _ = run(prior, num_steps=2)
    (hypothesis,) = inversion.hypotheses
    maps = [prior.head(code[None], 4)[0] for code in hypothesis.codes]
    hidden = sum(map_ * alpha[:, None, None] for map_, alpha in zip(maps, hypothesis.importance, strict=True))
    expected = prior.tail(hidden[None], hypothesis.tail, 4)
    torch.testing.assert_close(compose(prior, [hypothesis]), expected, rtol=1e-4, atol=1e-4)
    third = prior.tail(hidden[None] / 3, hypothesis.tail, 4)
    torch.testing.assert_close(compose(prior, [hypothesis], divide_by_codes=True), third, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["biggan", "w+"])
def test_hypotheses_side_by_side_are_those_alone(kind, optimizer):
    prior, pairs = tiny_prior(kind), ((4, 2), (6, 3), (4, 3))
    together, _ = run(prior, hypotheses=pairs, optimizer=optimizer)
    # The codes of a hypothesis are drawn after those of the ones before it.
    source = seeded(0)
    for pair, joint in zip(pairs, together.hypotheses, strict=True):
        alone = Inversion(
            prior,
            squared(target_of(prior)),
            InversionSettings(**{**PLAIN, "hypotheses": (pair,), "num_steps": 5, "optimizer": optimizer}),
            source,
        )
        while not alone.done:
            alone.step()
        torch.testing.assert_close(alone.hypotheses[0].codes, joint.codes, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.hypotheses[0].image, joint.image, rtol=1e-4, atol=1e-4)


def test_where_memory_is_short_hypotheses_take_turns_with_the_same_result(monkeypatch):
    prior, pairs = tiny_prior("pggan"), ((4, 2), (4, 3), (4, 2), (6, 2))
    together, _ = run(prior, hypotheses=pairs, optimizer="sgd")
    monkeypatch.setattr("pipelines.oeft.inversion.PIXELS_AT_ONCE", 2 * 32**2)
    passes = []
    monkeypatch.setattr(
        "pipelines.oeft.inversion.compose",
        lambda prior, group, divide: passes.append(len(group)) or compose(prior, group, divide),
    )
    in_turns, _ = run(prior, hypotheses=pairs, optimizer="sgd")
    assert passes[:3] == [2, 1, 1]
    for one, other in zip(together.hypotheses, in_turns.hypotheses, strict=True):
        torch.testing.assert_close(one.image, other.image, rtol=1e-4, atol=1e-4)


def test_same_seed_same_codes_and_the_global_state_stays():
    prior = tiny_prior("biggan")
    state = torch.get_rng_state()
    first, again, other = (run(prior, seed=seed)[0].hypotheses[0].image for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_hypotheses_begin_from_the_nearest_of_many_draws(kind):
    prior = tiny_prior(kind)
    target = target_of(prior)
    objective = squared(target)
    inversion, _ = run(prior, hypotheses=((4, 1), (6, 3)), num_draws=40, num_steps=0, objective=objective)
    codes = prior.draw(40, seeded(0))
    with torch.no_grad():
        losses = objective(prior.tail(prior.head(codes, 2), codes, 2))
    order = losses.argsort()
    for hypothesis in inversion.hypotheses:
        assert torch.equal(hypothesis.codes, codes[order[: hypothesis.num_codes]])
        assert hypothesis.codes.requires_grad
        assert hypothesis.codes.is_leaf
    first, _ = run(prior, hypotheses=((4, 1),), num_draws=40, num_steps=1, objective=objective)
    assert first.hypotheses[0].loss == pytest.approx(losses.min().item(), rel=1e-4)


def test_as_many_codes_are_drawn_as_a_hypothesis_needs():
    inversion, _ = run(tiny_prior("pggan"), hypotheses=((4, 9),), num_draws=4, num_steps=1)
    assert inversion.hypotheses[0].num_codes == 9


def test_one_that_is_clearly_behind_is_given_up_and_the_others_go_on_as_before():
    prior = tiny_prior("pggan")
    target = target_of(prior)
    pairs = ((4, 1), (4, 4), (8, 4))
    plain, _ = run(prior, hypotheses=pairs, num_steps=20, objective=squared(target))
    ratio = 1.001
    best = min(each.loss for each in plain.hypotheses)
    dropping, reports = run(
        prior, hypotheses=pairs, num_steps=20, objective=squared(target), drop_ratio=ratio, drop_after=0.5
    )
    assert all(len(report.losses) == 3 for report in reports[:10])
    assert len(reports[-1].losses) < 3
    survivor = dropping.hypotheses[dropping.best]
    assert not survivor.dropped
    assert any(each.dropped and each.image is not None for each in dropping.hypotheses)
    assert survivor.loss >= best


def test_without_a_finite_loss_it_says_so():
    prior = tiny_prior("pggan")
    with pytest.raises(DivergedError, match="after 1 steps"):
        run(prior, objective=lambda images: images.mean(dim=(1, 2, 3)) * float("nan"))


def test_composing_layers_that_are_not_there_are_left_out_or_refused():
    prior = tiny_prior("biggan")  # its blocks are two layers: no odd ones
    inversion, _ = run(prior, hypotheses=((4, 2), (5, 2), (40, 2)))
    assert [each.layer for each in inversion.hypotheses] == [4]
    with pytest.raises(ValueError, match=r"composing layers \[5\]; this generator has \[2, 4, 6, 8\]"):
        run(prior, hypotheses=((5, 2),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hypotheses": []}, "`hypotheses` is"),
        ({"hypotheses": [[4]]}, "`hypotheses` is"),
        ({"hypotheses": [[4, 0]]}, "`hypotheses` is"),
        ({"num_steps": -1}, "`num_steps` is -1"),
        ({"num_draws": -1}, "`num_draws` is -1"),
        ({"optimizer": "lbfgs"}, "accepted are adam, sgd"),
        ({"decide": "taste"}, "accepted are frechet, loss"),
        ({"learning_rate": 0}, "`learning_rate` is 0"),
        ({"perceptual_size": 4}, "`perceptual_size` is 4"),
        ({"compare_size": 0}, "`compare_size` is 0"),
        ({"lambda_structure": -1}, "`lambda_structure` is -1"),
        ({"speed": 3}, "'speed' is no setting of inversion"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        InversionSettings.preset("balanced", **changes)


def test_the_papers_preset_has_its_hypotheses():
    paper = InversionSettings.preset("paper")
    assert len(paper.hypotheses) == 20
    assert {layer for layer, _ in paper.hypotheses} == {4, 5, 6, 7, 8}
    assert {codes for _, codes in paper.hypotheses} == {10, 20, 30, 40}


def test_a_generator_of_another_kind_and_an_unknown_class_are_refused():
    with pytest.raises(ValueError, match="`prior` is a Linear; accepted are BigGANGenerator"):
        prior_of(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="`prior_class` is 2; the generator has the classes 0 to 1"):
        prior_of(tiny_prior("biggan").generator, label=2)
    with pytest.raises(ValueError, match="`space` is 'v'; accepted are z, w, w"):
        tiny_prior("v")


def test_structure_is_where_things_are_and_hardly_their_colors():
    backbone = tiny_oeft().backbone
    source = target_of(tiny_prior("biggan"))
    distance = StructureDistance(backbone, source, tap=backbone.taps[0], precision=torch.float32)
    recolored, moved = 0.5 * source + 0.2, source.roll(8, dims=3)
    same, other_colors, elsewhere = distance(torch.cat([source, recolored, moved])).tolist()
    assert same == pytest.approx(0, abs=1e-5)
    assert 0 <= other_colors < 0.3 * elsewhere
    assert elsewhere <= 2
