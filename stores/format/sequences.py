"""Sequences: what was filmed, where it begins on the frame axis, and the Parquet table of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import CorruptStoreError, InvalidValueError

NAN = float("nan")


@dataclass(frozen=True)
class Sequence:
    """One person filmed by one camera without a cut: `length` frames from `start` on the store's frame axis.

    fps                    frames a second, as stored (after resampling); NaN where unknown
    width, height          frame size, px
    fx, fy, cx, cy         pinhole intrinsics, px; NaN where the camera is not calibrated
    source                 video or image folder, relative to the dataset's root
    """

    id: str
    dataset: str
    subject: str
    action: str
    camera: str
    split: str
    start: int
    length: int
    fps: float
    width: int
    height: int
    source: str
    fx: float = NAN
    fy: float = NAN
    cx: float = NAN
    cy: float = NAN

    @property
    def stop(self) -> int:
        return self.start + self.length


_ARROW_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
ARROW_SCHEMA = pa.schema([(f.name, _ARROW_TYPES[str(f.type)]) for f in fields(Sequence)])

# Columns that `select` takes values of; any other question is an Arrow expression.
KEYS = ("id", "dataset", "subject", "action", "camera", "split")


class SequenceTable:
    """The sequences of a store, in the order of the frame axis; behaves as a tuple of `Sequence`."""

    def __init__(self, table: pa.Table):
        self.table = table.select(ARROW_SCHEMA.names).cast(ARROW_SCHEMA)

    @classmethod
    def from_sequences(cls, sequences: Iterable[Sequence]) -> SequenceTable:
        """Build the table. InvalidValueError where ids repeat, or sequences do not follow one another from frame 0."""
        table = cls(pa.Table.from_pylist([vars(row) for row in sequences], schema=ARROW_SCHEMA))
        fault = table.fault()
        if fault:
            raise InvalidValueError(fault)
        return table

    @classmethod
    def from_parquet(cls, data: bytes) -> SequenceTable:
        try:
            # ParquetFile, not read_table: that one imports pandas where it is installed, a second for nothing.
            return cls(pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read())
        except (pa.ArrowException, KeyError, OSError, ValueError) as error:
            raise CorruptStoreError(f"sequences.parquet cannot be read ({error}); run auglift-prep again") from error

    def fault(self) -> str | None:
        """Return why this is not a store's whole table, in one line; None where it is.

        Every sequence begins where the one before it ends, the first at frame 0; ids are unique; what is not
        known is an empty string or NaN, never null.
        """
        for name in ARROW_SCHEMA.names:
            if self.table[name].null_count:
                row = self.table[name].is_null().to_pylist().index(True)
                return f"the {name} of sequence {row} is null; only auglift-prep writes this table"
        ids = self.table["id"]
        if len(ids.unique()) != len(ids):
            counts = ids.value_counts()
            repeated = [entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1]
            return f"sequence ids repeat: {', '.join(sorted(repeated)[:5])}; give each source its own"
        starts, lengths = self.starts, self.lengths
        expected = np.cumsum(lengths) - lengths
        wrong = np.flatnonzero((starts != expected) | (lengths < 1))
        if len(wrong):
            row = self[int(wrong[0])]
            return (
                f"sequence '{row.id}' has frames {row.start} to {row.stop}; expected to begin at {expected[wrong[0]]} "
                "and to hold at least one frame"
            )
        return None

    def to_parquet(self) -> bytes:
        """Return the table as the bytes of a Parquet file; the same table gives the same bytes."""
        sink = io.BytesIO()
        pq.write_table(self.table, sink, compression="zstd", write_page_checksum=True)
        return sink.getvalue()

    def __len__(self) -> int:
        return self.table.num_rows

    def __iter__(self) -> Iterator[Sequence]:
        return (Sequence(**row) for row in self.table.to_pylist())

    def __getitem__(self, index: int) -> Sequence:
        return Sequence(**self.table.slice(index if index >= 0 else len(self) + index, 1).to_pylist()[0])

    @property
    def starts(self) -> np.ndarray:
        """(S,) int64: first frame of each sequence."""
        return self.table["start"].to_numpy()

    @property
    def lengths(self) -> np.ndarray:
        """(S,) int64: frames of each sequence."""
        return self.table["length"].to_numpy()

    @property
    def frames(self) -> int:
        """Frames the sequences hold together."""
        return pc.sum(self.table["length"]).as_py() or 0  # type: ignore[attr-defined]

    def values(self, key: str) -> list[str]:
        """Return the distinct values of a column, sorted."""
        return sorted(self.table[key].unique().to_pylist())

    def select(self, expression: pc.Expression | None = None, **keys: str | Iterable[str] | None) -> SequenceTable:
        """Return the sequences whose columns have one of the given values, and for which the Arrow expression holds.

        InvalidValueError, with what there is, where none does.
        """
        chosen = self.table
        for key, value in keys.items():
            if key not in KEYS:
                raise InvalidValueError(f"sequences are selected by {', '.join(KEYS)}, not by '{key}'")
            if value is not None:
                values = [value] if isinstance(value, str) else list(value)
                chosen = chosen.filter(pc.field(key).isin(pa.array(values, pa.string())))
        if expression is not None:
            try:
                chosen = chosen.filter(expression)
            except pa.ArrowException as error:
                columns = ", ".join(ARROW_SCHEMA.names)
                raise InvalidValueError(
                    f"cannot select by {expression} ({str(error).splitlines()[0]}); columns: {columns}"
                ) from error
        if chosen.num_rows == 0:
            wanted = {k: [v] if isinstance(v, str) else list(v) for k, v in keys.items() if v is not None}
            query = ", ".join(f"{key}={' or '.join(values) or 'nothing'}" for key, values in wanted.items())
            query = query or str(expression)
            there = "; ".join(f"{k}: {_listed(self.values(k))}" for k in KEYS[1:]) if len(self) else "no sequences"
            raise InvalidValueError(f"no sequence has {query}; the store has {there}")
        return SequenceTable(chosen)


def _listed(values: list[str], limit: int = 8) -> str:
    shown = ", ".join(repr(v) for v in values[:limit])
    return shown + (f" and {len(values) - limit} more" if len(values) > limit else "")
