"""Index the packets of a video: which are frames, with which numbers, in which groups, and how to find them again.

A frame is a picture that a decoder gives, with the time at which it is shown. A packet that gives neither a picture nor
an error is no frame. A file is one segment, or several, where files were glued together: a segment begins where time
falls back. Each segment is decoded for itself, as if it were a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from ....stores.errors import InvalidValueError
from .demux import StoredPackets, identity_of, read_packets
from .display import Known, deliver_all, deliver_beginnings
from .pictures import COMPLETES, FRAME, UNSURE
from .streams import cut_off
from .timeline import NONE, behind_the_cut, segments, since_first

# What is known of a packet before it is decoded. Only what is DAMAGED is kept from the decoder.
SOUND, DAMAGED, HEADLESS, UNPLACED = 0, 1, 2, 3
_BEGINNING = 64  # packets in which a first group shows whether it is open


@dataclass(frozen=True)
class PacketIndex:
    """A video's P packets in decoding order, and its G groups, each from one keyframe to the next.

    identity     (P, 2) int64  size, and checksum of the beginning: what tells a packet from others after a seek
    position     (P,)   int64  byte of the file at which it begins, as far as FFmpeg says; -1 where it does not
    time         (P,)   int64  when it is shown, in the stream's time base; NONE where that is unknown
    number       (P,)   int64  frame number; -1 where the packet gives no frame of its own
    ordinal      (frame_count,) int64  the packet of each frame
    owner        (P,)   int64  the packet whose frame this one belongs to; -1 where it is shown in no frame
    defect       (P,)   int8   SOUND; DAMAGED: the container or the decoder says so; HEADLESS: its keyframe is not
                        in the file; UNPLACED: a loss before it leaves its number open
    group        (P,)   int64  the group it is decoded in
    leading      (P,)   bool   shown before its group's keyframe (open group): predicted from the group before as well
    group_start  (G,)   int64  a group's first packet
    group_first  (G,)   int64  the number of the first frame shown from a group's keyframe on
    group_place  (G,)   int64  where to seek for a group: a time in the stream's time base, or a byte; NONE: nowhere
    by_byte      `group_place` are bytes
    segment_start (S,)  int64  a segment's first packet
    closed       (G,)   bool   a decoder needs nothing from before the group; so it is for a segment's first
    primed       the decoder must have seen the first packet, which says that others hold two pictures (MPEG-4)
    frame_count  frames delivered
    promised     frames the header promises, or delivered where it promises none or fewer
    unplaced     frames at the end of a cut-off file that belong behind missing ones, and so got no number
    is_cut_off   the file shows that its end is missing
    times        (frame_count,) seconds since the first frame, ascending; empty where the container tells no times
    """

    identity: np.ndarray
    position: np.ndarray
    time: np.ndarray
    number: np.ndarray
    ordinal: np.ndarray
    owner: np.ndarray
    defect: np.ndarray
    group: np.ndarray
    leading: np.ndarray
    group_start: np.ndarray
    group_first: np.ndarray
    group_place: np.ndarray
    by_byte: bool
    segment_start: np.ndarray
    closed: np.ndarray
    primed: bool
    frame_count: int
    promised: int
    unplaced: int
    is_cut_off: bool
    times: np.ndarray

    def find(self, packet: av.Packet) -> int | None:
        """Return which packet this is; None where it is none of them, or looks like others."""
        found = np.flatnonzero((self.identity == identity_of(packet)).all(axis=1))
        if len(found) > 1 and packet.pos is not None:
            found = found[self.position[found] == packet.pos]
        if len(found) > 1 and packet.pts is not None:
            found = found[self.time[found] == packet.pts]
        return int(found[0]) if len(found) == 1 else None

    def holds(self, packet: av.Packet, ordinal: int) -> bool:
        """Return whether packet number `ordinal` is this one."""
        return ordinal < len(self.identity) and tuple(self.identity[ordinal].tolist()) == identity_of(packet)

    def starting_group(self, number: int) -> int:
        """Return the group at which decoding must start to show frame `number`."""
        return max(int(np.searchsorted(self.group_first, number, side="right")) - 1, 0)

    def independent_group(self, group: int) -> int:
        """Return the last group up to this one that needs nothing from before it."""
        return int(np.flatnonzero(self.closed[: group + 1])[-1])

    def last_of_group(self, group: int) -> int:
        """Return the number of the last frame that is decoded in a group, but for such as the next one shows."""
        return (int(self.group_first[group + 1]) if group + 1 < len(self.group_first) else self.frame_count) - 1

    def last_before_independent(self, group: int) -> int:
        """Return the number of the last frame before the next group that needs nothing from before it."""
        following = np.flatnonzero(self.closed[group + 1 :])
        return self.last_of_group(group + int(following[0])) if len(following) else self.frame_count - 1


def packet_index(path: Path) -> PacketIndex:
    """Build the packet index of a video in one pass over the file; it is kept while the file does not change.

    Where only a decoder can tell what is a frame and when it is shown, the pass is one of the decoder.
    """
    stat = path.stat()
    return _packet_index(path, stat.st_size, stat.st_mtime_ns)


def begins_whole(path: Path) -> bool:
    """Whether a decoder gives each of the first frames: none hangs on one that is not in the file."""
    packets = read_packets(path, _BEGINNING)
    if not len(packets.key) or (packets.pts == NONE).any():
        return False
    expected = ~packets.discarded & np.isin(packets.gives, (FRAME, UNSURE))
    begun = deliver_beginnings(path, Known([0], packets.key, expected, packets.corrupt), packets.pts)
    return bool(packets.key[0]) and not begun.silent


@lru_cache(maxsize=16)
def _packet_index(path: Path, size: int, modified: int) -> PacketIndex:
    packets = read_packets(path)
    count = len(packets.key)
    if not count:
        raise InvalidValueError(f"{path} holds a video stream without a single frame; fetch or copy it again")
    starts = [0]
    if packets.timed and packets.falls_back:
        # In MPEG-TS each frame has its times. Elsewhere FFmpeg makes up those of some, not always in order.
        starts = segments(packets.pts, packets.dts, packets.key, 1 if packets.container == "mpegts" else 8)
    segment = np.searchsorted(starts, np.arange(count), side="right") - 1
    shown, expected, defect, key = _display(path, packets, starts, segment)

    # What a cut-off file lacks may belong before some of the frames that it has.
    broken = cut_off(path, packets.container) or bool(packets.corrupt[-1] and packets.container != "mpegts")
    tail = expected & (segment == segment[-1])
    unplaced = np.zeros(count, bool)
    if broken and packets.timed:
        unplaced = tail & (shown >= behind_the_cut(shown[tail], packets.dts[segment == segment[-1]]))
    expected &= ~unplaced
    order = np.lexsort((shown, segment))
    order = order[expected[order]]
    if not len(order):
        raise InvalidValueError(f"{path} holds a video stream without a single frame; fetch or copy it again")
    number = np.full(count, -1, np.int64)
    number[order] = np.arange(len(order))
    owner = np.where(number >= 0, np.arange(count), -1)
    for second in np.flatnonzero(packets.gives == COMPLETES):
        owner[second] = owner[second - 1]

    key[starts] = True
    group, group_start = np.cumsum(key) - 1, np.flatnonzero(key)
    group_first = _first_frames(group_start, starts, segment, shown, order)
    leading = (owner >= 0) & (number[owner] < group_first[group])
    open_groups = np.bincount(group[leading], minlength=len(group_start))
    return PacketIndex(
        identity=packets.identity,
        position=packets.position,
        time=packets.pts,
        number=number,
        ordinal=order,
        owner=owner,
        defect=defect,
        group=group,
        leading=leading,
        group_start=group_start,
        group_first=group_first,
        group_place=_places(packets, group_start),
        by_byte=packets.by_byte,
        segment_start=np.array(starts),
        closed=np.isin(group_start, starts) | (key & packets.resets)[group_start] & (open_groups == 0),
        primed=bool((packets.gives == UNSURE).any()),
        frame_count=len(order),
        promised=max(_promised(packets, len(order) + int(unplaced.sum()), broken), len(order)),
        unplaced=int(unplaced.sum()),
        is_cut_off=broken,
        times=_seconds(packets, order, segment),
    )


def _display(
    path: Path, packets: StoredPackets, starts: list[int], segment: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """When each packet is shown (comparable within a segment), whether it gives a frame, its defect, if it is a key."""
    gives = packets.gives
    expected = ~packets.discarded & np.isin(gives, (FRAME, UNSURE))
    defect = np.where(packets.corrupt, DAMAGED, SOUND)
    # MPEG-TS marks the last packets of a part for the leap to the next one.
    defect[[start - back for start in starts[1:] for back in range(1, 5) if back <= start]] = SOUND
    known = Known(starts, packets.key, expected.copy(), defect == DAMAGED)
    # Without its index, an AVI calls each packet a keyframe.
    keys_known = packets.container != "avi" or packets.intra_only or not packets.key.all()
    sure = keys_known and not (gives == UNSURE).any()
    if packets.timed and sure and _tells_order(packets.pts[expected], segment[expected], packets.may_reorder):
        shown = packets.pts
        begun = deliver_beginnings(path, known, shown)
        expected[list(begun.silent)] = False
        defect[list(begun.headless)] = HEADLESS
    elif sure and not packets.may_reorder:
        shown = np.arange(len(gives))
    else:
        if not keys_known:
            known = known._replace(keys=np.arange(len(gives)) == 0)
        whole = deliver_all(path, known)
        shown = _places_of(whole.came, packets.key)
        expected = np.zeros(len(gives), bool)
        expected[[*whole.came, *whole.failed]] = True
        defect[list(whole.unplaced)] = UNPLACED
        defect[list(whole.failed)] = DAMAGED
        defect[list(whole.headless)] = HEADLESS
        if not keys_known:
            return shown, expected, defect, np.isin(np.arange(len(gives)), list(whole.whole))
    return shown, expected, defect, packets.key.copy()


def _tells_order(pts: np.ndarray, segment: np.ndarray, may_reorder: bool) -> bool:
    """Whether frames can be put in order by their times: all have one, and no two the same where that matters."""
    if (pts == NONE).any():
        return False
    return not may_reorder or len(np.unique(np.stack([segment, pts]), axis=1).T) == len(pts)


def _places_of(came: list[int], key: np.ndarray) -> np.ndarray:
    """Place in the order of display of each packet.

    One that gave no frame has its place behind the one before it, and behind all that is decoded before its keyframe.
    """
    place = np.full(len(key), -1.0)
    place[came] = np.arange(len(came))
    lost = np.ones(len(key), bool)
    lost[came] = False
    latest = behind = -1.0
    for ordinal in range(len(key)):
        if key[ordinal]:
            behind = latest
        if lost[ordinal]:
            place[ordinal] = max(behind, place[ordinal - 1] if ordinal else -1.0) + 1 / (2 * len(key))
        latest = max(latest, place[ordinal])
    return place


def _first_frames(
    group_start: np.ndarray, starts: list[int], segment: np.ndarray, shown: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """The number of the first frame shown from each group's keyframe on."""
    first = np.empty(len(group_start), np.int64)
    bounds = np.searchsorted(segment[order], np.arange(len(starts) + 1))
    begins = frozenset(starts)
    times = shown[order]
    for g, start in enumerate(group_start.tolist()):
        low, high = bounds[segment[start]], bounds[segment[start] + 1]
        first[g] = low if start in begins else low + np.searchsorted(times[low:high], shown[start])
    return np.minimum.accumulate(first[::-1])[::-1]


def _places(packets: StoredPackets, group_start: np.ndarray) -> np.ndarray:
    """Where to seek for each group: a byte at or before its first packet; or a time."""
    if packets.by_byte:
        places = np.maximum.accumulate(packets.position)[group_start]
        return np.where(places < 0, NONE, places)
    times = packets.dts if packets.container == "avi" or (packets.pts[group_start] == NONE).any() else packets.pts
    return times[group_start]


def _promised(packets: StoredPackets, given: int, broken: bool) -> int:
    """Frames that the header promises; of an AVI with empty chunks, only what came can be known."""
    if packets.container == "avi":
        empty = len(np.unique(packets.dts)) < packets.dts.max() + 1
        return packets.chunks if broken and not empty else 0
    if packets.listed is None:
        return 0
    return packets.listed - (int((~packets.discarded).sum()) - given)


def _seconds(packets: StoredPackets, order: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Seconds since the first frame of each frame; empty where they are not known."""
    if packets.container == "avi":  # a chunk's place is the time at which one frame is decoded, and one shown
        return since_first(np.sort(packets.dts[order]), segment[order]) * packets.tick
    times = packets.pts[order]
    known = packets.timed and (times != NONE).all() and (np.diff(times) >= 0)[np.diff(segment[order]) == 0].all()
    return since_first(times, segment[order]) * packets.tick if known else np.empty(0)
