import torch

from pipelines.training.augmentation import jitter_colors, map_points, random_crops, random_motions, warp_images
from pipelines.training.dense import dense_contrast, matching_points, point_features


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crops_stay_inside_the_picture():
    maps = random_crops(64, generator(), (0.2, 1.0))
    corners = torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]]).expand(64, -1, -1)
    assert map_points(corners, maps).abs().max() <= 1 + 1e-5
    assert 0 < (maps[:, 0, 0] < 0).sum() < 64  # some are mirrored


def test_warp_takes_colors_where_the_map_says():
    size = 64
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    picture = torch.stack([x, y, torch.zeros_like(x)]).unsqueeze(0)  # each pixel's color is its place
    maps = random_motions(1, generator(3), degrees=20, zoom=1.2, shift=0.1)
    points = torch.rand(1, 50, 2, generator=generator()) - 0.5
    warped = warp_images(picture, maps, size)
    seen = torch.nn.functional.grid_sample(warped, points.unsqueeze(2), align_corners=False)[0, :2, :, 0].T
    torch.testing.assert_close(seen, map_points(points, maps)[0], atol=0.02, rtol=0)


def test_jitter_is_seeded_bounded_and_off_at_zero():
    images = torch.rand(4, 3, 8, 8, generator=generator()) * 2 - 1
    changed = jitter_colors(images, generator(1), 1.0)
    assert torch.equal(changed, jitter_colors(images, generator(1), 1.0))
    assert not torch.equal(changed, jitter_colors(images, generator(2), 1.0))
    assert changed.abs().max() <= 1
    assert torch.equal(jitter_colors(images, generator(), 0.0), images)


def test_random_numbers_leave_the_global_state_alone():
    before = torch.get_rng_state()
    random_crops(2, generator(), (0.5, 1.0))
    matching_points(random_motions(2, generator(), 10, 1.2, 0.1), 8, generator())
    jitter_colors(torch.zeros(2, 3, 4, 4), generator(), 1.0)
    assert torch.equal(before, torch.get_rng_state())


def test_matching_points_agree_with_the_motion_and_lie_inside():
    motion = random_motions(16, generator(), degrees=30, zoom=1.5, shift=0.4)
    first, second = matching_points(motion, 64, generator(1))
    torch.testing.assert_close(map_points(first, motion), second)
    assert first.abs().max() <= 1
    assert second.abs().max() <= 1


def test_dense_contrast_finds_places_again_and_tells_chance_apart():
    features = {"a": torch.randn(2, 8, 16, 16, generator=generator()), "b": torch.randn(2, 8, 4, 4)}
    axis = (torch.arange(8) + 0.5) / 4 - 1
    points = torch.cartesian_prod(axis, axis).expand(2, -1, -1)
    query = point_features(features, points)
    torch.testing.assert_close(query.norm(dim=-1), torch.ones(2, 64))
    loss, hits = dense_contrast(query, query, 0.07)
    assert hits == 1
    shuffled_loss, shuffled_hits = dense_contrast(query, query.roll(1, dims=1), 0.07)
    assert shuffled_loss > loss
    assert shuffled_hits == 0
