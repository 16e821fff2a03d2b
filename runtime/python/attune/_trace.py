"""Python functions as masks and scores.

A function is called once with symbols in the place of numbers, and what it does to them becomes an expression. Arrays that
it reads, from its closure or from its module, are replaced by symbols for that call.
"""
from __future__ import annotations

import functools
import math
import sys
import types
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ._arrays import is_array, shape_of
from ._errors import TraceError
from ._expression import TAKEN, Tree, parts
from ._symbols import OWN_FOLDER, ArraySymbol, Symbol, Traced, call_by_name, flat_list, is_library, symbol_of


class Captures:
    """The arrays and numbers that the functions of one spec read, by the names that its expressions have for them."""

    def __init__(self, arrays: Optional[Mapping[str, Any]] = None, scalars: Optional[Mapping[str, Any]] = None):
        self.arrays: Dict[str, Any] = dict(arrays or {})
        self.scalars: Dict[str, Any] = dict(scalars or {})
        self._names = {id(value): name for name, value in (*self.arrays.items(), *self.scalars.items())}

    def name_of(self, value: Any, wish: str) -> str:
        """A name for a captured value, the same each time."""
        if id(value) not in self._names:
            name = wish if wish.isidentifier() and wish.isascii() else "array"
            while name in TAKEN or name in self.arrays or name in self.scalars:
                name += "_"
            self._names[id(value)] = name
            (self.arrays if shape_of(value) else self.scalars)[name] = value
        return self._names[id(value)]


def trace(function: Callable[..., Any], role: str, captures: Captures) -> Tuple[Tree, List[Tree]]:
    """The expression of a mask `function(b, h, q, kv) -> bool` or a score `function(score, b, h, q, kv) -> number`,
    FlexAttention's mask_mod and score_mod; and the conditions under which a score is not -inf, which are masks. Raises
    TraceError at the function's line."""
    variables = [Traced(captures, "i32", ("variable", name)) for name in ("b", "h", "q", "kv")]
    if role == "score":
        variables.insert(0, Traced(captures, "f32", ("variable", "score")))
    _check_parameters(function, role, len(variables))
    try:
        with _captures_of_torch(captures):
            value = _with_symbols(function, captures, {})(*variables)
        if isinstance(value, (ArraySymbol, bool, int, float)) or is_array(value):
            value = symbol_of(captures, value)
    except TraceError as error:
        raise _at_the_users_line(error) from None
    if not isinstance(value, Traced):
        raise TraceError(f"{_place_of(function)}: error: expected a {role} function to give a {_GIVES[role]}, "
                         f"got {type(value).__name__}")
    tree, conditions = value._as_bool().tree if role == "mask" else value._as_float().tree, []
    while tree[0] == "?" and -math.inf in (tree[2][1:2] + tree[3][1:2]) and ("variable", "score") not in parts(tree[1]):
        hidden = tree[2] == ("number", -math.inf)
        conditions.append(("!", tree[1]) if hidden else tree[1])
        tree = tree[3] if hidden else tree[2]
    if any(part[0] == "number" and math.isinf(part[1]) for part in parts(tree)):
        raise TraceError(f"{_place_of(function)}: error: expected finite numbers (a score may be -inf where a condition on "
                         f"positions says so: where(condition, score, -inf)), got {value._written()}")
    return tree, conditions


_GIVES = {"mask": "condition", "score": "number"}


def _check_parameters(function: Callable[..., Any], role: str, count: int) -> None:
    code = getattr(function, "__code__", None)
    if isinstance(function, types.FunctionType) and code.co_argcount == count and not code.co_kwonlyargcount:
        return
    import inspect  # slow to import, and to ask

    try:
        inspect.signature(function).bind(*range(count))
    except TypeError as error:
        form = "(b, h, q, kv)" if role == "mask" else "(score, b, h, q, kv)"
        raise TraceError(f"{_place_of(function)}: error: expected a {role} function of {form}: {error}") from None
    except ValueError:
        pass  # one without a signature: its call says what is wrong


#===-- Arrays and numbers that are captured --===#


def _with_symbols(function: Any, trace: Captures, known: Dict[int, Any]) -> Any:
    """The function with symbols for the arrays that it and the functions it captures read."""
    if id(function) in known:
        return known[id(function)]
    if isinstance(function, types.MethodType):
        return types.MethodType(_with_symbols(function.__func__, trace, known), function.__self__)
    if not isinstance(function, types.FunctionType):
        return function
    code = function.__code__
    foreign = _is_foreign(function)
    if foreign and not function.__closure__:
        return function

    def symbol(name: str, value: Any) -> Any:
        if isinstance(value, (types.FunctionType, types.MethodType)):
            return _with_symbols(value, trace, known)
        if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
            return type(value)(symbol(name, one) for one in value)
        return ArraySymbol(trace, value, name) if is_array(value) else value

    made = types.FunctionType(code, dict(function.__globals__), function.__name__, None,
                              tuple(types.CellType() for _ in function.__closure__ or ()))
    known[id(function)] = made  # before its captures: one of them may be itself
    made.__kwdefaults__ = {name: symbol(name, value) for name, value in (function.__kwdefaults__ or {}).items()} or None
    parameters = code.co_varnames[:code.co_argcount]
    defaults = function.__defaults__ or ()
    made.__defaults__ = tuple(symbol(name, value)
                              for name, value in zip(parameters[len(parameters) - len(defaults):], defaults)) or None
    for name, cell, old in zip(code.co_freevars, made.__closure__ or (), function.__closure__ or ()):
        try:
            cell.cell_contents = symbol(name, old.cell_contents)
        except ValueError:
            pass  # not bound yet: using it is the function's own mistake
    for name in () if foreign else _names_in(code):
        if name in made.__globals__:
            made.__globals__[name] = symbol(name, made.__globals__[name])
    return made


def _names_in(code: types.CodeType) -> List[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names_in(constant)
    return names


def _is_foreign(function: types.FunctionType) -> bool:
    """Functions of libraries take traced values by their protocols: of them only what they captured is replaced, such as
    the masks of and_masks()."""
    return (function.__module__ or "").partition(".")[0] in ("torch", "transformers", "numpy", "attune", "functools")


class _captures_of_torch:
    """While it is entered, `tensor[index]` with a traced index is read as an element, wherever the tensor comes from:
    an attribute, or what the function computed before."""

    def __init__(self, trace: Captures):
        self.trace, self.mode = trace, None

    def __enter__(self) -> None:
        torch = sys.modules.get("torch")
        if torch is not None:
            self.mode = _mode_of_torch(torch)(self.trace)
            self.mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.mode is not None:
            self.mode.__exit__(*error)


@functools.lru_cache(None)
def _mode_of_torch(torch: Any) -> Any:
    class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[name-defined]
        def __init__(self, trace: Captures):
            super().__init__()
            self.trace = trace

        def __torch_function__(self, function: Any, kinds: Any, arguments: Any = (), named: Any = None) -> Any:
            if any(isinstance(one, Symbol) for one in flat_list((*arguments, *(named or {}).values()))):
                return call_by_name(self.trace, function.__name__, arguments, named or {})
            return function(*arguments, **(named or {}))

    return Mode


def _at_the_users_line(error: TraceError) -> TraceError:
    """The error with a traceback that ends in the user's function."""
    last = None
    at = error.__traceback__
    while at is not None:
        if not at.tb_frame.f_code.co_filename.startswith(OWN_FOLDER) and not is_library(at.tb_frame):
            last = at
        at = at.tb_next
    if last is not None:
        last.tb_next = None
    return error


def _place_of(function: Any) -> str:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)
