"""Folders of images as sources: in natural order, as they are displayed, with the range that their values have."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ...stores.errors import InvalidValueError
from .names import natural, readable

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
ORIENTATION = 0x0112
# Of these PIL can tell whether they move by their header; a JPEG of several pictures is a photograph with a preview.
_MAY_MOVE = frozenset({"GIF", "PNG", "WEBP"})
# Values of 16 bits that do not use them all were made by cameras of so many.
_BITS = (8, 10, 12, 14, 16)
_LOOKED_AT = 16  # images whose values say how many bits a folder's have
_PNG = b"\x89PNG\r\n\x1a\n"
# Where a PNG can keep how it is turned.
_TURNING = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})


@dataclass(frozen=True)
class Header:
    """The facts of an image's file, without its pixels.

    width, height   px as displayed
    sixteen         its values have 16 bits
    significant     of these, so many were measured, as the file says; None where it says nothing
    pictures        more than one: it moves
    """

    width: int
    height: int
    sixteen: bool
    significant: int | None
    pictures: int


@dataclass(frozen=True)
class ImageFolder:
    """A folder's images, or one image.

    files           in natural order
    width, height   px as displayed, of the first that can be opened
    bits            of values in 16 bits, how many are used: 2^bits - 1 is white
    """

    path: Path
    files: tuple[Path, ...]
    width: int
    height: int
    bits: int

    def read(self, number: int) -> np.ndarray | str:
        """Return (height, width, 3) uint8 RGB as displayed, or why there is none."""
        file = self.files[number]
        try:
            image = _pixels(file, self.bits)
        except Exception as error:  # a file of any content may stand where an image should
            said = (str(error) or type(error).__name__).splitlines()[0]
            return readable(f"cannot be decoded: {said}".replace(str(file), file.name))
        if image.size != (self.width, self.height):
            return f"its size is {image.width} x {image.height}, unlike the folder's {self.width} x {self.height}"
        return np.asarray(image)

    def digest(self) -> str:
        """Return the SHA-256 of file names and sizes."""
        listing = b"\n".join(os.fsencode(file.name) + b" %d" % _size(file) for file in self.files)
        return hashlib.sha256(listing).hexdigest()

    def check(self) -> tuple[str, ...]:
        """List what a user should know, by every image's header. InvalidValueError where sizes differ."""
        headers = [header_of(file) for file in self.files]
        known = [(header, file) for header, file in zip(headers, self.files, strict=True) if header]
        for header, file in known:
            if (header.width, header.height) != (self.width, self.height):
                raise InvalidValueError(
                    f"images of different sizes in {readable(str(self.path))}: {readable(file.name)} is "
                    f"{header.width} x {header.height}, {readable(known[0][1].name)} is {self.width} x {self.height}; "
                    f"give one folder for each size"
                )
        warnings = []
        if len(self.files) > len(known):
            warnings.append(f"{len(self.files) - len(known)} of {len(self.files)} images cannot be opened")
        if self.bits < 16:
            warnings.append(f"images of 16 bits whose values need {self.bits}: {2**self.bits - 1} is taken as white")
        moving = [file for header, file in known if header.pictures > 1]
        if moving:
            named = readable(moving[0].name) + (f" and {len(moving) - 1} more" if len(moving) > 1 else "")
            warnings.append(f"its pictures move, and only the first of each file is taken: {named}")
        return tuple(warnings)


def is_still(path: Path) -> bool:
    """Return whether a file is an image and does not move."""
    header = header_of(path) if path.suffix.lower() in IMAGE_SUFFIXES else None
    return header is not None and header.pictures == 1


def open_images(path: Path) -> ImageFolder:
    """Open a folder's images, and look at few. InvalidValueError where there are none, or none can be opened."""
    files = _images(path)
    first = next((header for header in map(header_of, files) if header), None)
    if first is None:
        raise InvalidValueError(
            f"none of the {len(files)} images in {readable(str(path))} can be opened; fetch or copy them again"
        )
    return ImageFolder(path, tuple(files), first.width, first.height, _significant(files))


def header_of(file: Path) -> Header | None:
    """Read an image's header; None where that is damaged."""
    try:
        with Image.open(file) as image:
            kind = _png_header(file) if image.format == "PNG" else {}
            turned = kind.get("may_turn", True) and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            width, height = (image.height, image.width) if turned else image.size
            sixteen = kind.get("depth") == 16 or image.mode.startswith("I")
            pictures = getattr(image, "n_frames", 1) if image.format in _MAY_MOVE else 1
            return Header(width, height, sixteen, kind.get("significant"), pictures)
    except Exception:  # as above
        return None


def _images(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InvalidValueError(f"{readable(str(path))} holds no images ({kinds}); give a video or a folder of images")
    return sorted(files, key=lambda p: natural(p.name))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a link to nowhere: one image that cannot be opened
        return 0


# Values of 16 bits ----------------------------------------------------------------------------------------------------


def _significant(files: Sequence[Path]) -> int:
    """How many bits the values of a folder's 16-bit images have, one number for all: they are one recording.

    A file may say that all 16 are measured. One that says fewer should have its values scaled up to 16 (PNG, "Sample
    depth scaling"), but where none of those looked at needs more bits than it says, they are not. Where the files say
    nothing, the largest value of those looked at decides.
    """
    places = np.unique(np.linspace(0, len(files) - 1, min(len(files), _LOOKED_AT)).round().astype(int))
    headers = [(header_of(files[place]), files[place]) for place in places]
    looked_at = [(header, file) for header, file in headers if header and header.sixteen]
    if not looked_at or looked_at[0][0].significant == 16:
        return 16
    largest = 0
    for _, file in looked_at:
        with contextlib.suppress(Exception):
            largest = max(largest, int(_values(file).max()))
    stated = looked_at[0][0].significant
    if stated is not None:
        return stated if stated >= 8 and largest < 2**stated else 16
    return next(bits for bits in _BITS if largest < 2**bits)


def _values(file: Path) -> np.ndarray:
    """(H, W) or (H, W, 3) uint16 of a 16-bit image as it is stored. PIL reads only grey ones whole."""
    with Image.open(file) as image:
        if image.mode.startswith("I"):
            values = np.asarray(image)
            return np.clip(values, 0, 65535).astype(np.uint16)
    import cv2

    values = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise ValueError("not an image of 16 bits")
    return values if values.ndim == 2 else np.ascontiguousarray(values[..., 2::-1])


def _pixels(file: Path, bits: int) -> Image.Image:
    """RGB of 8 bits, as displayed."""
    with Image.open(file) as image:
        image.load()
        if image.mode == "F":
            raise ValueError("its values are floating-point numbers, no picture")
        if not image.mode.startswith("I") and (bits == 16 or not _is_sixteen(file, image)):
            return ImageOps.exif_transpose(image).convert("RGB")
        values = _values(file)
        if values.max(initial=0) >= 2**bits:
            raise ValueError(f"its values need more than the {bits} bits of the folder's other images")
        reduced = Image.fromarray((values >> (bits - 8)).astype(np.uint8))
        reduced.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
        return ImageOps.exif_transpose(reduced).convert("RGB")


def _is_sixteen(file: Path, image: Image.Image) -> bool:
    return image.format == "PNG" and _png_header(file).get("depth") == 16


def _png_header(file: Path) -> dict[str, Any]:
    """A PNG's bits a value, of these the significant ones where it says so, and whether it may say how it is turned."""
    found: dict[str, Any] = {"may_turn": False}
    for kind, content in _chunks(file):
        if kind == b"IHDR":
            found["depth"], found["colours"] = content[8], 3 if content[9] & 2 else 1
        elif kind == b"sBIT" and content:
            found["significant"] = max(content[: found["colours"]])  # a byte a channel; the last may be transparency
        elif kind in _TURNING:
            found["may_turn"] = True
    return found


def _chunks(file: Path) -> Iterator[tuple[bytes, bytes]]:
    """A PNG's chunks but its pixels, each with its beginning (PNG, 5.3: length, kind, content, checksum)."""
    with file.open("rb") as stream:
        if stream.read(len(_PNG)) != _PNG:
            return
        while len(header := stream.read(8)) == 8:
            length, kind = int.from_bytes(header[:4]), header[4:]
            content = stream.read(min(length, 16)) if kind != b"IDAT" else b""
            yield kind, content
            stream.seek(length - len(content) + 4, os.SEEK_CUR)
