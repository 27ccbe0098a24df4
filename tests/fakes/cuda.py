"""A GPU that is not there: tensors say `cuda`, are computed on the CPU, and every wait of the host is counted.

    with PretendedGpu() as gpu:
        network.to("cuda")(frames.to("cuda", non_blocking=True))
        gpu.waits, gpu.operations, gpu.copies

It is stricter than a GPU. Tensors of two devices in one operation are refused. What a copy to the host brings is
rubbish until an event or a synchronisation after it was waited for. Work on a second stream that nobody ordered after
what it reads is refused, and so is memory that one stream frees while another may still read it. What a page-locked
buffer holds must not change before its copy has ended. Kernels are the CPU's, so results can be compared bit by bit.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from auglift.pipeline.device.tables import forget

from .cuda_streams import PretendedStream, StreamError, pretend_streams
from .cuda_torch import torch_for_pretending

DEVICE = torch.device("cuda", 0)
aten = torch.ops.aten

# Operations whose result's size, or whose very result, the host has to know.
_WAITING = {
    "_local_scalar_dense",
    "equal",
    "nonzero",
    "masked_select",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
}
# From pageable memory the driver stages a copy, and only a small one at once.
STAGED_BYTES = 64 << 10


class MixedDevicesError(RuntimeError):
    """An operation got tensors of the host and of the GPU."""


class _OnGpu(Tensor):
    """Says that it is on the GPU; `held` has the values, in host memory."""

    held: Tensor
    made_on: PretendedStream
    allocated_on: PretendedStream
    ticket: int

    @staticmethod
    def __new__(cls, real: Tensor, stream: PretendedStream) -> _OnGpu:
        with torch.inference_mode(False):  # a view of what was made outside of it could not be one of its tensors
            return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                real.size(),
                strides=real.stride(),
                storage_offset=real.storage_offset(),
                dtype=real.dtype,
                layout=real.layout,
                device=DEVICE,
            )

    def __init__(self, real: Tensor, stream: PretendedStream) -> None:
        self.held = real
        self.made_on = self.allocated_on = stream
        self.ticket = stream.enqueue()
        self.recorded: set[PretendedStream] = set()

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _active is None:
            raise RuntimeError("a tensor of the pretended GPU is used after the GPU was taken away")
        return _active.run(func, args, kwargs or {})

    def record_stream(self, stream: Any) -> None:
        self.recorded.add(stream)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({tuple(self.shape)}, {self.dtype})"


_active: PretendedGpu | None = None


class _Mode(TorchDispatchMode):
    """Hears of every operation, also of those that make a tensor."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self._run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._run(func, args, kwargs or {})


class Counts(NamedTuple):
    """See `PretendedGpu`."""

    waits: Counter[str]
    operations: Counter[str]
    copies: Counter[str]


class PretendedGpu:
    """The GPU, for the length of a `with`; it counts how often the host waited.

    waits       by the name of what made the host wait
    operations  that the host started on the GPU, by name; not those that only reserve memory or look at it otherwise
    copies      `up` and `down`, between host and GPU
    """

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self._locked: dict[int, Tensor] = {}
        self._mode = _Mode(self.run)

    def reset(self) -> Counts:
        """What was counted so far; from here on it counts anew."""
        found = Counts(self.waits, self.operations, self.copies)
        self.waits, self.operations, self.copies = Counter(), Counter(), Counter()
        return found

    def __enter__(self) -> PretendedGpu:
        global _active
        self._left = contextlib.ExitStack()
        self._left.enter_context(torch_for_pretending())
        _active = self
        forget()
        self._left.callback(forget)  # tables that were kept on another GPU of ours
        self._left.enter_context(pretend_streams(lambda what: self.waits.update([what])))
        self._left.enter_context(self._mode)
        return self

    def __exit__(self, *error: object) -> None:
        global _active
        self._left.close()
        _active = None

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func.namespace != "prim" and torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
        ):  # made of other operations, and these are what is run
            with self._mode:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        name = func._schema.name.removeprefix("aten::")
        if name == "_to_copy":
            return self._to_copy(*args, **kwargs)
        if name == "copy_":
            return self._copy(*args, **kwargs)
        if name == "_pin_memory":
            return self._lock(args[0].clone())
        if name == "is_pinned":
            return self._is_locked(args[0])
        if name == "record_stream":
            return args[0].record_stream(args[1])
        locked = bool(kwargs.pop("pin_memory", None))
        made_here = _is_gpu(kwargs.get("device"))
        tensors = list(_tensors((*args, *kwargs.values())))
        there = [each for each in tensors if isinstance(each, _OnGpu)]
        if there or made_here:
            indices = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
            self._check(name, tensors, there, indices)
            self._count(func, name, args, kwargs)
        if made_here:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        out = func(*_each(_real, args), **{key: _each(_real, value) for key, value in kwargs.items()})
        if locked and not made_here:
            return self._lock(out)
        if not (there or made_here):
            return out
        return self._wrap(func, out, there)

    # Checks ----------------------------------------------------------------------------------------------------------

    def _check(self, name: str, tensors: Sequence[Tensor], there: Sequence[Any], indices: Any = ()) -> None:
        for each in tensors:
            # A number in a tensor of the host's goes along as a number; as an index nothing does.
            if not isinstance(each, _OnGpu) and (each.dim() or any(each is index for index in indices)):
                raise MixedDevicesError(f"{name} got a tensor of the host, {tuple(each.shape)}, beside the GPU's")
        stream = PretendedStream.current()
        for each in there:
            stream.require(each.made_on, each.ticket, name)
            if each.allocated_on is not stream and stream not in each.recorded:
                raise StreamError(f"{name} reads memory of another stream, which may be given away: record_stream")

    def _count(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        if not (func.is_view or name.startswith("empty")):
            self.operations[name] += 1
        masked = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        masked = masked and (name == "index" or args[2].numel() > 1)  # of one value it is masked_fill
        unknown = name == "repeat_interleave" and kwargs.get("output_size") is None
        if name in _WAITING or masked or unknown:
            self.waits[name] += 1
            PretendedStream.current().finish()

    def _wrap(self, func: Any, out: Any, there: list[_OnGpu]) -> Any:
        stream = PretendedStream.current()
        known = {id(each.held): each for each in there}

        def wrap(real: Tensor) -> Tensor:
            if id(real) in known:  # changed in its place
                same = known[id(real)]
                same.made_on, same.ticket = stream, stream.enqueue()
                return same
            made = _OnGpu(real, stream)
            if func.is_view:
                made.allocated_on, made.recorded = there[0].allocated_on, there[0].recorded
            return made

        return _each(wrap, out)

    # Copies ----------------------------------------------------------------------------------------------------------

    def _to_copy(self, tensor: Tensor, **kwargs: Any) -> Tensor:
        target = kwargs.pop("device", None) or tensor.device
        kwargs.pop("pin_memory", None)
        later = bool(kwargs.pop("non_blocking", False))
        to_gpu, from_gpu = _is_gpu(target), isinstance(tensor, _OnGpu)
        if from_gpu:
            self._check("_to_copy", [tensor], [tensor])
        real = aten._to_copy(_real(tensor), **kwargs)
        if from_gpu and to_gpu:
            self.operations["_to_copy"] += 1
            return _OnGpu(real, PretendedStream.current())
        if to_gpu:
            return self._up(tensor, real, later)
        if from_gpu:
            return self._down(torch.empty_like(real), real, later, locked=True)
        return real

    def _copy(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        to_gpu, from_gpu = isinstance(target, _OnGpu), isinstance(source, _OnGpu)
        there = [each for each in (target, source) if isinstance(each, _OnGpu)]
        self._check("copy_", there, there)
        if from_gpu and not to_gpu:
            value = torch.empty_like(target)
            value.copy_(_real(source))
            return self._down(target, value, non_blocking, locked=self._is_locked(target))
        _real(target).copy_(_real(source))
        if to_gpu and from_gpu:
            self.operations["copy_"] += 1
        elif to_gpu:
            self._up(source, _real(target), non_blocking)
        if isinstance(target, _OnGpu):
            target.made_on = PretendedStream.current()
            target.ticket = target.made_on.enqueue()
        return target

    def _up(self, source: Tensor, real: Tensor, later: bool) -> Tensor:
        self.copies["up"] += 1
        stream = PretendedStream.current()
        if not later or (not self._is_locked(source) and source.nbytes > STAGED_BYTES):
            self.waits["copy up"] += 1
            stream.finish()
        elif self._is_locked(source):
            before = source.clone()

            def same() -> None:
                if not torch.equal(before.view(torch.uint8), source.contiguous().view(torch.uint8)):
                    raise StreamError("a page-locked buffer was written to before its copy had ended")

            stream.later(same)
        return _OnGpu(real, stream)

    def _down(self, target: Tensor, value: Tensor, later: bool, locked: bool) -> Tensor:
        self.copies["down"] += 1
        stream = PretendedStream.current()
        if later and locked:
            self._lock(target)
            _spoil(target)
            stream.later(lambda: _bring(target, value))
            return target
        self.waits["copy down"] += 1
        stream.finish()
        return target.copy_(value)

    def _lock(self, tensor: Tensor) -> Tensor:
        self._locked[tensor.untyped_storage().data_ptr()] = tensor  # kept, so that no other gets its address
        return tensor

    def _is_locked(self, tensor: Tensor) -> bool:
        return not isinstance(tensor, _OnGpu) and tensor.untyped_storage().data_ptr() in self._locked


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _each(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same, with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_each(change, each) for each in value) if isinstance(value, (list, tuple)) else value


def _real(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, _OnGpu) else tensor


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _bring(target: Tensor, value: Tensor) -> None:
    with torch.inference_mode():  # either may have been made in it
        target.copy_(value)


def _spoil(tensor: Tensor) -> None:
    """What nobody waited for must not look right."""
    if tensor.dtype.is_floating_point:
        tensor.fill_(float("nan"))
    elif tensor.dtype is torch.bool:
        tensor.logical_not_()
    else:
        tensor.fill_(torch.iinfo(tensor.dtype).max)
