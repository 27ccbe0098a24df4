"""The lamp: which points lie in shadow, looked up in depth maps drawn from where the light comes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..scene.scene import Crowd, Scene
from ..seeding import Array
from . import geometry
from .raster import candidates

_BIAS = 0.03  # metres a surface may be behind the nearest one and still be lit
_FAR = 60.0  # metres from the origin at which rays of light start


class ShadowMap:
    """How far parallel light travels, on a square grid across it, one for each of B frames.

    depth   (B, S, S) metres along the light; inf where nothing stops it
    corner  (2, B) metres, where the first texel begins; half: metres from the middle to the border
    """

    def __init__(self, depth: Tensor, corner: Tensor, half: float) -> None:
        self.flat, self.size, self.corner, self.half = depth.reshape(-1), depth.shape[-1], corner, half

    def lit(self, frame: Tensor | None, u: Tensor, v: Tensor, along: Tensor) -> Tensor:
        """Return (N,) 0..1, the share of light at points (u, v, along) in the light's frame; four texels vote.

        frame  (N,) int32 which map; None: the first. Points beyond a map are lit.
        """
        scale, last = self.size / (2 * self.half), self.size - 1.001
        low = self.corner[:, 0] if frame is None else self.corner.index_select(1, frame)
        x = (u - low[0]).mul_(scale).sub_(0.5).clamp_(0, last)
        y = (v - low[1]).mul_(scale).sub_(0.5).clamp_(0, last)
        column, row = x.to(torch.int32), y.to(torch.int32)
        x, y = x.sub_(column), y.sub_(row)
        first = (row if frame is None else frame * self.size + row) * self.size + column
        deep = along - _BIAS
        votes = []
        for step in (0, 1, self.size, self.size + 1):
            texel = self.flat[step:].index_select(0, first)
            votes.append(torch.ge(texel, deep, out=texel))
        return torch.lerp(torch.lerp(votes[0], votes[1], x), torch.lerp(votes[2], votes[3], x), y)


class Lamp:
    """The light of a scene.

    frame   (3, 3) rows: two axes across the light and the way it travels, world frame
    static  the map of boxes and poles about the origin; `moving` makes those of people about the subject
    """

    STATIC_SIZE, STATIC_HALF = 512, 8.0  # texels; metres
    MOVING_SIZE, MOVING_HALF = 192, 2.6

    def __init__(self, scene: Scene, device: torch.device) -> None:
        self.device = device
        self.towards = scene.light.towards / np.linalg.norm(scene.light.towards)
        u = np.cross(self.towards, [0.0, 0.0, 1.0] if abs(self.towards[2]) < 0.9 else [1.0, 0.0, 0.0])
        u /= np.linalg.norm(u)
        self.frame = np.stack([u, np.cross(self.towards, u), -self.towards])
        self.key = self._tensor(np.array(scene.light.key))[:, None]
        self._above = self._tensor(np.array(scene.light.above))[:, None]
        self._below = self._tensor(np.array(scene.light.below))[:, None]
        self.static = self._static(scene)

    def ambient(self, upward: Tensor) -> Tensor:
        """Return (3, N) light from all round on surfaces whose unit normals have this upward part."""
        share = upward * 0.5 + 0.5
        return torch.addcmul(self._below, self._above - self._below, share)

    def moving(self, crowd: Crowd) -> ShadowMap:
        """Draw the maps of everybody near the subject, one a frame."""
        subject = crowd.ends[:, crowd.owner == 0].mean(axis=(1, 2))
        corner = subject @ self.frame[:2].T - self.MOVING_HALF
        depth = self._cones(crowd.ends, crowd.radius, corner, self.MOVING_SIZE, self.MOVING_HALF)
        return ShadowMap(depth, self._tensor(corner.T), self.MOVING_HALF)

    def _static(self, scene: Scene) -> ShadowMap:
        size, half = self.STATIC_SIZE, self.STATIC_HALF
        corner = np.full((1, 2), -half)
        ends = np.array([pole.ends for pole in scene.poles]).reshape(1, -1, 2, 3)
        radius = np.array([pole.radius for pole in scene.poles]).reshape(-1, 2)
        depth = self._cones(ends, radius, corner, size, half)
        texel = 2 * half / size
        axes = self._tensor(self.frame)
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        for box in scene.boxes:
            corners = (np.array(box.centre) + (signs * box.half) @ box.axes) @ self.frame[:2].T
            first = np.clip(np.floor((corners.min(axis=0) + half) / texel), 1, size - 1).astype(int)
            last = np.clip(np.ceil((corners.max(axis=0) + half) / texel), 1, size - 1).astype(int)
            if (last <= first).any():
                continue
            u, v = (
                (torch.arange(int(a), int(b), device=self.device) + 0.5) * texel - half
                for a, b in zip(first, last, strict=True)
            )
            v, u = torch.meshgrid(v, u, indexing="ij")
            origin = (
                u * axes[0, 0] + v * axes[1, 0] - _FAR * axes[2, 0],
                u * axes[0, 1] + v * axes[1, 1] - _FAR * axes[2, 1],
                u * axes[0, 2] + v * axes[1, 2] - _FAR * axes[2, 2],
            )
            parts = (np.array([box.centre]), np.array([box.half]), box.axes[None])
            table = geometry.box_table(*(self._tensor(part) for part in parts))[..., None]
            t, _ = geometry.cast_boxes(table.expand(15, *u.shape), (axes[2, 0], axes[2, 1], axes[2, 2]), origin)
            part = depth[0, first[1] : last[1], first[0] : last[0]]
            torch.minimum(part, t - _FAR, out=part)
        return ShadowMap(depth, self._tensor(corner.T), half)

    def _cones(self, ends: Array, radius: Array, corner: Array, size: int, half: float) -> Tensor:
        """(T, size, size) depth maps: ends (T, N, 2, 3) world, radius (N, 2), corner (T, 2)."""
        count, cones = ends.shape[:2]
        texel = 2 * half / size
        balls = self._tensor(ends @ self.frame.T).reshape(-1, 2, 3)
        sizes = self._tensor(radius).expand(count, cones, 2).reshape(-1, 2)
        corners = self._tensor(corner)
        start = corners.repeat_interleave(cones, 0)
        low = ((balls[..., :2] - sizes[..., None]).amin(1) - start) / texel - 0.5
        high = ((balls[..., :2] + sizes[..., None]).amax(1) - start) / texel + 0.5
        # The outermost texels stay empty: what lies beyond the map is looked up there and found lit.
        bounds = torch.cat([low.ceil(), high.floor()], -1).clamp(1, size - 1).to(torch.int64)
        pairs = candidates(bounds, count, size, size)
        u0, v0 = corners.T.index_select(1, pairs.frame)
        zero, one = torch.zeros((), device=self.device), torch.ones((), device=self.device)
        origin = (u0 + (pairs.column + 0.5) * texel, v0 + (pairs.row + 0.5) * texel, -_FAR * one)
        table = geometry.cone_table(balls, sizes).index_select(1, pairs.item)
        t, _ = geometry.cast_cones(table, (zero, zero, one), origin)
        far = torch.full((count * size * size,), torch.inf, device=self.device)
        far.scatter_reduce_(0, pairs.pixel.to(torch.int64), t - _FAR, "amin")
        return far.view(count, size, size)

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.device)
