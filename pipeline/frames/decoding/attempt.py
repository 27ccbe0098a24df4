"""One attempt to decode a stretch of a video: the result of each packet, and what of that is sound."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal, NamedTuple

import av
import numpy as np
from av.video.frame import PictureType

from .faults import FLAWED, LOST, Faults
from .packets import DAMAGED, SOUND, PacketIndex

# A frame that was overtaken by so many others in the decoder will not come: no standard lets more pass.
_OVERTAKEN = 17
# Threads that FFmpeg takes at most by itself, and so packets that it has in hand at a time.
_MOST_THREADS = 16


class Event(NamedTuple):
    """What happened in the decoder: a frame came, a packet failed, or all before a packet came that will come."""

    kind: Literal["frame", "failed", "drained"]
    ordinal: int
    frame: av.VideoFrame | None = None


class Attempt:
    """What one attempt has found: which packets are settled, that is, gave their frame or never will.

    wanted    numbers of frames to keep
    start     the group at which decoding begins
    careful   with one thread, so that what fails is known; goes on behind damage
    lost_track   what came was not what the index has there
    """

    def __init__(self, index: PacketIndex, wanted: Container[int], start: int, threads: int, careful: bool) -> None:
        self.index, self.wanted, self.careful = index, wanted, careful
        self.delay = max(threads, _MOST_THREADS)
        ignored = start if careful and not index.closed[start] else None
        self.faults = Faults(index, ignored)
        # What is shown before the start is not looked at.
        self.from_number, self.from_packet = int(index.group_first[start]), int(index.group_start[start])
        self.settled = index.number < self.from_number
        self.settled[: self.from_packet] = True
        self.settled_below = self.from_packet
        self.due = self.from_number  # the number expected next
        self.failed: set[int] = set()
        self.late: dict[int, int] = {}  # numbers that later ones have overtaken, and by how many
        self.kept: dict[int, av.VideoFrame | None] = {}
        self.lost_track = False

    def take(self, event: Event) -> None:
        if event.kind == "frame":
            self._came(event.ordinal, event.frame)
        elif event.kind == "failed":
            self._failed(event.ordinal)
        else:
            for ordinal in np.flatnonzero(~self.settled[: event.ordinal]).tolist():
                self._lose(ordinal)
            self.late.clear()
        while self.settled_below < len(self.settled) and self.settled[self.settled_below]:
            self.settled_below += 1

    def is_settled(self, number: int) -> bool:
        """A frame leaves when it, and everything decoded before it, is settled."""
        return number in self.kept and int(self.index.ordinal[number]) < self.settled_below

    def result(self, number: int) -> av.VideoFrame | str:
        frame = self.kept.pop(number)
        verdict = self.faults.verdict(int(self.index.ordinal[number]))
        return verdict or (LOST if frame is None else frame)

    def _came(self, ordinal: int, frame: av.VideoFrame | None) -> None:
        if not 0 <= ordinal < len(self.settled) or self.settled[ordinal] or frame is None:
            return
        number = int(self.index.number[ordinal])
        self._settle(ordinal, frame)
        if self.index.defect[ordinal] != SOUND:
            self.faults.lost(ordinal)
        elif frame.is_corrupt or ordinal in self.failed:
            self.faults.add(ordinal, FLAWED)
        if frame.pict_type != PictureType.I and ordinal == self.index.group_start[self.index.group[ordinal]]:
            self.faults.gradual.add(int(self.index.group[ordinal]))
        for passed in range(self.due, number):
            if not self.settled[self.index.ordinal[passed]]:
                self.late[passed] = 0
        self.due = max(self.due, number + 1)
        self.late.pop(number, None)
        for passed in [n for n in self.late if n < number]:
            self.late[passed] += 1
            lost = int(self.index.ordinal[passed])
            if not self.careful or lost in self.failed or self.late[passed] > _OVERTAKEN:
                del self.late[passed]
                self._lose(lost)

    def _failed(self, ordinal: int) -> None:
        owner = int(self.index.owner[ordinal])
        if self.index.defect[ordinal] == DAMAGED:
            if not self.settled[ordinal]:
                self._lose(ordinal)
        elif not self.careful:
            # With threads, it was this packet or one shortly before.
            recent = np.arange(max(ordinal - self.delay, self.from_packet), ordinal + 1)
            if (self.index.owner[recent] < 0).any() or (self.index.number[recent] >= self.from_number).any():
                self.faults.add(ordinal, FLAWED)
        elif owner == ordinal:
            self.failed.add(ordinal)
        elif owner < 0 or self.index.number[owner] >= self.from_number:
            self.faults.add(ordinal, FLAWED)

    def _lose(self, ordinal: int) -> None:
        self.faults.lost(ordinal)
        self._settle(ordinal, None)

    def _settle(self, ordinal: int, frame: av.VideoFrame | None) -> None:
        self.settled[ordinal] = True
        number = int(self.index.number[ordinal])
        if number in self.wanted:
            self.kept[number] = frame
