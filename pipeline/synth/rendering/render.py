"""The ray caster: frames of people in a scene, with exact depth, in batches of tensors on one device.

Nothing is traced that cannot be hit: each round cone is tested in the rectangle of pixels that bounds it, the nearest
of all hits is found by one scatter, and only what is seen is shaded. What stands still is drawn once where the camera
stands still too. Shadows are looked up in depth maps drawn the same way from the light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..scene.camera import Camera
from ..scene.scene import Crowd, Look, Scene
from ..scene.texture import Material, Wardrobe
from ..seeding import Array, seeded
from . import geometry
from .backdrop import Backdrop, Layer, Rays
from .raster import Candidates, candidates, image_bounds, keep_nearest, one_of_each
from .shadow import Lamp, ShadowMap

_NOISE, _OFFSETS = 2**18, 2**13  # length of the strip of noise, and at how many places of it a frame may begin


@dataclass(frozen=True)
class Frames:
    """B rendered frames.

    image   (B, H, W, 3) uint8, RGB
    depth   (B, H, W) float32, metres along the optical axis
    person  (B, H, W) uint8: 0 nobody, 1 the subject, 2.. passers-by
    hidden  (B, people) float32: share of a person's pixels within the frame that something else covers; NaN: none
    """

    image: Tensor
    depth: Tensor
    person: Tensor
    hidden: Tensor


class Renderer:
    """Draws one scene with one look at one image size.

    materials  the people's, six each, in the order of `Crowd.material`
    camera     all frames' cameras: says the image size, and whether it ever moves
    seed       of the sensor's noise
    """

    def __init__(
        self,
        scene: Scene,
        materials: tuple[Material, ...],
        look: Look,
        camera: Camera,
        seed: str,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self._look, self._seed = look, seed
        self._rays = Rays.of(camera, self.device)
        self._lamp = Lamp(scene, self.device)
        self._wardrobe = Wardrobe(scene.materials + materials, self.device)
        self._first_material = len(scene.materials)
        self._backdrop = Backdrop(scene, self._lamp, self._wardrobe, self._rays)
        x, y = self._rays.grid
        edge = (x / x.abs().max()) ** 2 + (y / y.abs().max()) ** 2
        balance = self._tensor(np.array(look.balance))[:, None]
        self._gain = balance * look.exposure * (1 - look.vignette * edge / 2)  # (3, P)
        strip = seeded("noise", seed).standard_normal(_NOISE + _OFFSETS, dtype=np.float32)
        self._noise = torch.from_numpy(strip).to(self.device) * look.noise
        still = len(np.unique(np.c_[camera.rotation.reshape(-1, 9), camera.translation].round(9), axis=0)) == 1
        self._still = self._backdrop.layer(camera[:1]) if still else None
        if self._still:
            self._full = self._still.diffuse + self._still.direct

    def frames(self, camera: Camera, crowd: Crowd, numbers: Array) -> Frames:
        """Draw B frames: `camera` and `crowd` at those instants; `numbers` (B,) seed each frame's noise."""
        count, pixels = len(numbers), self._rays.width * self._rays.height
        layer = self._still or self._backdrop.layer(camera)
        full = self._full if self._still else layer.diffuse + layer.direct
        colour = full.expand(3, count, pixels).reshape(3, -1).clone()
        depth = layer.depth.expand(count, pixels).reshape(-1).clone()
        shadows = self._lamp.moving(crowd)
        self._cast_shadows(layer, colour, shadows, count)
        person, hidden = self._draw_people(camera, crowd, colour, depth, shadows)
        shape = (count, self._rays.height, self._rays.width)
        image = self._develop(colour.view(3, *shape), numbers)
        return Frames(image, depth.view(shape), person.view(shape), hidden)

    def _cast_shadows(self, layer: Layer, colour: Tensor, shadows: ShadowMap, count: int) -> None:
        """Take the lamp's light from colour (3, B P) where people stand in it."""
        pixels = self._rays.width * self._rays.height
        u, v = (part.expand(count, pixels) for part in layer.place[:2])
        middle = shadows.corner[..., None] + shadows.half
        near = ((u - middle[0]).abs_() < shadows.half) & ((v - middle[1]).abs_() < shadows.half)
        near &= layer.direct[1] > 0
        index = torch.nonzero(near.view(-1))[:, 0].to(torch.int32)
        frame = torch.div(index, pixels, rounding_mode="floor")
        source = index if len(layer.depth) > 1 else index - frame * pixels
        place = layer.place.view(3, -1)
        dark = 1 - shadows.lit(frame, *(part.index_select(0, source) for part in place))
        some = torch.nonzero(dark)[:, 0]
        index, source, dark = (part.index_select(0, some) for part in (index, source, dark))
        for channel, direct in zip(colour, layer.direct.view(3, -1), strict=True):
            channel.index_add_(0, index, dark * direct.index_select(0, source), alpha=-1)

    def _draw_people(
        self, camera: Camera, crowd: Crowd, colour: Tensor, depth: Tensor, shadows: ShadowMap
    ) -> tuple[Tensor, Tensor]:
        """Draw everybody into colour (3, B P) and depth (B P,); returns `Frames.person`, flat, and `Frames.hidden`."""
        rays, (count, cones) = self._rays, crowd.ends.shape[:2]
        ends = self._tensor(camera.to_camera(crowd.ends)).reshape(-1, 2, 3)
        radius = self._tensor(crowd.radius).expand(count, cones, 2).reshape(-1, 2)
        table = geometry.cone_table(ends, radius)
        bounds = image_bounds(ends, radius, rays.width, rays.height, rays.intrinsics)
        pairs = candidates(bounds, count, rays.width, rays.height)
        x, y = rays.through(pairs)
        t, s = geometry.cast_cones(table.index_select(1, pairs.item), (x, y, torch.ones((), device=self.device)))
        met = torch.nonzero(t < torch.inf)[:, 0]
        pairs, t, s = pairs[met], t.index_select(0, met), s.index_select(0, met)

        owner = torch.from_numpy(np.tile(crowd.owner, count).astype(np.int32)).to(self.device)
        owner = owner.index_select(0, pairs.item)
        group = owner * count + pairs.frame
        first = one_of_each(owner * len(depth) + pairs.pixel, crowd.people * len(depth))
        whole = torch.bincount(group.index_select(0, first), minlength=crowd.people * count)
        won = keep_nearest(depth, pairs.pixel, t)
        pairs, t, s = pairs[won], t.index_select(0, won), s.index_select(0, won)
        person = torch.zeros(len(depth), dtype=torch.uint8, device=self.device)
        person[pairs.pixel] = (owner.index_select(0, won) + 1).to(torch.uint8)
        light = self._shade(camera, crowd, table, pairs, t, s, shadows)
        for channel, value in zip(colour, light, strict=True):
            channel.index_copy_(0, pairs.pixel.to(torch.int64), value)

        seen = torch.bincount(group.index_select(0, won), minlength=crowd.people * count)
        hidden = torch.where(whole > 0, 1 - seen / whole.clamp_min(1), torch.nan)
        return person, hidden.view(crowd.people, count).T.contiguous()

    def _shade(
        self, camera: Camera, crowd: Crowd, table: Tensor, pairs: Candidates, t: Tensor, s: Tensor, shadows: ShadowMap
    ) -> Tensor:
        """(3, M) the light that M seen points of people send."""
        count = len(crowd.ends)
        x, y = self._rays.through(pairs)
        point = (x * t, y * t, t)
        rows = table.index_select(1, pairs.item)
        normal = geometry.cone_normals(rows, point, s)

        # Where on the cloth: across the front and a little round the side, and along the bone.
        axes = np.einsum("tab,tnbc->cant", camera.rotation, crowd.frame).transpose(0, 1, 3, 2)
        axes = self._tensor(axes).reshape(9, -1).index_select(1, pairs.item)
        local = (point[0] - rows[0], point[1] - rows[1], point[2] - rows[2])
        u = geometry.dot(local, (axes[0], axes[1], axes[2])) + 0.5 * geometry.dot(local, (axes[6], axes[7], axes[8]))
        v = geometry.dot(local, (axes[3], axes[4], axes[5]))
        kinds = np.tile(crowd.material + self._first_material, (count, 1)).astype(np.int32)
        first, second = torch.from_numpy(np.ascontiguousarray(kinds.T)).to(self.device).index_select(1, pairs.item)
        cut = self._tensor(np.tile(crowd.cut, count)).index_select(0, pairs.item)
        material = torch.where(s < cut, first, second)
        surface = self._wardrobe.reflectance(material, u, v, t / self._rays.intrinsics[0], smooth=False)

        # From each frame's camera to the lamp's axes.
        lamp = self._lamp
        turn = lamp.frame @ camera.rotation.swapaxes(-1, -2)
        offset = camera.centre @ lamp.frame.T
        up = camera.rotation[:, :, 1]
        frames = self._tensor(np.concatenate([turn.reshape(-1, 9), offset, up], axis=1).T).index_select(1, pairs.frame)
        to_lamp = [(frames[3 * a], frames[3 * a + 1], frames[3 * a + 2]) for a in range(3)]
        facing = -geometry.dot(normal, to_lamp[2])
        # The point is pushed out along its normal, so that a limb does not shade itself at its own edge.
        off = (point[0] + 0.02 * normal[0], point[1] + 0.02 * normal[1], point[2] + 0.02 * normal[2])
        spot = [geometry.dot(off, to_lamp[a]) + frames[9 + a] for a in range(3)]
        lit = facing.clamp_min_(0) * shadows.lit(pairs.frame, *spot) * lamp.static.lit(None, *spot)
        upward = geometry.dot(normal, (frames[12], frames[13], frames[14]))
        return surface.mul_(lamp.ambient(upward).addcmul_(lamp.key, lit))

    def _develop(self, colour: Tensor, numbers: Array) -> Tensor:
        """Linear light (3, B, H, W) to (B, H, W, 3) uint8: exposure, blur, tone curve, noise. Overwrites its input."""
        count = colour.shape[1]
        colour.view(3, count, -1).mul_(self._gain[:, None])
        if self._look.blur > 0:
            for axis in (2, 3):
                colour = _soften(colour, axis, self._look.blur)
        colour = colour.clamp_min_(0).sqrt_()  # near the eye's curve, and it evens out shot noise
        if self._look.noise > 0:
            for index, number in enumerate(numbers):
                starts = seeded("frame", self._seed, int(number)).integers(0, _OFFSETS, 3)
                for channel, start in enumerate(starts):
                    for piece in colour[channel, index].view(-1).split(_NOISE):
                        piece += self._noise[start : start + len(piece)]
        levels = colour.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
        return levels.permute(1, 2, 3, 0).contiguous()

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.device)


def _soften(colour: Tensor, axis: int, share: float) -> Tensor:
    """Each pixel gives `share` of its light to both neighbours along an axis; the border keeps what would leave it."""
    last = colour.shape[axis] - 1
    out = colour * (1 - 2 * share)
    out.narrow(axis, 1, last).add_(colour.narrow(axis, 0, last), alpha=share)
    out.narrow(axis, 0, last).add_(colour.narrow(axis, 1, last), alpha=share)
    out.select(axis, 0).add_(colour.select(axis, 0), alpha=share)
    out.select(axis, last).add_(colour.select(axis, last), alpha=share)
    return out
