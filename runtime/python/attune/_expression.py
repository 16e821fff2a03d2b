"""Masks and scores as trees: written as text for the compiler, read back from it, and computed with tensors.

A tree is made of tuples, so that equal trees are equal and a part may be shared:

    ("variable", name)  ("number", value)  ("scalar", name)  ("element", array, index, ...)
    (operator, operand, ...)  with the language's own signs ("+", "?", "!"); ("negate", x); ("call", function, argument, ...)
"""
from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

Tree = Tuple[Any, ...]

VARIABLES = ("b", "h", "hkv", "q", "kv", "len_q", "len_kv", "score")
FUNCTIONS = ("min", "max", "abs", "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "tanh", "sigmoid", "float", "int")
# What arguments of every kernel are called, and words of the language: no array or scalar may be called so.
TAKEN = frozenset(VARIABLES + FUNCTIONS + ("true", "false", "and", "or", "not", "i32", "f32", "bool", "q", "k", "v", "o",
                                           "lse", "sink", "lengths_q", "lengths_kv", "scale", "softcap", "window_left", "window_right"))

# Of infix operators, as C has it: the larger binds tighter.
PRECEDENCE = {"?": 1, "||": 2, "&&": 3, "|": 4, "^": 5, "&": 6, "==": 7, "!=": 7, "<": 8, "<=": 8, ">": 8, ">=": 8,
              "<<": 9, ">>": 9, "+": 10, "-": 10, "*": 11, "/": 11, "%": 11}
_PREFIX = {"negate": "-", "!": "!", "~": "~"}
_PREFIX_PRECEDENCE, _TIGHTEST = 12, 13


def text_of(tree: Tree) -> str:
    """The tree as the language writes it, with the parentheses that it needs."""
    return _written(tree)[0]


def _written(tree: Tree) -> Tuple[str, int]:
    kind = tree[0]
    if kind in ("variable", "scalar"):
        return tree[1], _TIGHTEST
    if kind == "number":
        return _number(tree[1])
    if kind in ("element", "call"):
        opening, closing = ("[", "]") if kind == "element" else ("(", ")")
        return f"{tree[1]}{opening}{', '.join(text_of(one) for one in tree[2:])}{closing}", _TIGHTEST
    if kind in _PREFIX:
        return _PREFIX[kind] + _inside(tree[1], _PREFIX_PRECEDENCE + 1), _PREFIX_PRECEDENCE
    own = PRECEDENCE[kind]
    if kind == "?":
        return f"{_inside(tree[1], own + 1)} ? {_inside(tree[2], own)} : {_inside(tree[3], own)}", own
    return f"{_inside(tree[1], own)} {kind} {_inside(tree[2], own + 1)}", own


def _inside(tree: Tree, least: int) -> str:
    text, precedence = _written(tree)
    return text if precedence >= least else f"({text})"


def _number(value: Any) -> Tuple[str, int]:
    if isinstance(value, bool):
        return ("true" if value else "false"), _TIGHTEST
    if isinstance(value, int):
        if value == -2**31:
            return "-2147483647 - 1", PRECEDENCE["-"]
        return str(value), _TIGHTEST if value >= 0 else _PREFIX_PRECEDENCE
    text = repr(value)
    return text if "." in text or "e" in text else text + ".0", _TIGHTEST if text[0] != "-" else _PREFIX_PRECEDENCE


_TOKEN = re.compile(r"\s*(?:(0[xX][0-9a-fA-F]+)|(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)"
                    r"|(\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%|^&<>!~?:()\[\],]))")


class NotUnderstood(ValueError):
    """Text that is no expression. The compiler says what is wrong with it, and where."""


def parse(text: str, scalars: Tuple[str, ...] = ()) -> Tree:
    """The tree that a text of the language says. Types are not checked: the compiler does that."""
    tokens: List[Tuple[str, Any]] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if not found:
            raise NotUnderstood(text[at:])
        at = found.end()
        whole, number, name, symbol = found.groups()
        if whole:
            value = int(whole, 16)
            tokens.append(("number", value - 2**32 if value >= 2**31 else value))
        elif number:
            tokens.append(("number", int(number) if number.isdigit() else float(number)))
        else:
            tokens.append(("name", name) if name else ("symbol", symbol))
    tokens.append(("end", ""))
    reader = _Reader(tokens, scalars)
    try:
        tree = reader.infix(1)
    except RecursionError:
        raise NotUnderstood("nested too deeply") from None
    if reader.token[0] != "end":
        raise NotUnderstood(str(reader.token[1]))
    return tree


class _Reader:
    def __init__(self, tokens: List[Tuple[str, Any]], scalars: Tuple[str, ...]):
        self.tokens, self.at, self.scalars = tokens, 0, scalars

    @property
    def token(self) -> Tuple[str, Any]:
        return self.tokens[self.at]

    def take(self, symbol: str) -> bool:
        if self.token != ("symbol", symbol):
            return False
        self.at += 1
        return True

    def expect(self, symbol: str) -> None:
        if not self.take(symbol):
            raise NotUnderstood(str(self.token[1]))

    def infix(self, least: int) -> Tree:
        left = self.prefix()
        while self.token[0] == "symbol" and PRECEDENCE.get(self.token[1], 0) >= least:
            sign = self.token[1]
            self.at += 1
            if sign == "?":
                yes = self.infix(1)
                self.expect(":")
                left = ("?", left, yes, self.infix(1))
            else:
                left = (sign, left, self.infix(PRECEDENCE[sign] + 1))
        return left

    def prefix(self) -> Tree:
        for kind, sign in _PREFIX.items():
            if self.take(sign):
                return (kind, self.prefix())
        if self.take("+"):
            return self.prefix()
        kind, value = self.token
        if kind == "number":
            self.at += 1
            return ("number", value)
        if self.take("("):
            inside = self.infix(1)
            self.expect(")")
            return inside
        if kind != "name":
            raise NotUnderstood(str(value))
        self.at += 1
        if self.take("["):
            return ("element", value, *self.list("]"))
        if value in FUNCTIONS:
            self.expect("(")
            return ("call", value, *self.list(")"))
        if value in ("true", "false"):
            return ("number", value == "true")
        if value in VARIABLES:
            return ("variable", value)
        if value in self.scalars:
            return ("scalar", value)
        raise NotUnderstood(value)

    def list(self, close: str) -> List[Tree]:
        items = [self.infix(1)]
        while self.take(","):
            items.append(self.infix(1))
        self.expect(close)
        return items


def parts(tree: Tree) -> Iterator[Tree]:
    """The tree and every part of it, each once."""
    seen, waiting = set(), [tree]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.extend(operand for operand in one[1:] if isinstance(operand, tuple))


def variables_of(tree: Tree) -> List[str]:
    """The variables that it reads; first the one that it is, if it is one."""
    return [one[1] for one in parts(tree) if one[0] == "variable"]


def axes_of(trees: List[Tree], array: str, shape: Tuple[int, ...], extents: Mapping[str, int]) -> List[str]:
    """Axes for a captured array: the variable that indexes one and reaches as far as it is long (`extents`), so that
    one kernel serves every length; else the length."""
    uses = [part[2:] for tree in trees for part in parts(tree) if part[0] == "element" and part[1] == array]
    axes = []
    for axis, extent in enumerate(shape):
        indices = [use[axis] for use in uses if len(use) > axis]
        plain = [index[1] for index in indices if index[0] == "variable"]
        read = plain + [name for index in indices for name in variables_of(index)]
        candidates = read + (["hkv"] if "h" in read else [])
        axes.append(next((name for name in candidates if extents.get(name) == extent), str(extent)))
    return axes


def compute(tree: Tree, backend: Any, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
    """The tree's value by a module that computes as NumPy and torch do (`backend`): variables and scalars are
    `values`, whole numbers as int64; captured arrays are of int64, float32 or bool. Of all places at once, where the
    variables are arrays that are broadcast against each other."""
    known: Dict[int, Any] = {}

    def is_float(x: Any) -> bool:
        return isinstance(x, float) or "float" in str(getattr(x, "dtype", ""))

    def divided(a: Any, b: Any, whole: Callable[[Any, Any], Any]) -> Any:
        if is_float(a) or is_float(b):
            return a / b
        zero = backend.as_tensor(b == 0) if hasattr(backend, "as_tensor") else backend.asarray(b == 0)
        return backend.where(zero, 0, whole(a, backend.where(zero, 1, b)))

    def element(name: str, indices: List[Any]) -> Any:
        array = arrays[name]
        return array[tuple(index.clip(0, extent - 1) if hasattr(index, "clip") else min(max(index, 0), extent - 1)
                           for index, extent in zip(indices, array.shape))]

    def made(tree: Tree) -> Any:
        if id(tree) not in known:
            known[id(tree)] = calculated(tree)
        return known[id(tree)]

    def calculated(tree: Tree) -> Any:
        kind = tree[0]
        if kind == "number":
            return tree[1]
        if kind in ("variable", "scalar"):
            return values[tree[1]]
        if kind == "element":
            return element(tree[1], [made(index) for index in tree[2:]])
        if kind == "call":
            return called(tree[1], [made(argument) for argument in tree[2:]])
        operands = [made(operand) for operand in tree[1:]]
        return _SIGNS[kind](*operands) if kind in _SIGNS else special[kind](*operands)

    def tensor(x: Any) -> Any:
        return backend.as_tensor(x) if hasattr(backend, "as_tensor") else backend.asarray(x)

    special: Dict[str, Callable[..., Any]] = {
        "/": lambda a, b: divided(a, b, lambda x, y: x // y),
        "%": lambda a, b: divided(a, b, lambda x, y: x % y),
        "!": lambda a: not a if isinstance(a, bool) else ~a,
        "?": lambda c, a, b: backend.where(tensor(c), a, b),
    }

    def called(name: str, arguments: List[Any]) -> Any:
        first = arguments[0]
        if name in ("min", "max"):
            for other in arguments[1:]:
                pair = backend.minimum if name == "min" else backend.maximum
                a, b = tensor(first), tensor(other)
                kind = backend.result_type(a, b)
                first = pair(a + backend.zeros((), dtype=kind), b + backend.zeros((), dtype=kind))
            return first
        if name == "abs":
            return abs(first)
        if name == "int":
            return int(first) if isinstance(first, (bool, int, float)) else _cast(first, backend.int64)
        real = float(first) if isinstance(first, (bool, int, float)) else _cast(first, backend.float32)
        if name == "float":
            return real
        real = tensor(real)
        if name == "rsqrt":
            return 1 / backend.sqrt(real)
        if name == "sigmoid":
            return 1 / (1 + backend.exp(-real))
        return getattr(backend, name)(real)

    return made(tree)


def _cast(x: Any, dtype: Any) -> Any:
    return x.to(dtype) if hasattr(x, "to") else x.astype(dtype)


_SIGNS: Dict[str, Callable[..., Any]] = {
    "negate": lambda a: -a, "~": lambda a: ~a, "*": lambda a, b: a * b, "+": lambda a, b: a + b, "-": lambda a, b: a - b,
    "<<": lambda a, b: a << (b & 31), ">>": lambda a, b: a >> (b & 31), "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "&": lambda a, b: a & b, "^": lambda a, b: a ^ b, "|": lambda a, b: a | b, "&&": lambda a, b: a & b,
    "||": lambda a, b: a | b,
}
