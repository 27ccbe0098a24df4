"""Exact depth of a part of a frame on any grid, one frame at a time: rays against cones, boxes and the room, compiled.

The same formulas as `rendering/geometry.py`, in double precision and without colour: tests compare the two. A grid's
cells are points of the frame, in px with integers at the centres of pixels.
"""

from __future__ import annotations

import math

import numpy as np

from ...uadd.compiled import njit
from ..rendering.geometry import NEAR as _NEAR
from ..seeding import Array

NEAR = float(_NEAR)


@njit(nogil=True)
def draw(out: Array, first: Array, step: float, lens: Array, turn: Array, eye: Array, room: Array, cones: Array,
         boxes: Array) -> None:  # fmt: skip
    """Write depth along the optical axis, m, into `out` (h, w).

    first  (2,) frame px of the first cell, x and y; step: px from a cell to the next
    lens   (4,) fx, fy, cx, cy for coordinates with integers at the centres of pixels
    turn   (3, 3) world to camera; eye (3,) the camera in the world; room (2, 3) its corners
    cones  (N, 8) in the camera's frame: both ends, then both radii; boxes (M, 8): centre and half size in
           the world, cosine and sine of the yaw
    """
    h, w = out.shape
    fx, fy, cx, cy = lens
    for j in range(h):
        y = (first[1] + j * step - cy) / fy
        for i in range(w):
            x = (first[0] + i * step - cx) / fx
            best = math.inf
            for axis in range(3):
                d = turn[0, axis] * x + turn[1, axis] * y + turn[2, axis]
                if d != 0.0:
                    wall = room[1, axis] if d > 0 else room[0, axis]
                    best = min(best, (wall - eye[axis]) / d)
            out[j, i] = best
    grid = np.empty(4)
    for n in range(len(boxes)):
        _box_bounds(boxes[n], turn, eye, grid)
        left, right, top, bottom = _cells(grid, first, step, lens, h, w)
        for j in range(top, bottom):
            y = (first[1] + j * step - cy) / fy
            for i in range(left, right):
                t = _box(boxes[n], turn, eye, (first[0] + i * step - cx) / fx, y)
                if t < out[j, i]:
                    out[j, i] = t
    for n in range(len(cones)):
        _cone_bounds(cones[n], grid)
        left, right, top, bottom = _cells(grid, first, step, lens, h, w)
        for j in range(top, bottom):
            y = (first[1] + j * step - cy) / fy
            for i in range(left, right):
                t = _cone(cones[n], (first[0] + i * step - cx) / fx, y)
                if t < out[j, i]:
                    out[j, i] = t


@njit(nogil=True)
def soften(depth: Array, sigma: float, spare: Array) -> None:
    """Blur `depth` (h, w) in place by a Gaussian; outside the array it goes on as at the edge. spare: (h, w) to use."""
    reach = math.ceil(3 * sigma)
    weights = np.empty(2 * reach + 1, np.float32)
    for k in range(2 * reach + 1):
        weights[k] = math.exp(-0.5 * ((k - reach) / sigma) ** 2)
    weights /= weights.sum()
    h, w = depth.shape
    line = np.empty(max(h, w) + 2 * reach, np.float32)
    for j in range(h):
        for i in range(w + 2 * reach):
            line[i] = depth[j, min(max(i - reach, 0), w - 1)]
        spare[j, :] = 0
        for k in range(2 * reach + 1):
            weight = weights[k]
            for i in range(w):
                spare[j, i] += weight * line[i + k]
    for j in range(h):
        depth[j, :] = 0
        for k in range(2 * reach + 1):
            row, weight = spare[min(max(j + k - reach, 0), h - 1)], weights[k]
            for i in range(w):
                depth[j, i] += weight * row[i]


@njit(nogil=True)
def distort(depth: Array, first: Array, step: float, root: float, gain: float, limit: float, field: Array,
            spacing: float, size: float, scale: float) -> None:  # fmt: skip
    """Put a network's errors into `depth` (h, w), in place: scale x (root + gain x relief + a smooth error).

    root   m, the pelvis; relief beyond `limit` m is not changed by the gain
    field  (K, K) the smooth error at nodes `spacing` px apart, the first at the frame's corner; times `size` m
    """
    h, w = depth.shape
    last = len(field) - 2
    for j in range(h):
        y = max(first[1] + j * step, 0.0) / spacing
        b = min(int(y), last)
        v = y - b
        for i in range(w):
            x = max(first[0] + i * step, 0.0) / spacing
            a = min(int(x), last)
            u = x - a
            above = field[b, a] + (field[b, a + 1] - field[b, a]) * u
            below = field[b + 1, a] + (field[b + 1, a + 1] - field[b + 1, a]) * u
            relief = depth[j, i] - root
            more = (gain - 1) * min(max(relief, -limit), limit)
            depth[j, i] = scale * (depth[j, i] + more + size * (above + (below - above) * v))


@njit(nogil=True)
def _cells(bounds, first, step, lens, h, w):
    """Columns and rows of the grid within bounds of x/z and y/z: left, right, top, bottom, ends excluded."""
    fx, fy, cx, cy = lens
    if bounds[0] > bounds[1]:
        return 0, 0, 0, 0
    left = (bounds[0] * fx + cx - first[0]) / step
    right = (bounds[1] * fx + cx - first[0]) / step
    top = (bounds[2] * fy + cy - first[1]) / step
    bottom = (bounds[3] * fy + cy - first[1]) / step
    return (
        math.floor(min(max(left, 0.0), float(w))),
        math.ceil(max(min(right + 1, float(w)), 0.0)),
        math.floor(min(max(top, 0.0), float(h))),
        math.ceil(max(min(bottom + 1, float(h)), 0.0)),
    )


@njit(nogil=True)
def _cone_bounds(cone, grid):
    """Bounds of x/z and y/z of the hull of two balls: everything of one that reaches behind the camera, nothing of one
    that is there whole."""
    grid[0], grid[1], grid[2], grid[3] = math.inf, -math.inf, math.inf, -math.inf
    if max(cone[2] + cone[6], cone[5] + cone[7]) <= NEAR:
        return
    for end in range(2):
        z, r = cone[3 * end + 2], cone[6 + end]
        if z - r <= NEAR:
            grid[0], grid[1], grid[2], grid[3] = -1e9, 1e9, -1e9, 1e9
            return
        for axis in range(2):
            across = cone[3 * end + axis]
            spread = math.asin(min(r / math.sqrt(across * across + z * z), 1.0))
            middle = math.atan2(across, z)
            grid[2 * axis] = min(grid[2 * axis], math.tan(max(middle - spread, -1.57)))
            grid[2 * axis + 1] = max(grid[2 * axis + 1], math.tan(min(middle + spread, 1.57)))


@njit(nogil=True)
def _cone(cone, x, y):
    """Depth at which the ray (x, y, 1) enters a round cone, inf for a miss: `geometry.cast_cones`."""
    ax, ay, az = cone[0], cone[1], cone[2]
    vx, vy, vz = cone[3] - ax, cone[4] - ay, cone[5] - az
    r, q = cone[6], cone[6] - cone[7]
    vv = vx * vx + vy * vy + vz * vz
    e = max(vv - q * q, 1e-9)
    dd = x * x + y * y + 1.0
    near = (x * ax + y * ay + az) / dd
    wx, wy, wz = near * x - ax, near * y - ay, near - az
    dv, wv = x * vx + y * vy + vz, wx * vx + wy * vy + wz * vz
    ww = wx * wx + wy * wy + wz * wz
    best = math.inf
    c = wv - q * r
    qa, qb = e * dd - dv * dv, -c * dv
    root = qb * qb - qa * (e * (ww - r * r) - c * c)
    if root >= 0 and abs(qa) > 1e-12:
        t = (-qb - math.sqrt(root)) / qa
        if 0 <= (c + t * dv) / e <= 1:
            best = t
    first = (r * r - ww) * dd
    if first >= 0:
        best = min(best, -math.sqrt(first) / dd)
    last = dv * dv - dd * (ww - 2 * wv + vv - (r - q) ** 2)
    if last >= 0:
        best = min(best, (dv - math.sqrt(last)) / dd)
    return best + near if best + near > NEAR else math.inf


@njit(nogil=True)
def _box_bounds(box, turn, eye, grid):
    """As `_cone_bounds`, of a box's corners."""
    grid[0], grid[1], grid[2], grid[3] = math.inf, -math.inf, math.inf, -math.inf
    behind = 0
    for corner in range(8):
        a = box[3] if corner & 1 else -box[3]
        b = box[4] if corner & 2 else -box[4]
        c = box[5] if corner & 4 else -box[5]
        px = box[0] + a * box[6] + c * box[7] - eye[0]
        py = box[1] + b - eye[1]
        pz = box[2] - a * box[7] + c * box[6] - eye[2]
        z = turn[2, 0] * px + turn[2, 1] * py + turn[2, 2] * pz
        if z <= NEAR:
            behind += 1
            continue
        for axis in range(2):
            at = (turn[axis, 0] * px + turn[axis, 1] * py + turn[axis, 2] * pz) / z
            grid[2 * axis] = min(grid[2 * axis], at)
            grid[2 * axis + 1] = max(grid[2 * axis + 1], at)
    if 0 < behind < 8:
        grid[0], grid[1], grid[2], grid[3] = -1e9, 1e9, -1e9, 1e9


@njit(nogil=True)
def _box(box, turn, eye, x, y):
    """Depth at which the ray (x, y, 1) of the camera enters a box from outside, inf for a miss."""
    ox, oy, oz = eye[0] - box[0], eye[1] - box[1], eye[2] - box[2]
    dx = turn[0, 0] * x + turn[1, 0] * y + turn[2, 0]
    dy = turn[0, 1] * x + turn[1, 1] * y + turn[2, 1]
    dz = turn[0, 2] * x + turn[1, 2] * y + turn[2, 2]
    cos, sin = box[6], box[7]
    enter, leave = -math.inf, math.inf
    for axis in range(3):
        if axis == 0:
            o, d = cos * ox - sin * oz, cos * dx - sin * dz
        elif axis == 1:
            o, d = oy, dy
        else:
            o, d = sin * ox + cos * oz, sin * dx + cos * dz
        if abs(d) < 1e-9:
            d = 1e-9
        middle, extent = -o / d, abs(box[3 + axis] / d)
        enter, leave = max(enter, middle - extent), min(leave, middle + extent)
    return enter if enter <= leave and enter > NEAR else math.inf
