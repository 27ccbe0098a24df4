"""Placement: where the next worker may start, given which nodes exist, which are excluded and where workers died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

# Seconds between two looks at which nodes exist.
REFRESH_SECONDS = 5.0
# After so many deaths in a row, with no shard finished in between, no worker starts at a place any more.
MAX_DEATHS = 5
# The first deaths may be chance: the next worker starts at once. After that it waits 2 ** deaths seconds.
DEATHS_WITHOUT_DELAY = 2


@dataclass(frozen=True)
class Place:
    """Room for one worker: the index-th of its node."""

    node: str
    host: str
    index: int


class Placement:
    """The places of a job.

    list_places   returns where workers can run now; on every node, lower indices come first
    nodes         seconds to wait for new nodes after every node was lost
    """

    def __init__(self, list_places: Callable[[], Sequence[Place]], nodes: float):
        self.excluded: dict[str, str] = {}  # node -> why no worker starts there any more
        self._list_places = list_places
        self._nodes = nodes
        self._places: Sequence[Place] = ()
        self._next_refresh = 0.0
        self._deaths: Counter[Place] = Counter()
        self._not_before: dict[Place, float] = {}
        # Nodes that are ready for more than their first worker.
        self._first_loaded: set[str] = set()
        self._empty_since: float | None = None

    def startable(self, occupied: Collection[Place], now: float) -> list[Place]:
        """Return the places where a worker should start now.

        One worker of each node loads first: it fetches and reads the weights, and the others find them in the cache.
        """
        if now >= self._next_refresh:
            self._next_refresh = now + REFRESH_SECONDS
            self._places = self._list_places()
        return [
            place
            for place in self._usable(occupied)
            if (place.index == 0 or place.node in self._first_loaded) and now >= self._not_before.get(place, 0.0)
        ]

    def exhausted(self, occupied: Collection[Place], now: float) -> bool:
        """Tell whether no worker runs and none can start. Lost nodes may come back; broken nodes stay broken."""
        if occupied or self._usable(occupied):
            self._empty_since = None
            return False
        self._empty_since = now if self._empty_since is None else self._empty_since
        return bool(self._places) or now - self._empty_since >= self._nodes

    def loaded(self, place: Place) -> None:
        """Note that a worker has loaded its networks: the node's other workers may start."""
        self._first_loaded.add(place.node)

    def finished(self, place: Place) -> None:
        """Note that a worker finished a shard: the place was not the cause of earlier deaths."""
        self._deaths.pop(place, None)

    def died(self, place: Place, now: float) -> None:
        """Note that a worker died: the next one waits longer, or is not started at all."""
        self._deaths[place] += 1
        deaths = self._deaths[place]
        self._not_before[place] = now + (0 if deaths <= DEATHS_WITHOUT_DELAY else 2**deaths)
        if deaths == MAX_DEATHS:
            self._first_loaded.add(place.node)  # the node's other places may still work
        self._next_refresh = 0.0

    def exclude(self, place: Place, reason: str) -> bool:
        """Exclude the whole node of a place, and tell whether it was not excluded before."""
        new = place.node not in self.excluded
        self.excluded.setdefault(place.node, f"{reason} ({place.host})")
        return new

    def _usable(self, occupied: Collection[Place]) -> list[Place]:
        return [
            place
            for place in self._places
            if place not in occupied and place.node not in self.excluded and self._deaths[place] < MAX_DEATHS
        ]
