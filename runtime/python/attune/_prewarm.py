"""Kernels that are made in the background."""
from __future__ import annotations

import ctypes
import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Sequence, Union

from . import _native
from ._errors import Error

if TYPE_CHECKING:
    from ._plan import Context


class Prewarm:
    """What Context.prewarm gives: plans that threads of the library make."""

    def __init__(self, context: "Context", specs: Iterable[Union[str, Mapping[str, Any]]], shapes: Iterable[Sequence[int]],
                 threads: int):
        shapes = [tuple(shape) for shape in shapes]
        for shape in shapes:
            if len(shape) != 5:
                raise Error(f"expected shapes of (batch, heads_q, heads_kv, len_q, len_kv), got {shape}", "InvalidShape")
        requests: List[_native.Request] = []
        for spec in specs:
            text = (spec if isinstance(spec, str) else json.dumps(spec)).encode()
            requests += [_native.Request(ctypes.sizeof(_native.Request), text, b"spec", *shape, None, None, None) for shape in shapes]
        made, native = ctypes.c_void_p(), _native.library()
        array = (_native.Request * max(len(requests), 1))(*requests)
        _native.check(native.attune_prewarm_start(context._handle.pointer, array, len(requests), threads, ctypes.byref(made)))
        self._handle = _native.Handle(made.value, native.attune_prewarm_destroy)

    def wait(self, seconds: float = -1) -> None:
        """Waits until all are made, at most `seconds` (negative: as long as it takes). Raises attune.Error: that of the first
        one that failed; with code NotReady where time ran out."""
        _native.check(_native.library().attune_prewarm_wait(self._handle.pointer, seconds))

    def is_done(self) -> bool:
        facts = self.facts
        return facts["ready"] + facts["failed"] == facts["requests"]

    @property
    def facts(self) -> Dict[str, Any]:
        """{"requests": 100, "ready": 60, "failed": 1, "errors": [{"request": 3, "status": "InvalidSpec", "message": "..."}]}."""
        text = ctypes.c_void_p()
        _native.check(_native.library().attune_prewarm_facts(self._handle.pointer, ctypes.byref(text)))
        return json.loads(_native.take_text(text))
