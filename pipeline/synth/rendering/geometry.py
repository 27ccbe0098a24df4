"""Rays against round cones, boxes and the inside of a room: closed formulas over arrays of pairs.

A ray is o + t d with d of any length; for camera rays d = (x, y, 1), so that t is depth along the optical axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NEAR = 0.05  # metres: nothing nearer than this is seen
Vector = tuple[Tensor, Tensor, Tensor]


def dot(a: Vector, b: Vector) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cone_table(ends: Tensor, radius: Tensor) -> Tensor:
    """Precompute what the ray test needs to know of N round cones: (10, N) from ends (N, 2, 3) and radius (N, 2).

    Rows: first end (3), axis to the second (3), first radius, difference of radii, |axis|^2, |axis|^2 - difference^2.
    """
    a, axis = ends[:, 0], ends[:, 1] - ends[:, 0]
    first, less = radius[:, 0], radius[:, 0] - radius[:, 1]
    square = (axis**2).sum(-1)
    return torch.stack([*a.T, *axis.T, first, less, square, (square - less**2).clamp_min(1e-9)])


def cast_cones(cones: Tensor, direction: Vector, origin: Vector | None = None) -> tuple[Tensor, Tensor]:
    """Find the first entry of each ray into its round cone.

    cones      (10, N) columns of `cone_table`, one a ray
    direction  three (N,); origin three (N,), by default the zero point
    Returns t (N,), inf for a miss, and s (N,) in 0..1: which of the cone's balls is touched.

    The cone is the union of balls about a + s v with radius r - s q, 0 <= s <= 1. With w the ray's point relative to a,
    the envelope of all balls is E (|w|^2 - r^2) = (w.v - q r)^2 with E = |v|^2 - q^2, touched at s = (w.v - q r) / E;
    it counts where s is within 0..1, and the two end balls count beside it. Everything is measured from the ray's
    closest approach to a: the differences stay small, and single precision is good to a fraction of a millimetre.
    """
    ax, ay, az, vx, vy, vz, r, q, vv, e = cones
    d = direction
    if origin is not None:
        ax, ay, az = ax - origin[0], ay - origin[1], az - origin[2]
    dd = dot(d, d)
    near = dot(d, (ax, ay, az)) / dd
    w = (near * d[0] - ax, near * d[1] - ay, near * d[2] - az)
    v = (vx, vy, vz)
    dv, wv, ww = dot(d, v), dot(w, v), dot(w, w)
    excess = ww - r * r
    c = wv - q * r
    qa = e * dd - dv * dv
    qb = -c * dv
    root = qb * qb - qa * (e * excess - c * c)
    miss = torch.full_like(root, torch.inf)
    side = (-qb - root.clamp_min(0).sqrt()) / torch.where(qa.abs() < 1e-12, torch.full_like(qa, 1e-12), qa)
    s = (c + side * dv) / e
    side = torch.where((root >= 0) & (s >= 0) & (s <= 1), side, miss)
    first = -excess * dd
    first = torch.where(first >= 0, -first.clamp_min(0).sqrt() / dd, miss)
    last = dv * dv - dd * (ww - 2 * wv + vv - (r - q) ** 2)
    last = torch.where(last >= 0, (dv - last.clamp_min(0).sqrt()) / dd, miss)
    t = torch.minimum(torch.minimum(side, first), last)
    s = torch.where(t == side, s, torch.where(t == first, torch.zeros_like(s), torch.ones_like(s))).clamp(0, 1)
    t = t + near
    return torch.where(t > NEAR, t, miss), s


def cone_normals(cones: Tensor, point: Vector, s: Tensor) -> Vector:
    """Return outward unit normals where `cast_cones` touched: away from the centre of the ball that is touched."""
    ax, ay, az, vx, vy, vz, *_ = cones
    x, y, z = point[0] - ax - s * vx, point[1] - ay - s * vy, point[2] - az - s * vz
    scale = torch.rsqrt((x * x + y * y + z * z).clamp_min(1e-12))
    return x * scale, y * scale, z * scale


def box_table(centre: Tensor, half: Tensor, axes: Tensor) -> Tensor:
    """Return (15, N) of N boxes: centre (N, 3), half sizes (N, 3), axes (N, 3, 3), the box's own x, y, z as rows."""
    return torch.cat([centre.T, half.T, axes.reshape(-1, 9).T])


def cast_boxes(boxes: Tensor, direction: Vector, origin: Vector | None = None) -> tuple[Tensor, Tensor]:
    """Find the entry of each ray into its box: t (N,), inf for a miss or from inside, and the face's axis (N,)."""
    cx, cy, cz, hx, hy, hz, *axes = boxes
    zero = torch.zeros_like(cx)
    ox, oy, oz = (zero, zero, zero) if origin is None else origin
    start = (ox - cx, oy - cy, oz - cz)
    enter, leave, face = torch.full_like(cx, -torch.inf), torch.full_like(cx, torch.inf), torch.zeros_like(cx)
    for index, half in enumerate((hx, hy, hz)):
        axis = (axes[3 * index], axes[3 * index + 1], axes[3 * index + 2])
        o, d = dot(axis, start), dot(axis, direction)
        d = torch.where(d.abs() < 1e-9, torch.full_like(d, 1e-9), d)
        middle, extent = -o / d, (half / d).abs()
        face = torch.where(middle - extent > enter, torch.full_like(face, index), face)
        enter, leave = torch.maximum(enter, middle - extent), torch.minimum(leave, middle + extent)
    hit = (enter <= leave) & (enter > NEAR)
    return torch.where(hit, enter, torch.full_like(enter, torch.inf)), face.to(torch.int32)


def leave_room(
    low: Vector, high: Vector, direction: Sequence[Tensor], origin: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Find where rays from inside leave an axis-parallel room: t (N,) and face (N,), 2 axis + (1 for the upper)."""
    # Of an axis' two walls one lies behind and the other ahead; along a wall the quotients are minus and plus infinity.
    x, y, z = (torch.maximum((a - o) / d, (b - o) / d) for a, b, o, d in zip(low, high, origin, direction, strict=True))
    least = torch.minimum(torch.minimum(x, y), z)
    # A float's sign bit, shifted down, is -1 or 0.
    faces = [(d.view(torch.int32) >> 31).add_(2 * axis + 1) for axis, d in enumerate(direction)]
    return least, torch.where(x == least, faces[0], torch.where(y == least, faces[1], faces[2]))


def angular_bounds(centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return least and greatest x/z and y/z (..., 2) of balls (..., 3), camera frame; meaningless where z <= radius."""
    z = centre[..., 2:]
    across = centre[..., :2]
    distance = torch.sqrt(across**2 + z**2)
    spread = torch.asin((radius[..., None] / distance).clamp(max=1))
    middle = torch.atan2(across, z)
    quarter = torch.pi / 2 - 1e-3
    return torch.tan((middle - spread).clamp(-quarter, quarter)), torch.tan((middle + spread).clamp(-quarter, quarter))
