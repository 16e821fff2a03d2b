"""The C interface (attune/attune.h), by ctypes."""
from __future__ import annotations

import ctypes
import os
import threading
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any, NoReturn, Optional

from ._errors import Error


class ContextOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("device", c_char_p), ("arch", c_char_p), ("cache_folder", c_char_p), ("bundle", c_void_p),
                ("compiler", c_void_p), ("simulator", c_void_p), ("advisor", c_void_p), ("policy", c_int32), ("target", c_int32),
                ("most_programs", c_size_t), ("cuda_driver", c_char_p), ("sim_mode", c_int32), ("sim_threads", c_int32),
                ("sim_seed", c_uint64), ("sim_unchecked", c_int32), ("sim_multiprocessors", c_int32)]


class Request(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("spec", c_char_p), ("spec_name", c_char_p), ("batch", c_int64), ("heads_q", c_int64),
                ("heads_kv", c_int64), ("length_q", c_int64), ("length_kv", c_int64), ("stage", c_char_p),
                ("stage_text", c_char_p), ("stage_name", c_char_p)]


class Array(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("data", c_void_p), ("dtype", c_int32), ("rank", c_int32), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64))]


class Scalar(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("value", c_double)]


class Arguments(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("stream", c_void_p), ("arrays", POINTER(Array)), ("array_count", c_size_t),
                ("scalars", POINTER(Scalar)), ("scalar_count", c_size_t), ("workspace", c_void_p)]


DTYPES = {"fp16": 0, "bf16": 1, "f32": 2, "i32": 3, "u8": 4}
POLICIES = {None: 0, "compile": 1, "cache_only": 2, "recompile": 3}
TARGETS = {None: 0, "ptx": 1, "cuda": 2}
MODES = {"eager": 0, "lazy": 1, "random": 2}

# Result, then parameters, of what is called.
_FUNCTIONS = {
    "attune_status_name": (c_char_p, c_int32),
    "attune_last_error": (c_char_p,),
    "attune_version": (c_char_p,),
    "attune_text_free": (None, c_void_p),
    "attune_compiler": (c_void_p,),
    "attune_simulator": (c_void_p,),
    "attune_context_open": (c_int32, POINTER(ContextOptions), POINTER(c_void_p)),
    "attune_context_facts": (c_char_p, c_void_p),
    "attune_context_release": (c_int32, c_void_p),
    "attune_context_destroy": (None, c_void_p),
    "attune_devices": (c_int32, c_char_p, POINTER(c_void_p)),
    "attune_plan_create": (c_int32, c_void_p, POINTER(Request), POINTER(c_void_p)),
    "attune_prewarm_start": (c_int32, c_void_p, POINTER(Request), c_size_t, c_int32, POINTER(c_void_p)),
    "attune_prewarm_wait": (c_int32, c_void_p, c_double),
    "attune_prewarm_facts": (c_int32, c_void_p, POINTER(c_void_p)),
    "attune_prewarm_destroy": (None, c_void_p),
    "attune_plan_facts": (c_char_p, c_void_p),
    "attune_plan_describe": (c_char_p, c_void_p),
    "attune_plan_workspace_bytes": (c_size_t, c_void_p),
    "attune_plan_destroy": (None, c_void_p),
    "attune_spec_read": (c_int32, c_char_p, c_char_p, POINTER(c_void_p)),
    "attune_launch": (c_int32, c_void_p, POINTER(Arguments)),
    "attune_run": (c_int32, c_void_p, POINTER(Arguments), POINTER(c_void_p)),
    "attune_buffer_create": (c_int32, c_void_p, c_size_t, c_char_p, POINTER(c_void_p)),
    "attune_buffer_data": (c_void_p, c_void_p),
    "attune_buffer_destroy": (None, c_void_p),
    "attune_copy_in": (c_int32, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p),
    "attune_copy_out": (c_int32, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p),
    "attune_fill": (c_int32, c_void_p, c_void_p, c_uint8, c_size_t, c_void_p),
    "attune_synchronize": (c_int32, c_void_p, c_void_p),
    "attune_bundle_open": (c_int32, c_char_p, POINTER(c_void_p)),
    "attune_bundle_facts": (c_char_p, c_void_p),
    "attune_bundle_destroy": (None, c_void_p),
}



class _Library(ctypes.CDLL):
    """The library, whose functions get their types when they are first used."""

    def __getattr__(self, name: str) -> Any:
        function = super().__getattr__(name)
        if name in _FUNCTIONS:
            result, *parameters = _FUNCTIONS[name]
            function.restype, function.argtypes = result, parameters
        return function


_library: Any = None
_loading = threading.Lock()


def library_path() -> str:
    """Where the shared library is: ATTUNE_LIBRARY, else in the package."""
    return os.environ.get("ATTUNE_LIBRARY") or os.path.join(os.path.dirname(__file__), "lib", "libattune.so")


def library() -> Any:
    """The shared library, opened when it is first needed."""
    global _library
    if _library is None:
        with _loading:
            if _library is None:
                path = library_path()
                try:
                    _library = _Library(path)
                except OSError as error:
                    raise Error(f"expected attune's library at {path} (ATTUNE_LIBRARY says another place): {error}", "InvalidOptions") from None
    return _library


def fail(status: int) -> NoReturn:
    """Raises the error of this thread's last call."""
    native = library()
    raise Error(native.attune_last_error().decode("utf-8", "replace"), native.attune_status_name(status).decode())


def check(status: int) -> None:
    if status:
        fail(status)


def take_text(pointer: c_void_p) -> str:
    """A text that a function gave through a `char **`, which is freed."""
    if not pointer.value:
        return ""
    text = ctypes.string_at(pointer.value).decode("utf-8", "replace")
    library().attune_text_free(pointer)
    return text


def encoded(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else os.fsencode(text)


class Handle:
    """Something of the library that is destroyed with this object."""

    def __init__(self, pointer: Any, destroy: Any):
        self.pointer, self._destroy = pointer, destroy

    def __del__(self) -> None:
        if self.pointer:
            self._destroy(self.pointer)
