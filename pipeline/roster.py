"""Where workers may be hired: which places there are, which have failed too often, which nodes cannot do the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

PLACES_SECONDS = 5.0
# A place where workers die so often in a row, before one of them finished a shard, is left alone.
STRIKES = 5
# The first deaths may be chance; after that the next worker waits 2^strikes seconds.
FREE_STRIKES = 2


@dataclass(frozen=True)
class Place:
    """Where a worker can be: the index-th of a node."""

    node: str
    host: str
    index: int


class Roster:
    """The places of a job.

    look    where workers can be, as things are now; of every node the lower indices first
    nodes   seconds to wait for new nodes where every node was lost
    """

    def __init__(self, look: Callable[[], Sequence[Place]], nodes: float):
        self.left_out: dict[str, str] = {}  # node -> why no worker is hired there any more
        self._look = look
        self._nodes = nodes
        self._places: Sequence[Place] = ()
        self._next_look = 0.0
        self._strikes: Counter[Place] = Counter()
        self._not_before: dict[Place, float] = {}
        self._scouted: set[str] = set()
        self._empty_since: float | None = None

    def hire(self, taken: Collection[Place], now: float) -> list[Place]:
        """Where to hire now. Of a node one worker loads first: what it fetched and read is at hand for the rest."""
        if now >= self._next_look:
            self._next_look = now + PLACES_SECONDS
            self._places = self._look()
        return [
            place
            for place in self._open(taken)
            if (place.index == 0 or place.node in self._scouted) and now >= self._not_before.get(place, 0.0)
        ]

    def hopeless(self, taken: Collection[Place], now: float) -> bool:
        """Nobody is hired and nobody can be. Nodes that were lost may come back; what is broken stays broken."""
        if taken or self._open(taken):
            self._empty_since = None
            return False
        self._empty_since = now if self._empty_since is None else self._empty_since
        return bool(self._places) or now - self._empty_since >= self._nodes

    def loaded(self, place: Place) -> None:
        self._scouted.add(place.node)

    def finished(self, place: Place) -> None:
        """A worker finished a shard there: whatever happened before was not the place's fault."""
        self._strikes.pop(place, None)

    def died(self, place: Place, now: float) -> None:
        self._strikes[place] += 1
        strikes = self._strikes[place]
        self._not_before[place] = now + (0 if strikes <= FREE_STRIKES else 2**strikes)
        if strikes == STRIKES:
            self._scouted.add(place.node)  # its neighbours may still do
        self._next_look = 0.0

    def leave_out(self, place: Place, reason: str) -> bool:
        """What is wrong with this worker is wrong with its node. Whether that is news."""
        news = place.node not in self.left_out
        self.left_out.setdefault(place.node, f"{reason} ({place.host})")
        return news

    def _open(self, taken: Collection[Place]) -> list[Place]:
        return [
            place
            for place in self._places
            if place not in taken and place.node not in self.left_out and self._strikes[place] < STRIKES
        ]
