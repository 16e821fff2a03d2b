"""From the arguments of a call to a spec's JSON text and what it reads."""
from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ._arrays import captured_dtype, converted, is_array, item_of, kind_of, shape_of
from ._errors import Error
from ._expression import NotUnderstood, Tree, axes_of, parse, text_of


class Problem(NamedTuple):
    """The sizes and types of Q, K and V."""

    dtype: str
    layout: str
    batch: int
    heads_q: int
    heads_kv: int
    length_q: int
    length_kv: int
    head_dim_qk: int
    head_dim_v: int

    def extents(self) -> Dict[str, int]:
        """How far the variables of expressions reach."""
        return {"b": self.batch, "h": self.heads_q, "hkv": self.heads_kv, "q": self.length_q, "kv": self.length_kv}

    def shape_of_output(self) -> Tuple[int, int, int, int]:
        if self.layout == "bhsd":
            return self.batch, self.heads_q, self.length_q, self.head_dim_v
        return self.batch, self.length_q, self.heads_q, self.head_dim_v


def problem_of(dtypes: Sequence[str], shapes: Sequence[Tuple[int, ...]], layout: str) -> Problem:
    """The problem that Q, K and V of these types and shapes are. Errors: InvalidShape, InvalidSpec, InvalidArgument."""
    q, k, v = shapes
    if layout not in ("bshd", "bhsd"):
        raise Error(f"expected layout 'bshd' (batch, sequence, head, dim) or 'bhsd', got {layout!r}", "InvalidSpec")
    for name, shape in (("q", q), ("k", k), ("v", v)):
        if len(shape) != 4:
            raise Error(f"expected {name} of 4 axes ({', '.join(_AXES[layout])}), got shape {tuple(shape)}", "InvalidShape")
    if dtypes[0] not in ("fp16", "bf16"):  # those of k and v launches compare with the kernel's
        raise Error(f"expected q of float16 or bfloat16 (of NumPy: ml_dtypes.bfloat16, or its bits as uint16), got {dtypes[0]}",
                    "InvalidArgument")
    sequence, head = (1, 2) if layout == "bshd" else (2, 1)
    for name, shape, like, axes in (("k", k, q, (0, 3)), ("v", v, k, (0, sequence, head))):
        for axis in axes:
            if shape[axis] != like[axis]:
                raise Error(f"expected {name} with {_AXES[layout][axis]} {like[axis]} as {'q' if like is q else 'k'} has, got shape "
                            f"{tuple(shape)}", "InvalidShape")
    return Problem(dtypes[0], layout, q[0], q[head], k[head], q[sequence], k[sequence], q[3], v[3])


_AXES = {"bshd": ("batch", "sequence", "heads", "head dim"), "bhsd": ("batch", "heads", "sequence", "head dim")}


class Spec(NamedTuple):
    """A spec's JSON text, and the arrays and numbers that launches of it are given."""

    text: str
    arrays: Dict[str, Any]
    scalars: Dict[str, Any]


def make_spec(problem: Problem, mask: Any, score: Any, scale: Any, arrays: Optional[Mapping[str, Any]],
              scalars: Optional[Mapping[str, Any]], others: Mapping[str, Any]) -> Spec:
    """The spec of a call of attune.attention. `others` are further keys of a spec, as JSON has them."""
    others = dict(others)
    given = {name: value[0] if isinstance(value, tuple) else value for name, value in (arrays or {}).items()}
    axes = {name: list(value[1]) for name, value in (arrays or {}).items() if isinstance(value, tuple)}
    for name, value in given.items():
        if not is_array(value):
            raise Error(f"expected an array for '{name}', or a pair of one and its axes, got {type(value).__name__}")
    numbers = dict(scalars or {})
    trees: List[Tree] = []
    if callable(score) or any(callable(one) for one in _list_of(mask)):
        from ._trace import Captures, trace

        captures = Captures(given, numbers)
        masks = [text_of(_keep(trees, trace(one, "mask", captures)[0])) if callable(one) else one for one in _list_of(mask)]
        if callable(score):
            tree, conditions = trace(score, "score", captures)
            masks += [text_of(_keep(trees, condition)) for condition in conditions]
            score = text_of(_keep(trees, tree)) if tree != ("variable", "score") else None
        given, numbers = captures.arrays, captures.scalars
    else:
        masks = _list_of(mask)
    names = tuple(numbers)
    for text in (*masks, score):
        if isinstance(text, str):
            try:
                trees.append(parse(text, names))
            except NotUnderstood:
                pass  # a named mask, or a mistake that the compiler shows

    spec: Dict[str, Any] = {"dtype": problem.dtype, "head_dim_qk": problem.head_dim_qk, "head_dim_v": problem.head_dim_v,
                            "layout": problem.layout}
    masks = [one for one in masks if one not in (None, "none")]
    if masks:
        spec["mask"] = masks[0] if len(masks) == 1 else masks
    if score is not None:
        spec["score"] = score
    if scale is not None:
        spec["scale"] = scale
    own = {name: others[name] for name in OWN_ARRAYS if is_array(others.get(name))}
    others.update(dict.fromkeys(own, True))
    launched = {name: converted(value, name) for name, value in given.items()}
    if launched:
        extents = problem.extents()
        spec["arrays"] = {name: {"dtype": captured_dtype(value),
                                 "axes": axes.get(name) or axes_of(trees, name, shape_of(value), extents)}
                          for name, value in launched.items()}
    declared = {name: "f32" if _is_real(value) else "i32" for name, value in numbers.items() if name not in _OWN_SCALARS}
    if declared:
        spec["scalars"] = declared
    spec.update(others)
    launched.update({name: value if name == "sink" else converted(value, name) for name, value in own.items()})
    try:
        text = json.dumps(spec, default=_plain)
    except (TypeError, ValueError) as error:
        raise Error(f"expected a spec of what JSON has: {error}", "InvalidSpec") from None
    return Spec(text, launched, numbers)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return item_of(value)
    raise TypeError(f"{type(value).__name__} {value!r} is none of it")


# Keys of a spec that ask for an array, of the same name.
OWN_ARRAYS = ("sink", "lengths_q", "lengths_kv")

# What "runtime" in a spec makes of its own fields.
_OWN_SCALARS = ("scale", "softcap", "window_left", "window_right")


def _keep(trees: List[Tree], tree: Tree) -> Tree:
    trees.append(tree)
    return tree


def _list_of(mask: Any) -> List[Any]:
    return list(mask) if isinstance(mask, (list, tuple)) else [mask]


def _is_real(value: Any) -> bool:
    return kind_of(value) == "f32" if is_array(value) or hasattr(value, "dtype") else isinstance(value, float)


def number_of(value: Any) -> float:
    return float(item_of(value)) if hasattr(value, "item") else float(value)
