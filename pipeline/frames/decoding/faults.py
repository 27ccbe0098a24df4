"""Find which packets of a video are damaged, and which frames are predicted from them."""

from __future__ import annotations

from .packets import DAMAGED, HEADLESS, UNPLACED, PacketIndex

CUT_OFF = "promised by the container, not delivered: the file is cut off"
CHANGED = "the file changed while it was read"
LOST = "cannot be decoded"
FLAWED = "decoded with errors"
MARKED = "the packet is damaged"
NO_KEYFRAME = "the keyframe before it is not in the file"
NO_NUMBER = "a loss before it leaves open which frame it is"
_DEFECTS = {DAMAGED: MARKED, HEADLESS: NO_KEYFRAME, UNPLACED: NO_NUMBER}


class Faults:
    """What is known of damage while packets are decoded in order.

    ignored   a group whose faults may come from not having seen the one before it
    """

    def __init__(self, index: PacketIndex, ignored: int | None) -> None:
        self.index, self.ignored = index, ignored
        self.reasons: dict[int, str] = {}
        self.first: dict[tuple[int, bool], int] = {}  # (group, leading) -> its first damaged packet
        self.gradual: set[int] = set()  # groups that do not begin with a whole picture but refresh it bit by bit
        self.group: int | None = None  # the first group found damaged

    def add(self, ordinal: int, reason: str) -> None:
        """Note that a packet is damaged; if it is the second field of a frame, that frame is."""
        if self.index.owner[ordinal] >= 0:
            ordinal = int(self.index.owner[ordinal])
        group, leading = int(self.index.group[ordinal]), bool(self.index.leading[ordinal])
        if group == self.ignored:
            return
        self.reasons.setdefault(ordinal, reason)
        self.first[group, leading] = min(ordinal, self.first.get((group, leading), ordinal))
        self.group = group if self.group is None else min(group, self.group)

    def lost(self, ordinal: int) -> None:
        """Note that a packet's frame did not come."""
        self.add(ordinal, _DEFECTS.get(int(self.index.defect[ordinal]), LOST))

    def verdict(self, ordinal: int) -> str | None:
        """Return why the frame is not sound, or None."""
        if ordinal in self.reasons:
            return self.reasons[ordinal]
        group = int(self.index.group[ordinal])
        # A keyframe and what is shown after it hold together; what is shown before it hangs on the group before, too.
        chains = [(group, False)]
        if self.index.leading[ordinal]:
            chains += [(group, True), (group - 1, False)]
        if group in self.gradual:
            chains += [(group - 1, False)]
        culprit = min(self.first.get(chain, ordinal) for chain in chains)
        if culprit >= ordinal:
            return None
        number = self.index.number[culprit]
        return f"predicted from damaged frame {number}" if number >= 0 else "predicted from a damaged hidden picture"
