"""Arrays of NumPy, torch and whoever speaks DLPack, as attune takes them: an address, a type, a shape and strides."""
from __future__ import annotations

import ctypes
import sys
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from ._errors import Error


class View(NamedTuple):
    """An array in memory. `owner` keeps it there."""

    data: int
    dtype: str  # "fp16", "bf16", "f32", "i32" or "u8"
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]  # between neighbours, in elements
    device: Optional[int]  # a CUDA device's number; None: the host
    owner: Any


# What dtypes are called, to what attune calls them; uint16 holds the bits of bfloat16.
_DTYPES = {"float16": "fp16", "bfloat16": "bf16", "uint16": "bf16", "float32": "f32", "int32": "i32", "bool": "u8",
           "uint8": "u8"}


def word_of(dtype: Any) -> str:
    """"bfloat16", of NumPy's dtype, torch's or a name."""
    return str(dtype).rpartition(".")[2]


def is_array(value: Any) -> bool:
    return hasattr(type(value), "__dlpack__")


def is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def shape_of(value: Any) -> Tuple[int, ...]:
    return tuple(int(extent) for extent in value.shape)


def kind_of(value: Any) -> str:
    """What an expression reads of it: "i32", "f32" or "bool"."""
    word = word_of(value.dtype)
    return "bool" if word == "bool" else "f32" if "float" in word else "i32"


def item_of(value: Any) -> Any:
    return value.item()


def captured_dtype(value: Any) -> str:
    """The type that a captured array has in a spec. Other integers become i32, and float64 f32."""
    word = word_of(value.dtype)
    if word in ("bool", "int32", "float32", "float16", "bfloat16"):
        return _DTYPES[word]
    if word.lstrip("u") in ("int8", "int16", "int64", "int32", "int") or word == "float64":
        return "f32" if word == "float64" else "i32"
    raise Error(f"expected an array of bool, int32, float16, bfloat16 or float32, got {word}")


def converted(value: Any, name: str) -> Any:
    """A captured array in the type that the spec has for it, elements of its last axis adjacent."""
    dtype = captured_dtype(value)
    if _DTYPES.get(word_of(value.dtype)) != dtype or word_of(value.dtype) in ("uint8", "uint16"):
        narrow = "int32" if dtype == "i32" else "float32"
        if dtype == "i32" and word_of(value.dtype).endswith(("int64", "uint32")) and value_range(value) > 2**31 - 1:
            raise Error(f"expected whole numbers of 32 bits in array '{name}', got {value_range(value)}")
        if is_torch(value):
            value = value.to(getattr(sys.modules["torch"], narrow))
        elif hasattr(value, "astype"):
            value = value.astype(narrow)
        else:
            raise Error(f"expected array '{name}' of {narrow}, got {word_of(value.dtype)}")
    strides = view_of(value).strides
    if strides and strides[-1] != 1 and value.shape[-1] > 1:
        value = value.contiguous() if is_torch(value) else value.copy()
    return value


def value_range(value: Any) -> int:
    """The largest magnitude in it."""
    if 0 in value.shape:
        return 0
    return max(abs(int(value.min())), abs(int(value.max())))


def view_of(value: Any) -> View:
    if is_torch(value):
        dtype = _DTYPES.get(word_of(value.dtype), "")
        device = value.device
        return View(value.data_ptr(), dtype, tuple(value.shape), value.stride(), device.index if device.type == "cuda" else None,
                    value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        size = value.itemsize
        if any(stride % size for stride in value.strides):
            raise Error(f"expected strides of whole elements, got {value.strides} bytes for {size}-byte elements", "InvalidStrides")
        return View(value.__array_interface__["data"][0] if value.dtype.kind != "V" else value.ctypes.data,
                    _DTYPES.get(word_of(value.dtype), ""), value.shape, tuple(stride // size for stride in value.strides), None, value)
    if is_array(value):
        return _view_of_dlpack(value)
    raise Error(f"expected an array of NumPy or torch, or one that has __dlpack__, got {type(value).__name__}")


# An array of NumPy begins, behind what every object has, with the address of its elements: NumPy's ABI, which extensions are
# compiled against. Reading it takes a seventh of the time that __array_interface__ takes, four times a call.
_HEAD = object.__basicsize__
_pointer_at = ctypes.c_void_p.from_address


def _addresses_by_head(arrays: Sequence[Any]) -> List[Any]:
    return [_pointer_at(id(one) + _HEAD).value for one in arrays]


def _addresses_by_interface(arrays: Sequence[Any]) -> List[Any]:
    return [one.__array_interface__["data"][0] for one in arrays]


def numpy_addresses(arrays: Sequence[Any]) -> List[Any]:
    """Where the elements of NumPy's arrays begin. The first call finds out how they are read."""
    global numpy_addresses
    expected = _addresses_by_interface(arrays)
    is_cpython = sys.implementation.name == "cpython"  # where id() is an address
    numpy_addresses = _addresses_by_head if is_cpython and _addresses_by_head(arrays) == expected else _addresses_by_interface
    return expected


#===-- DLPack --===#


class _DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


_HOST_DEVICES, _CUDA_DEVICES = (1, 3, 11), (2, 13)  # memory of the host: pageable, pinned by CUDA or by ROCm; of CUDA: its own, managed
_LEGACY_STREAM = 1  # the default stream, as DLPack calls it: what the producer does is done before what follows on it
_DLPACK_DTYPES = {(2, 16): "fp16", (4, 16): "bf16", (2, 32): "f32", (0, 32): "i32", (1, 8): "u8", (6, 8): "u8", (1, 16): "bf16"}

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def _view_of_dlpack(value: Any) -> View:
    kind, number = value.__dlpack_device__()
    if kind not in _HOST_DEVICES + _CUDA_DEVICES:
        raise Error(f"expected an array of the host or of a CUDA device, got one of DLPack's device type {int(kind)}", "NoDevice")
    capsule = value.__dlpack__(stream=_LEGACY_STREAM) if kind in _CUDA_DEVICES else value.__dlpack__()
    # A capsule that nobody takes over frees what it holds when it goes: the view keeps it.
    tensor = _DLTensor.from_address(_pointer_of(capsule, b"dltensor"))
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    if tensor.strides:
        strides = tuple(tensor.strides[axis] for axis in range(tensor.ndim))
    else:
        strides = dense_strides(shape)
    dtype = _DLPACK_DTYPES.get((tensor.code, tensor.bits), "") if tensor.lanes == 1 else ""
    return View((tensor.data or 0) + tensor.byte_offset, dtype, shape, strides, int(number) if kind in _CUDA_DEVICES else None,
                (capsule, value))


def dense_strides(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    strides, distance = [], 1
    for extent in reversed(shape):
        strides.append(distance)
        distance *= max(extent, 1)
    return tuple(reversed(strides))


def empty_like(value: Any, shape: Tuple[int, ...], dtype: str) -> Any:
    """A new array of the kind and place of `value`; `dtype` is "f32" or the value's own."""
    if is_torch(value):
        return value.new_empty(shape, dtype=sys.modules["torch"].float32) if dtype == "f32" else value.new_empty(shape)
    module = sys.modules.get(type(value).__module__.partition(".")[0])
    if module is None or not hasattr(module, "empty"):
        raise Error(f"expected out= for arrays of {type(value).__module__}, which has no empty()")
    return module.empty(shape, dtype="float32" if dtype == "f32" else value.dtype)


def stream_of(value: Any) -> Optional[int]:
    """The stream that the library of a CUDA array works on now."""
    if is_torch(value):
        return sys.modules["torch"]._C._cuda_getCurrentRawStream(value.device.index)
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(value, cupy.ndarray):
        return cupy.cuda.get_current_stream().ptr or None
    return None  # the default one, which __dlpack__ was told of
