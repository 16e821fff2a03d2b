"""Symbols that stand for numbers and arrays while a function is traced.

What is done to them builds a tree. NumPy and torch hand their functions over by their own protocols; what cannot become an
expression is an error at the line of the user's function that is being called.
"""
from __future__ import annotations

import math
import os
import re
import sys
import types
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

from ._arrays import is_array, item_of, kind_of, shape_of
from ._errors import TraceError
from ._expression import Tree, text_of

if TYPE_CHECKING:
    from ._trace import Captures

OWN_FOLDER = os.path.dirname(__file__)
_CONDITIONS = "write &, |, ~ and where() instead of `and`, `or`, `not`, `if` and a < b < c"


def flat_list(values: Sequence[Any]) -> List[Any]:
    flat: List[Any] = []
    for value in values:
        flat += flat_list(value) if isinstance(value, (tuple, list)) else [value]
    return flat


class Symbol:
    """By these torch and NumPy hand over the functions that are called with a traced value."""

    __slots__ = ("trace",)
    __array_priority__ = 1000
    trace: Captures

    @classmethod
    def __torch_function__(cls, function: Any, kinds: Any, arguments: Any = (), named: Any = None) -> Any:
        trace = next(one.trace for one in flat_list((*arguments, *(named or {}).values())) if isinstance(one, Symbol))
        return call_by_name(trace, function.__name__, arguments, named or {})

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, named: Any) -> Any:
        return call_by_name(self.trace, function.__name__, arguments, named)

    def __array_ufunc__(self, function: Any, method: str, *arguments: Any, **named: Any) -> Any:
        if method != "__call__":
            refuse(f"expected a function of numbers, got {function.__name__}.{method}")
        return call_by_name(self.trace, function.__name__, arguments, named)

    def __bool__(self) -> bool:
        refuse(f"expected a condition that is known before the kernel runs, got one of {self._written()} ({_CONDITIONS})")

    def _unknown(self, *_: Any) -> NoReturn:
        refuse(f"expected a number that is known before the kernel runs, got {self._written()} (functions of it are "
                "NumPy's or torch's: exp, tanh, where, minimum, ...)")

    __int__ = __float__ = __index__ = __complex__ = __round__ = __floor__ = __ceil__ = __trunc__ = __array__ = _unknown
    __iter__ = __len__ = __contains__ = __hash__ = _unknown  # type: ignore[assignment]

    def _written(self) -> str:
        raise NotImplementedError


def _method(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return call_by_name(self.trace, name, (self, *arguments), named)

    method.__name__ = name
    return method


def _swapped(name: str) -> Callable[..., Any]:
    return lambda self, other: call_by_name(self.trace, name, (other, self), {})


class _Operators(Symbol):
    __slots__ = ()
    __add__, __radd__ = _method("add"), _swapped("add")
    __sub__, __rsub__ = _method("subtract"), _swapped("subtract")
    __mul__, __rmul__ = _method("multiply"), _swapped("multiply")
    __truediv__, __rtruediv__ = _method("true_divide"), _swapped("true_divide")
    __floordiv__, __rfloordiv__ = _method("floor_divide"), _swapped("floor_divide")
    __mod__, __rmod__ = _method("remainder"), _swapped("remainder")
    __pow__, __rpow__ = _method("power"), _swapped("power")
    __and__, __rand__ = _method("bitwise_and"), _swapped("bitwise_and")
    __or__, __ror__ = _method("bitwise_or"), _swapped("bitwise_or")
    __xor__, __rxor__ = _method("bitwise_xor"), _swapped("bitwise_xor")
    __lshift__, __rlshift__ = _method("left_shift"), _swapped("left_shift")
    __rshift__, __rrshift__ = _method("right_shift"), _swapped("right_shift")
    __lt__, __le__, __gt__, __ge__ = _method("less"), _method("less_equal"), _method("greater"), _method("greater_equal")
    __eq__, __ne__ = _method("equal"), _method("not_equal")  # type: ignore[assignment]
    __neg__, __pos__, __invert__, __abs__ = _method("negative"), _method("positive"), _method("invert"), _method("abs")


class Traced(_Operators):
    """A number or condition of a kernel: a type ("i32", "f32" or "bool") and a tree."""

    __slots__ = ("type", "tree")
    shape: Tuple[int, ...] = ()
    ndim = 0

    def __init__(self, trace: Captures, type: str, tree: Tree):
        self.trace, self.type, self.tree = trace, type, tree

    def _written(self) -> str:
        text = text_of(self.tree)
        return text if len(text) <= 60 else text[:57] + "..."

    def __repr__(self) -> str:
        return f"<traced {self.type}: {self._written()}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _FUNCTIONS or name in _SYNONYMS or name in _CASTS or name in _CONSTANTS:
            return lambda *arguments, **named: call_by_name(self.trace, name, (self, *arguments), named)
        if name == "device":
            return None  # new_ones(device=) and to() are given it back
        if name == "dtype":
            word = {"i32": "int32", "f32": "float32", "bool": "bool"}[self.type]
            return getattr(sys.modules["torch"], word) if "torch" in sys.modules else word
        refuse(f"expected a function of numbers, got .{name}")

    def __getitem__(self, index: Any) -> Any:
        if index is Ellipsis or index == ():
            return self
        refuse(f"expected an array before [...], got the number {self._written()}")

    def _new(self, type: str, *tree: Any) -> "Traced":
        return Traced(self.trace, type, tree)

    def _as_bool(self) -> "Traced":
        if self.tree[0] == "number":
            return self._new("bool", "number", bool(self.tree[1]))
        return self if self.type == "bool" else self._new("bool", "!=", self.tree, ("number", 0 if self.type == "i32" else 0.0))

    def _as_number(self) -> "Traced":
        return self._new("i32", "call", "int", self.tree) if self.type == "bool" else self

    def _as_float(self) -> "Traced":
        number = self._as_number()
        if number.type == "f32":
            return number
        if number.tree[0] == "number":
            return number._new("f32", "number", float(number.tree[1]))
        return number._new("f32", "call", "float", number.tree)

    def _as_int(self) -> "Traced":
        return self._new("i32", "call", "int", self.tree) if self.type != "i32" else self


class ArraySymbol(_Operators):
    """A captured array, with the indices that it was given so far. One without axes is a number of the launch."""

    __slots__ = ("value", "name", "indices")

    def __init__(self, trace: Captures, value: Any, name: str, indices: Tuple[Traced, ...] = ()):
        self.trace, self.value, self.name, self.indices = trace, value, name, indices

    def _written(self) -> str:
        return f"array '{self.name}'"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.indices:
            refuse(f"expected {self._missing()}, got .{name}")
        if not shape_of(self.value) and (name in _FUNCTIONS or name in _CASTS):
            return lambda *arguments, **named: call_by_name(self.trace, name, (self, *arguments), named)
        return getattr(self.value, name)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Any:
        items = index if isinstance(index, tuple) else (index,)
        if not self.indices and not any(isinstance(one, Symbol) for one in items):
            part = self.value[index]
            return ArraySymbol(self.trace, part, self.name) if is_array(part) else part
        indices = list(self.indices)
        for one in items:
            if one is None or one is Ellipsis or isinstance(one, slice):
                refuse(f"expected a number as an index of array '{self.name}', got {one!r}")
            traced = symbol_of(self.trace, one)
            if traced.type == "f32":
                refuse(f"expected a whole number as an index of array '{self.name}', got {traced._written()}")
            indices.append(traced._as_int())
        rank = len(shape_of(self.value))
        if len(indices) > rank:
            refuse(f"expected at most {rank} {'index' if rank == 1 else 'indices'} of array '{self.name}', got {len(indices)}")
        if len(indices) < rank:
            return ArraySymbol(self.trace, self.value, self.name, tuple(indices))
        name = self.trace.name_of(self.value, self.name)
        return Traced(self.trace, kind_of(self.value), ("element", name, *(one.tree for one in indices)))

    def _missing(self) -> str:
        rank = len(shape_of(self.value))
        return f"{rank} {'index' if rank == 1 else 'indices'} of array '{self.name}'"


def symbol_of(trace: Captures, value: Any) -> Traced:
    """A value that a function met, as a traced one."""
    if isinstance(value, Traced):
        return value
    if isinstance(value, ArraySymbol):
        if shape_of(value.value):
            refuse(f"expected {value._missing()}, got {len(value.indices) or 'none'}")
        value = value.value if not hasattr(value.value, "detach") else value
    if isinstance(value, ArraySymbol):
        kind = "f32" if kind_of(value.value) == "f32" else "i32"
        return Traced(trace, kind, ("scalar", trace.name_of(value.value, value.name)))
    if is_array(value) and not shape_of(value) or type(value).__module__ == "numpy":
        value = item_of(value)
    if isinstance(value, bool):
        return Traced(trace, "bool", ("number", value))
    if isinstance(value, int):
        if not -2**31 <= value < 2**31:
            refuse(f"expected a whole number of 32 bits, got {value}")
        return Traced(trace, "i32", ("number", value))
    if isinstance(value, float):
        if value != value or abs(value) > 3.4028234663852886e38 and not math.isinf(value):
            refuse(f"expected a number that fits f32, got {value}")
        return Traced(trace, "f32", ("number", value))
    what = f"an array of shape {shape_of(value)}" if is_array(value) else type(value).__name__
    refuse(f"expected a number, got {what}")


#===-- Functions --===#


def call_by_name(trace: Captures, name: str, arguments: Sequence[Any], named: Dict[str, Any]) -> Any:
    """`name(*arguments, **named)` as NumPy, torch and Python's operators call it."""
    name = name.strip("_")
    if name == "getitem":
        array, index = arguments
        return (array if isinstance(array, ArraySymbol) else ArraySymbol(trace, array, "array"))[index]
    if name in _CASTS:
        return _cast(trace, name, arguments, named)
    if name in _CONSTANTS:
        return _constant(trace, name, arguments, named)
    function = _FUNCTIONS.get(_SYNONYMS.get(name, name))
    if function is None:
        near = "exp, log, sqrt, tanh, sigmoid, abs, minimum, maximum, clip, where, ..."
        refuse(f"expected a function that kernels have ({near}), got {name}")
    if named:
        function = _without_options(name, function, named)
    bounds = {key: None if value is None else symbol_of(trace, value) for key, value in named.items()}
    try:
        return function(*(None if one is None else symbol_of(trace, one) for one in arguments), **bounds)
    except TraceError:
        raise
    except TypeError:
        refuse(f"expected another call of {name}, got {len(arguments)} arguments"
                + "".join(f", {key}=" for key in named))


def _without_options(name: str, function: Callable[..., Traced], named: Dict[str, Any]) -> Callable[..., Traced]:
    """Takes from `named` what says how a library computes; what would be another result is refused."""
    rounding = named.pop("rounding_mode", None)
    if rounding == "floor":
        function = _FUNCTIONS["floor_divide"]
    elif rounding is not None:
        refuse(f"expected rounding_mode 'floor', got {rounding!r}")
    for extra in ("out", "dtype", "casting", "order", "subok", "alpha"):
        if named.pop(extra, None) is not None:
            refuse(f"expected {name} without {extra}")
    return function


def _cast(trace: Captures, name: str, arguments: Sequence[Any], named: Dict[str, Any]) -> Traced:
    x = symbol_of(trace, arguments[0])
    kind = _CASTS[name]
    if kind is None:
        wanted = [one for one in (*arguments[1:], *named.values()) if re.search("int|float|bool", str(one))]
        if not wanted:
            return x  # another device
        word = str(getattr(wanted[0], "__name__", wanted[0]))
        kind = "f32" if "float" in word else "bool" if "bool" in word else "i32"
    return {"f32": x._as_float, "bool": x._as_bool, "i32": x._as_int, "same": lambda: x}[kind]()


def _constant(trace: Captures, name: str, arguments: Sequence[Any], named: Dict[str, Any]) -> Traced:
    """x.new_ones(()), x.new_full((), 3.0): a number, of a type that the call says or x has."""
    size = named.get("size", arguments[1] if len(arguments) > 1 and name != "new_tensor" else ())
    if tuple(size if isinstance(size, (tuple, list)) else (size,)) != ():
        refuse(f"expected {name}(()), a number, got {name}({size!r})")
    if name in ("new_full", "new_tensor"):
        value = named.get("fill_value", named.get("data", arguments[-1]))
    else:
        value = int(name in ("new_ones", "ones_like"))
    wanted = named.get("dtype")
    return _cast(trace, "to", (symbol_of(trace, value), arguments[0].dtype if wanted is None else wanted), {})


_CONSTANTS = ("new_ones", "new_zeros", "new_full", "new_tensor", "ones_like", "zeros_like")

# To a type; None: that which an argument says.
_CASTS: Dict[str, Optional[str]] = {"to": None, "astype": None, "type": None, "float": "f32", "double": "f32", "half": "f32",
                                    "bfloat16": "f32", "int": "i32", "long": "i32", "bool": "bool", "item": "same",
                                    "detach": "same", "clone": "same", "contiguous": "same", "type_as": "same"}
_SYNONYMS = {"sub": "subtract", "rsub": "subtract_reversed", "mul": "multiply", "div": "true_divide", "divide": "true_divide",
             "truediv": "true_divide", "floordiv": "floor_divide", "fmod": "remainder", "mod": "remainder", "pow": "power",
             "float_power": "power", "neg": "negative", "absolute": "abs", "fabs": "abs", "bitwise_not": "invert",
             "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift", "lshift": "left_shift",
             "rshift": "right_shift", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
             "ne": "not_equal", "clip": "clamp", "fmin": "minimum", "fmax": "maximum", "min": "minimum", "max": "maximum",
             "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "expit": "sigmoid"}


def _infinite(x: Traced) -> bool:
    return x.tree[0] == "number" and isinstance(x.tree[1], float) and math.isinf(x.tree[1])


def _pair(a: Traced, b: Traced) -> Tuple[Traced, Traced]:
    """Both as numbers of one type."""
    a, b = a._as_number(), b._as_number()
    if a.type == b.type:
        return a, b
    return a._as_float(), b._as_float()


def _arithmetic(sign: str) -> Callable[[Traced, Traced], Traced]:
    def function(a: Traced, b: Traced) -> Traced:
        a, b = _pair(a, b)
        return a._new(a.type, sign, a.tree, b.tree)

    return function


def _comparison(sign: str) -> Callable[[Traced, Traced], Traced]:
    def function(a: Traced, b: Traced) -> Traced:
        if not (a.type == b.type == "bool" and sign in ("==", "!=")):
            a, b = _pair(a, b)
        return a._new("bool", sign, a.tree, b.tree)

    return function


def _bits(sign: str, of_bools: str) -> Callable[[Traced, Traced], Traced]:
    def function(a: Traced, b: Traced) -> Traced:
        if a.type == b.type == "bool":
            for x, y in ((a, b), (b, a)):  # what and_masks() and or_masks() begin with
                if x.tree == ("number", of_bools == "&&") and of_bools != "!=":
                    return y
            return a._new("bool", of_bools, a.tree, b.tree)
        for x in (a, b):
            if x.type == "f32":
                refuse(f"expected whole numbers or conditions for '{sign}', got {x._written()}")
        a, b = a._as_int(), b._as_int()
        return a._new("i32", sign, a.tree, b.tree)

    return function


def _logical(sign: str) -> Callable[[Traced, Traced], Traced]:
    def function(a: Traced, b: Traced) -> Traced:
        return a._new("bool", sign, a._as_bool().tree, b._as_bool().tree)

    return function


def _whole(sign: str, what: str) -> Callable[[Traced, Traced], Traced]:
    def function(a: Traced, b: Traced) -> Traced:
        for x in (a, b):
            if x.type == "f32":
                refuse(f"expected whole numbers for {what}, got {x._written()}")
        a, b = a._as_int(), b._as_int()
        return a._new("i32", sign, a.tree, b.tree)

    return function


def _divide(a: Traced, b: Traced) -> Traced:
    a, b = a._as_float(), b._as_float()
    return a._new("f32", "/", a.tree, b.tree)


def _function(name: str) -> Callable[[Traced], Traced]:
    def function(x: Traced) -> Traced:
        x = x._as_float()
        return x._new("f32", "call", name, x.tree)

    return function


def _of_two(name: str) -> Callable[[Traced, Traced], Traced]:
    def function(a: Traced, b: Traced) -> Traced:
        a, b = _pair(a, b)
        return a._new(a.type, "call", name, a.tree, b.tree)

    return function


def _clamp(x: Traced, min: Optional[Traced] = None, max: Optional[Traced] = None, **named: Optional[Traced]) -> Traced:
    min, max = named.pop("a_min", min), named.pop("a_max", max)
    if named:
        raise TypeError
    x = x if min is None else _FUNCTIONS["maximum"](x, min)
    return x if max is None else _FUNCTIONS["minimum"](x, max)


def _where(condition: Traced, a: Traced, b: Traced) -> Traced:
    if not (a.type == b.type == "bool"):
        a, b = _pair(a, b)
    return a._new(a.type, "?", condition._as_bool().tree, a.tree, b.tree)


def _negative(x: Traced) -> Traced:
    x = x._as_number()
    if x.tree[0] == "number":
        return symbol_of(x.trace, -x.tree[1])
    return x._new(x.type, "negate", x.tree)


def _invert(x: Traced) -> Traced:
    if x.type == "f32":
        refuse(f"expected a whole number or a condition for '~', got {x._written()}")
    return x._new(x.type, "!" if x.type == "bool" else "~", x.tree)


def _abs(x: Traced) -> Traced:
    x = x._as_number()
    return x._new(x.type, "call", "abs", x.tree)


def _power(x: Traced, power: Traced) -> Traced:
    base, exponent = (one.tree[1] if one.tree[0] == "number" else None for one in (x, power))
    x = x._as_number()
    if exponent in (0.5, -0.5):
        return _function("sqrt" if exponent == 0.5 else "rsqrt")(x)
    if exponent is not None and exponent == int(exponent) and 1 <= abs(exponent) <= 8:
        result = x
        for _ in range(abs(int(exponent)) - 1):
            result = _FUNCTIONS["multiply"](result, x)
        return result if exponent > 0 else _divide(symbol_of(x.trace, 1.0), result)
    if base is not None and base > 0:
        power = power._as_float()
        scaled = power if base == 2 else _FUNCTIONS["multiply"](power, symbol_of(x.trace, math.log2(base)))
        return _function("exp2")(scaled)
    refuse(f"expected a power of a positive constant, or one of -8 to 8, 0.5 and -0.5, got {x._written()} ** {power._written()}")


_FUNCTIONS: Dict[str, Callable[..., Traced]] = {
    "add": _arithmetic("+"), "subtract": _arithmetic("-"), "multiply": _arithmetic("*"), "true_divide": _divide,
    "subtract_reversed": lambda a, b: _FUNCTIONS["subtract"](b, a),
    "floor_divide": _whole("/", "//"), "remainder": _whole("%", "%"), "power": _power,
    "left_shift": _whole("<<", "<<"), "right_shift": _whole(">>", ">>"),
    "bitwise_and": _bits("&", "&&"), "bitwise_or": _bits("|", "||"), "bitwise_xor": _bits("^", "!="),
    "logical_and": _logical("&&"), "logical_or": _logical("||"), "logical_xor": _logical("!="),
    "logical_not": lambda x: x._new("bool", "!", x._as_bool().tree), "invert": _invert,
    "less": _comparison("<"), "less_equal": _comparison("<="), "greater": _comparison(">"),
    "greater_equal": _comparison(">="), "equal": _comparison("=="), "not_equal": _comparison("!="),
    "negative": _negative, "positive": lambda x: x._as_number(), "abs": _abs, "square": lambda x: _FUNCTIONS["multiply"](x, x),
    "reciprocal": lambda x: _divide(symbol_of(x.trace, 1.0), x), "minimum": _of_two("min"), "maximum": _of_two("max"),
    "clamp": _clamp, "clamp_min": lambda x, least: _FUNCTIONS["maximum"](x, least),
    "clamp_max": lambda x, most: _FUNCTIONS["minimum"](x, most), "relu": lambda x: _FUNCTIONS["maximum"](x, symbol_of(x.trace, 0)),
    "where": _where,
    **{name: _function(name) for name in ("exp", "exp2", "log", "log2", "sqrt", "rsqrt", "tanh", "sigmoid")},
}


#===-- Errors --===#


def refuse(message: str) -> NoReturn:
    """Raises the error at the line of the user's function that is being called."""
    frame: Optional[types.FrameType] = sys._getframe(1)
    while frame is not None and (frame.f_code.co_filename.startswith(OWN_FOLDER) or is_library(frame)):
        frame = frame.f_back
    place = ""
    if frame is not None:
        import linecache

        path, line = frame.f_code.co_filename, frame.f_lineno
        source = linecache.getline(path, line).rstrip()
        place, message = f"{path}:{line}: error: ", message + (f"\n{source}" if source else "")
    raise TraceError(place + message)


def is_library(frame: types.FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("torch", "numpy")
