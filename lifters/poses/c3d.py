"""C3D, the binary file of biomechanics (c3d.org): millimetres, z up. Written by ezc3d."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ...stores.errors import MissingExtraError
from ...stores.format.skeleton import H36M_17
from .poses import Z_UP, PersonPoses

_MM = 1000.0


def require_ezc3d() -> None:
    """Raise MissingExtraError where ezc3d is not installed."""
    try:
        import ezc3d  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("C3D files need ezc3d: pip install 'auglift[c3d]', or leave c3d out") from error


def c3d(person: PersonPoses) -> bytes:
    """Return the file: a point a joint; where the person was not found its residual is -1, which says so in C3D."""
    require_ezc3d()
    import ezc3d

    pose = person.turned(Z_UP) * _MM
    found = np.asarray(np.isfinite(pose).all(axis=-1))  # (T, J)
    file = ezc3d.c3d()
    parameters = file["parameters"]["POINT"]
    parameters["RATE"]["value"] = [person.fps]
    parameters["LABELS"]["value"] = list(H36M_17.joints)
    parameters["UNITS"]["value"] = ["mm"]
    for name, axis in (("X_SCREEN", "+X"), ("Y_SCREEN", "+Z")):
        file.add_parameter("POINT", name, [axis])
    points = np.concatenate([np.where(found[..., None], pose, np.nan), np.ones((*found.shape, 1))], axis=-1)
    file["data"]["points"] = points.transpose(2, 1, 0)
    file["data"]["meta_points"]["residuals"] = np.where(found, 0.0, -1.0).T[None]
    with tempfile.TemporaryDirectory() as folder:  # ezc3d writes files, and no bytes
        path = Path(folder) / "poses.c3d"
        file.write(str(path))
        return path.read_bytes()
