"""What stands still, as cameras see it: the room, boxes and poles, with their light and their own shadows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..scene.camera import Camera
from ..scene.scene import Scene
from ..scene.texture import Wardrobe
from ..seeding import Array
from . import geometry
from .raster import Candidates, candidates, image_bounds, keep_nearest
from .shadow import Lamp


@dataclass(frozen=True)
class Rays:
    """The rays of one image size: column and row to x and y of the direction (x, y, 1), and both for every pixel."""

    width: int
    height: int
    intrinsics: tuple[float, float, float, float]
    x: Tensor
    y: Tensor
    grid: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, camera: Camera, device: torch.device) -> Rays:
        x = (torch.arange(camera.width, device=device) + 0.5 - camera.cx) / camera.fx
        y = (torch.arange(camera.height, device=device) + 0.5 - camera.cy) / camera.fy
        grid = torch.meshgrid(y, x, indexing="ij")
        return cls(camera.width, camera.height, camera.intrinsics, x, y, (grid[1].reshape(-1), grid[0].reshape(-1)))

    def through(self, pairs: Candidates) -> tuple[Tensor, Tensor]:
        return self.x.index_select(0, pairs.column), self.y.index_select(0, pairs.row)


@dataclass(frozen=True)
class Layer:
    """What F cameras see of what stands still; P pixels each.

    depth    (F, P) metres along the optical axis
    diffuse  (3, F, P) light without the lamp, direct (3, F, P) what the lamp adds where nobody stands in its way
    place    (3, F, P) where it is, in the lamp's frame
    """

    depth: Tensor
    diffuse: Tensor
    direct: Tensor
    place: Tensor


class Backdrop:
    """Draws a scene without people.

    What a pixel shows is a facet: a face of the room, below the skyline (6) or above it (6), a face of a box (6 each),
    or what one pixel sees of a pole. A facet has one normal and one material, so that light is reckoned once for each.
    """

    def __init__(self, scene: Scene, lamp: Lamp, wardrobe: Wardrobe, rays: Rays) -> None:
        self.scene, self.lamp, self.wardrobe, self.rays = scene, lamp, wardrobe, rays
        self.device = rays.x.device
        boxes, poles = scene.boxes, scene.poles
        inward = np.array([sign * np.eye(3)[axis] for axis in range(3) for sign in (1, -1)])
        sky = [face if axis == 1 else scene.sky for face, axis in zip(scene.faces, (0, 0, 1, 1, 2, 2), strict=True)]
        normals, kinds = [inward, inward], [*scene.faces, *sky]
        centre, half = np.array([box.centre for box in boxes]), np.array([box.half for box in boxes])
        axes = np.array([box.axes for box in boxes]).reshape(-1, 3, 3)
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        if boxes:
            self._corners = centre[:, None] + np.einsum("ck,nk,nka->nca", signs, half, axes)
            self._boxes = geometry.box_table(self._tensor(centre), self._tensor(half), self._tensor(axes))
            normals.append(np.stack([-axes, axes], axis=2).reshape(-1, 3))
            kinds += [box.material for box in boxes for _ in range(6)]
        if poles:
            self._ends, self._radius = (
                np.array([pole.ends for pole in poles]),
                np.array([pole.radius for pole in poles]),
            )
            self._pole_kind = torch.tensor([pole.material for pole in poles], dtype=torch.int32, device=self.device)
        self._normals = self._tensor(np.concatenate(normals).T)
        self._kinds = torch.tensor(kinds, dtype=torch.int32, device=self.device)

    def layer(self, camera: Camera) -> Layer:
        """Return the scene as len(camera) cameras see it."""
        count, pixels = len(camera.rotation), self.rays.width * self.rays.height
        turn, eye = self._tensor(camera.rotation), self._tensor(camera.centre)
        x, y = self.rays.grid
        # World direction of every pixel's ray, (F, P), with t still depth along the optical axis.
        way = [(turn[:, 0, a, None] * x).addcmul_(turn[:, 1, a, None], y).add_(turn[:, 2, a, None]) for a in range(3)]
        start = [eye[:, a, None] for a in range(3)]
        fields = self._room(way, start)
        self._add_boxes(camera, fields)
        normals, kinds = self._add_poles(camera, fields)
        t, u, v, facet = fields

        wx, wy, wz = (part.reshape(-1) for part in way)
        nx, ny, nz = (part.index_select(0, facet) for part in normals)
        across = (nx * wx + ny * wy + nz * wz).abs_() * torch.rsqrt(wx * wx + wy * wy + wz * wz)
        footprint = t / across.clamp_min_(0.08).mul_(self.rays.intrinsics[0])
        surface = self.wardrobe.reflectance(kinds.index_select(0, facet), u, v, footprint)
        point = [torch.addcmul(start[a], t.view(count, pixels), way[a]).reshape(-1) for a in range(3)]
        glow, one = self.wardrobe.glow.index_select(0, kinds), torch.ones((), device=self.device)
        surround = torch.lerp(self.lamp.ambient(normals[1]), one, glow).index_select(1, facet)
        if not np.isfinite(self.scene.skyline):
            surround *= torch.lerp(self._near_corners(point, nx, ny, nz), one, glow.index_select(0, facet))
        diffuse = surface * surround
        place = torch.stack([self._along(self.lamp.frame[a], point) for a in range(3)])
        facing = self._along(self.lamp.towards, normals).clamp_min_(0).mul_(1 - glow)
        direct = surface.mul_(self.lamp.key).mul_(self._not_shaded(facing, place, normals, facet))
        shape = (3, count, pixels)
        return Layer(t.view(count, pixels), diffuse.view(shape), direct.view(shape), place.view(shape))

    def _room(self, way: list[Tensor], start: list[Tensor]) -> list[Tensor]:
        """Fields of the room's inside, (F P,) each: t, u and v on the surface, the facet."""
        scene = self.scene
        low, high = (tuple(self._tensor(np.array(corner))) for corner in (scene.low, scene.high))
        t, facet = geometry.leave_room((low[0], low[1], low[2]), (high[0], high[1], high[2]), way, start)
        x, y, z = (torch.addcmul(start[a], t, way[a]) for a in range(3))
        axis = facet >> 1
        u, v = torch.where(axis == 0, z, x), torch.where(axis == 1, z, y)
        if np.isfinite(scene.skyline):
            facet.add_((y > scene.skyline).to(torch.int32), alpha=6)
        return [part.reshape(-1) for part in (t, u, v, facet)]

    def _not_shaded(self, facing: Tensor, place: Tensor, normals: Tensor, facet: Tensor) -> Tensor:
        """(N,) how much of the lamp's light arrives: how the facet faces it, and whether something is in the way."""
        shine = facing.index_select(0, facet)
        near = (torch.maximum(place[0].abs(), place[1].abs()) < self.lamp.STATIC_HALF) & (shine > 0)
        index = torch.nonzero(near)[:, 0]
        facet = facet.index_select(0, index)
        # Looked up a little off the surface, so that it does not shade itself.
        spot = [
            place[a].index_select(0, index) + (0.02 * self._along(self.lamp.frame[a], normals)).index_select(0, facet)
            for a in range(3)
        ]
        lit = self.lamp.static.lit(None, spot[0], spot[1], spot[2])
        return shine.index_copy_(0, index, shine.index_select(0, index) * lit)

    def _near_corners(self, point: list[Tensor], nx: Tensor, ny: Tensor, nz: Tensor) -> Tensor:
        """(N,) light from all round that is left where floor and walls meet."""
        low, high = self.scene.low, self.scene.high
        gap = torch.minimum(point[0] - low[0], high[0] - point[0]) + 9 * nx.abs()
        gap = torch.minimum(gap, torch.minimum(point[2] - low[2], high[2] - point[2]) + 9 * nz.abs())
        gap = torch.minimum(gap, point[1] + 9 * ny.abs()).clamp_min_(0)
        return gap.mul_(-3.0).exp_().mul_(-0.4).add_(1)

    def _add_boxes(self, camera: Camera, fields: list[Tensor]) -> None:
        if not self.scene.boxes:
            return
        count, boxes = len(camera.rotation), len(self.scene.boxes)
        corners = np.broadcast_to(self._corners, (count, *self._corners.shape))
        seen = self._tensor(camera.to_camera(corners.copy())).reshape(-1, 8, 3)
        rays = self.rays
        bounds = image_bounds(seen, torch.zeros(1, 8, device=self.device), rays.width, rays.height, rays.intrinsics)
        pairs = candidates(bounds, count, rays.width, rays.height)
        number = pairs.item - pairs.frame * boxes
        rows = self._boxes.index_select(1, number)
        way, start = self._world_rays(camera, pairs)
        t, face = geometry.cast_boxes(rows, way, start)
        seen_ = keep_nearest(fields[0], pairs.pixel, t)
        pixel, t, face, number = (part.index_select(0, seen_) for part in (pairs.pixel, t, face, number))
        rows = rows.index_select(1, seen_)
        way, start = ([part.index_select(0, seen_) for part in parts] for parts in (way, start))
        offset = (start[0] - rows[0], start[1] - rows[1], start[2] - rows[2])
        local, ahead = [], []
        for axis in range(3):
            own = (rows[6 + 3 * axis], rows[7 + 3 * axis], rows[8 + 3 * axis])
            ahead.append(geometry.dot(own, (way[0], way[1], way[2])))
            local.append(geometry.dot(own, offset) + t * ahead[-1])
        on_x, on_y = face == 0, face == 1
        u, v = torch.where(on_x, local[2], local[0]), torch.where(on_y, local[2], local[1])
        against = torch.where(on_x, ahead[0], torch.where(on_y, ahead[1], ahead[2])) < 0
        self._write(fields, pixel, (u, v, 12 + 6 * number + 2 * face + against))

    def _add_poles(self, camera: Camera, fields: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Draws the poles; returns all facets' normals (3, K) and materials (K,)."""
        if not self.scene.poles:
            return self._normals, self._kinds
        count, poles, rays = len(camera.rotation), len(self.scene.poles), self.rays
        ends = np.broadcast_to(self._ends, (count, *self._ends.shape))
        seen = self._tensor(camera.to_camera(ends.copy())).reshape(-1, 2, 3)
        radius = self._tensor(self._radius).expand(count, poles, 2).reshape(-1, 2)
        table = geometry.cone_table(seen, radius)
        bounds = image_bounds(seen, radius, rays.width, rays.height, rays.intrinsics)
        pairs = candidates(bounds, count, rays.width, rays.height)
        x, y = rays.through(pairs)
        t, s = geometry.cast_cones(table.index_select(1, pairs.item), (x, y, torch.ones((), device=self.device)))
        won = keep_nearest(fields[0], pairs.pixel, t)
        pairs, t, s = pairs[won], t.index_select(0, won), s.index_select(0, won)
        x, y = rays.through(pairs)
        rows = table.index_select(1, pairs.item)
        normal = geometry.cone_normals(rows, (x * t, y * t, t), s)
        turn = self._tensor(camera.rotation.transpose(2, 1, 0)).reshape(9, -1).index_select(1, pairs.frame)
        world = [geometry.dot((turn[3 * a], turn[3 * a + 1], turn[3 * a + 2]), normal) for a in range(3)]
        along = s * rows[8].sqrt()
        around = torch.atan2(world[0], world[2]) * (rows[6] - s * rows[7])
        kind = self._pole_kind.index_select(0, pairs.item - pairs.frame * poles)
        facet = torch.arange(len(kind), dtype=torch.int32, device=self.device) + len(self._kinds)
        self._write(fields, pairs.pixel, (around, along, facet))
        return torch.cat([self._normals, torch.stack(world)], 1), torch.cat([self._kinds, kind])

    def _world_rays(self, camera: Camera, pairs: Candidates) -> tuple[geometry.Vector, geometry.Vector]:
        turn = self._tensor(camera.rotation.transpose(2, 1, 0)).reshape(9, -1).index_select(1, pairs.frame)
        eye = self._tensor(camera.centre.T).index_select(1, pairs.frame)
        x, y = self.rays.through(pairs)
        way = tuple(turn[3 * a] * x + turn[3 * a + 1] * y + turn[3 * a + 2] for a in range(3))
        return (way[0], way[1], way[2]), (eye[0], eye[1], eye[2])

    @staticmethod
    def _write(fields: list[Tensor], pixel: Tensor, values: tuple[Tensor, ...]) -> None:
        """Overwrite all fields but the depth, which is written already."""
        index = pixel.to(torch.int64)
        for part, value in zip(fields[1:], values, strict=True):
            part.index_copy_(0, index, value)

    @staticmethod
    def _along(axis: Array, vector: Sequence[Tensor] | Tensor) -> Tensor:
        return vector[0] * float(axis[0]) + vector[1] * float(axis[1]) + vector[2] * float(axis[2])

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.device)
