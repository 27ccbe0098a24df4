"""Runs a network that LiteRT loads (.tflite: graph and weights in one file) on the CPU, a picture at a time."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ....stores.errors import InvalidValueError, MissingExtraError, reason

_first = threading.Lock()


class Graph:
    """A network with one input, called from any number of threads at once.

    Each call takes an interpreter that is free and runs on one core: the same picture gives the same bytes, whatever
    else is computed beside it.
    """

    def __init__(self, path: Path):
        """MissingExtraError without LiteRT; InvalidValueError for a file that is no such network."""
        self.path = path
        self._free: queue.SimpleQueue = queue.SimpleQueue()
        self._free.put(_interpreter(path))

    def __call__(self, picture: np.ndarray) -> list[np.ndarray]:
        """A picture (h, w, 3) float32, to the network's outputs in its own order, each without the batch's axis."""
        try:
            interpreter = self._free.get_nowait()
        except queue.Empty:
            interpreter = _interpreter(self.path)
        try:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
            interpreter.invoke()
            return [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]
        finally:
            self._free.put(interpreter)


def require_litert() -> None:
    """MissingExtraError, saying how to install it, where LiteRT is not here."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"BlazePose needs ai-edge-litert ({reason(error)}): pip install 'auglift[prep,blazepose]', or make install"
        ) from error


def _interpreter(path: Path):
    require_litert()
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _first, _quiet():
            interpreter = Interpreter(str(path), num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InvalidValueError(f"{path} is not a network that LiteRT can load: {reason(error)}") from error
    return interpreter


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT says which delegate it made, on the process's standard error and with nothing to turn that off."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """0 to 1; clipped before float32 overflows."""
    return 1 / (1 + np.exp(-logits.clip(-80, 80)))
