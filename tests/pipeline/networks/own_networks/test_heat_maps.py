"""Joints between the cells of heat maps: where a Gaussian's centre is, and as transformers' own decoding has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

from auglift.pipeline.networks.own_networks.heat_maps import decode_dark

HEIGHT, WIDTH = 64, 48


def maps_at(centres: np.ndarray, sigma: float = 2.0) -> torch.Tensor:
    """(M, K, 64, 48): a Gaussian about each centre (M, K, 2)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    apart = (x - centres[..., 0, None, None]) ** 2 + (y - centres[..., 1, None, None]) ** 2
    return torch.from_numpy(np.exp(-apart / (2 * sigma**2)).astype(np.float32))


def test_a_gaussians_centre_is_found_between_the_cells():
    centres = np.random.default_rng(0).uniform((6, 6), (WIDTH - 7, HEIGHT - 7), (5, 17, 2))
    position, score = decode_dark(maps_at(centres))
    assert np.abs(position.numpy() - centres).max() < 0.02
    assert score.min() > 0.9


def transformers_own(maps: torch.Tensor) -> np.ndarray:
    """In cells: the crop is said to be as large as the map."""
    processor: Any = getattr(transformers, "VitPoseImageProcessorPil", None) or transformers.VitPoseImageProcessor
    scale = np.tile(np.array([WIDTH - 1, HEIGHT - 1], np.float32) / 200, (len(maps), 1))
    position, _ = processor().keypoints_from_heatmaps(maps.numpy().copy(), scale * 100, scale)
    return position


def test_positions_are_transformers_own_up_to_the_maps_edge():
    rng = np.random.default_rng(1)
    corners = np.array([[0, 0], [WIDTH - 1, 0], [0, HEIGHT - 1], [WIDTH - 1, HEIGHT - 1], [0.4, 31.7], [20.2, 0.3]])
    centres = np.concatenate([corners, rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (28, 2))]).reshape(2, 17, 2)
    maps = maps_at(centres) + torch.from_numpy(rng.uniform(0, 0.02, (2, 17, HEIGHT, WIDTH)).astype(np.float32))
    np.testing.assert_allclose(decode_dark(maps)[0].numpy(), transformers_own(maps), atol=2e-3)


def test_a_map_without_a_response_has_a_score_and_a_defined_place():
    maps = maps_at(np.full((1, 3, 2), 20.0))
    maps[0, 0] = 0.0  # nowhere
    maps[0, 1] = -maps[0, 1] - 0.1  # negative everywhere
    maps[0, 2] = 0.0005  # flat: no step
    position, score = decode_dark(maps)
    assert position[0].tolist() == [[-1, -1], [-1, -1], [0, 0]]
    np.testing.assert_allclose(score[0].numpy(), [0, -0.1, 0.0005], atol=1e-4)
