"""attune in PyTorch: one operator with autograd and torch.compile, and the interfaces that torch's own attention has.

    import attune.torch
    o = attune.torch.attention(q, k, v, mask="causal")
    o = attune.torch.scaled_dot_product_attention(query, key, value, is_causal=True)
    o = attune.torch.flex_attention(query, key, value, score_mod, block_mask)

Tensors of a GPU are computed there, on torch's current stream, without a copy. Tensors of the CPU are computed on the
simulated GPU: right to the bit, and slow; the first call says so.
"""
from __future__ import annotations

import ctypes
import json
import math
import warnings
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from . import _native
from ._arrays import captured_dtype, converted
from ._errors import Error
from ._expression import Tree, compute, parse, text_of
from ._plan import Context, Plan, context_on
from ._spec import OWN_ARRAYS, make_spec, problem_of

__all__ = ["attention", "scaled_dot_product_attention", "flex_attention", "register_flash_attention_impl"]

_library = torch.library.Library("attune", "DEF")
# The arrays and scalars that expressions read come by name, scalars as "NAME:i32" or "NAME:f32". `options`: the rest of
# the spec, as JSON. LSE is empty where it is not asked for.
_library.define("attention(Tensor q, Tensor k, Tensor v, Tensor[] arrays, str[] names, float[] scalars, str[] scalar_names, "
                "str[] masks, str? score, float? scale, str layout, str options, bool lse) -> (Tensor, Tensor)")


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Any = "causal", score: Union[None, str, Callable[..., Tensor]] = None,
              scale: Optional[float] = None, arrays: Optional[Mapping[str, Tensor]] = None, *,
              scalars: Optional[Mapping[str, float]] = None, layout: str = "bshd", lse: bool = False, **spec: Any) -> Any:
    """attune.attention of tensors, differentiable, and one operator for torch.compile.

    Arguments, shapes and dtypes as attune.attention has them. Gradients go to q, k, v, sink and to captured arrays of
    float dtypes. They are computed by a formula in torch (a warning says so), from the saved LSE, in blocks of queries.
    """
    text = _texts(mask, score, arrays, scalars)
    tensors, names = list(text.arrays.values()), list(text.arrays)
    for name in OWN_ARRAYS:
        if isinstance(spec.get(name), Tensor):
            names.append(name)
            tensors.append(spec.pop(name))
    needs = torch.is_grad_enabled() and any([one.requires_grad for one in (q, k, v, *tensors)])
    out, sums = torch.ops.attune.attention(q, k, v, tensors, names, [float(x) for x in text.scalars.values()],
                                           [_typed(name, value) for name, value in text.scalars.items()], text.masks, text.score,
                                           scale, layout, _options(spec), lse or needs)
    return (out, sums) if lse else out


class _Texts:
    """Masks and a score as text, with what they read."""

    def __init__(self, masks: List[str], score: Optional[str], arrays: Dict[str, Tensor], scalars: Dict[str, Any]):
        self.masks, self.score, self.arrays, self.scalars = masks, score, arrays, scalars


def _texts(mask: Any, score: Any, arrays: Optional[Mapping[str, Tensor]], scalars: Optional[Mapping[str, Any]]) -> _Texts:
    masks = list(mask) if isinstance(mask, (list, tuple)) else [] if mask is None else [mask]
    if not callable(score) and not any([callable(one) for one in masks]):
        return _Texts([one if isinstance(one, str) else json.dumps(one) for one in masks], score, dict(arrays or {}), dict(scalars or {}))
    from ._trace import Captures, trace

    captures = Captures(arrays, scalars)
    texts = [text_of(trace(one, "mask", captures)[0]) if callable(one) else one for one in masks]
    if callable(score):
        tree, conditions = trace(score, "score", captures)
        texts += [text_of(one) for one in conditions]
        score = None if tree == ("variable", "score") else text_of(tree)
    values = {name: value.item() if isinstance(value, Tensor) else value for name, value in captures.scalars.items()}
    return _Texts(texts, score, {name: torch.as_tensor(value) for name, value in captures.arrays.items()}, values)


def _typed(name: str, value: Any) -> str:
    return f"{name}:f32" if isinstance(value, float) else f"{name}:i32"


def _options(spec: Mapping[str, Any]) -> str:
    if not spec:
        return "{}"
    if len(spec) == 1 and "softcap" in spec and spec["softcap"] is not None:  # without json, which torch.compile cannot follow
        return f'{{"softcap": {float(spec["softcap"])}}}'
    return json.dumps({key: value for key, value in spec.items() if value is not None})


#===-- The operator --===#


_plans: Dict[Any, Plan] = {}
_said: List[bool] = []


def _forward(q: Tensor, k: Tensor, v: Tensor, arrays: List[Tensor], names: List[str], scalars: List[float],
             scalar_names: List[str], masks: List[str], score: Optional[str], scale: Optional[float], layout: str, options: str,
             lse: bool) -> Tuple[Tensor, Tensor]:
    device = q.device.index if q.device.type == "cuda" else None
    if device is None and not _said:
        _said.append(True)
        warnings.warn("attune: tensors of the CPU are computed on the simulated GPU, which is slow; tensors of a GPU are "
                      "computed there", stacklevel=2)
    q, k, v = [_aligned(one) for one in (q, k, v)]
    captured = {name: converted(value, name) for name, value in zip(names, arrays)}
    values = {name.partition(":")[0]: value if name.endswith("f32") else int(value) for name, value in zip(scalar_names, scalars)}
    key = (q.device, q.dtype, k.dtype, v.dtype, q.shape, k.shape, v.shape, tuple(masks), score, scale, layout, options, lse,
           tuple([(name, one.shape, one.dtype) for name, one in captured.items()]), tuple(scalar_names))
    plan = _plans.get(key)
    if plan is None:
        plan = _plan((q, k, v), captured, values, masks, score, scale, layout, options, lse, context_on(device))
        if len(_plans) >= 1024:
            _plans.clear()
        _plans[key] = plan
    with torch.no_grad():
        made = plan(q, k, v, arrays=captured, scalars=values)
    return made if lse else (made, q.new_empty(0, dtype=torch.float32))


def _aligned(tensor: Tensor) -> Tensor:
    """As kernels read it: rows of adjacent elements that begin at multiples of 16 bytes. Where it is not, a copy."""
    if tensor.is_contiguous() and tensor.dim() == 4 and tensor.shape[3] % 8 == 0 and tensor.data_ptr() % 16 == 0:
        return tensor
    strides = tensor.stride()
    whole = tensor.dim() == 4 and strides[3] == 1 and not any(
        [stride % 8 for stride, extent in zip(strides[:3], tensor.shape) if extent > 1]) and tensor.data_ptr() % 16 == 0
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def _plan(qkv: Sequence[Tensor], arrays: Mapping[str, Tensor], scalars: Mapping[str, Any], masks: List[str],
          score: Optional[str], scale: Optional[float], layout: str, options: str, lse: bool, context: Context) -> Plan:
    names = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    problem = problem_of([names.get(one.dtype, str(one.dtype)) for one in qkv], [tuple(one.shape) for one in qkv], layout)
    others: Dict[str, Any] = json.loads(options)
    others.update({name: arrays[name] for name in OWN_ARRAYS if name in arrays})
    if lse:
        others["lse"] = True
    spec = make_spec(problem, [_mask_of(one) for one in masks], score, scale,
                     {name: one for name, one in arrays.items() if name not in OWN_ARRAYS}, scalars, others)
    return Plan.of_spec(problem, spec._replace(arrays=dict.fromkeys(arrays), scalars=dict.fromkeys(scalars)), context)


def _mask_of(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


_library.impl("attention", _forward, "CPU")
_library.impl("attention", _forward, "CUDA")


def _shape_of_output(q: Tensor, v: Tensor) -> List[Any]:
    return [*q.shape[:3], v.shape[3]]


@torch.library.register_fake("attune::attention")
def _fake(q: Tensor, k: Tensor, v: Tensor, arrays: Any, names: Any, scalars: Any, scalar_names: Any, masks: Any, score: Any,
          scale: Any, layout: str, options: str, lse: bool) -> Tuple[Tensor, Tensor]:
    sequence, head = (1, 2) if layout == "bshd" else (2, 1)
    rows = [q.shape[0], q.shape[head], q.shape[sequence]] if lse else [0]
    return q.new_empty(_shape_of_output(q, v)), q.new_empty(rows, dtype=torch.float32)


#===-- Gradients --===#


def _keep_for_backward(ctx: Any, inputs: Tuple[Any, ...], output: Tuple[Tensor, Tensor]) -> None:
    q, k, v, arrays, *ctx.rest = inputs
    ctx.save_for_backward(q, k, v, *output, *arrays)


_BLOCK_ELEMENTS = 2**26  # of scores that are computed at once


def _backward(ctx: Any, d_out: Optional[Tensor], d_lse: Optional[Tensor]) -> Tuple[Any, ...]:
    """dV = P^T dO, dS = P (dO V^T - rowsum(dO O) + dLSE), and what dS is to Q, K and captured arrays: autograd's answer."""
    q, k, v, out, lse, *arrays = ctx.saved_tensors
    names, scalars, scalar_names, masks, score, scale, layout, options, has_lse = ctx.rest
    if not has_lse:
        raise Error("expected lse for a backward pass, got a call of the operator without it (attune.torch.attention asks for it "
                    "where a gradient is needed)")
    dq, dk, dv, d_arrays = _gradients(q, k, v, out, lse, d_out, d_lse, dict(zip(names, arrays)), dict(zip(scalar_names, scalars)),
                                      masks, score, scale, layout, options)
    grads_of_arrays = [d_arrays[name].to(one.dtype) if name in d_arrays and one.is_floating_point() else None
                       for name, one in zip(names, arrays)]
    none = [[] if one == [] else None for one in ctx.rest]  # an empty list could have been one of tensors
    return (dq, dk, dv, grads_of_arrays, *none)


def _gradients(q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, d_out: Optional[Tensor], d_lse: Optional[Tensor],
               arrays: Dict[str, Tensor], scalars: Dict[str, float], masks: List[str], score: Optional[str],
               scale: Optional[float], layout: str, options: str) -> Tuple[Tensor, Tensor, Tensor, Dict[str, Tensor]]:
    warnings.warn("attune: gradients are computed by a formula in torch, not by a kernel of attune", stacklevel=2)
    to_rows = (lambda one: one.transpose(1, 2)) if layout == "bshd" else (lambda one: one)
    qh, kh, vh, oh, doh = [to_rows(one).float() for one in (q, k, v, out, torch.zeros_like(out) if d_out is None else d_out)]
    group = qh.shape[1] // kh.shape[1]
    formula = _Formula(masks, score, scale, options, arrays, scalars, qh, kh)
    delta = (doh * oh).sum(-1) - (0 if d_lse is None else d_lse)
    sums = lse.unsqueeze(-1)
    dq, dk, dv = torch.empty_like(qh), torch.zeros_like(kh), torch.zeros_like(vh)
    d_arrays: Dict[str, Tensor] = {}
    step = max(1, _BLOCK_ELEMENTS // max(1, qh.shape[0] * qh.shape[1] * kh.shape[2]))
    for first in range(0, qh.shape[2], step):
        rows = slice(first, first + step)
        # Of products that are only scaled the answer is known (where torch's own attention asks, autograd is off); of what
        # else scores may be, autograd gives it.
        with torch.set_grad_enabled(not formula.only_scales):
            leaves = formula.leaves()
            qb, kb = [one.detach().requires_grad_(not formula.only_scales) for one in (qh[:, :, rows], kh)]
            keys = kb.repeat_interleave(group, 1)
            scores, kept = formula.scores(qb, keys, first, leaves)
        p = torch.where(kept, torch.exp(scores.detach() - sums[:, :, rows]), 0.0)
        dob = doh[:, :, rows]
        dv += _per_kv_head(p.transpose(-1, -2) @ dob, group)
        ds = p * (dob @ vh.repeat_interleave(group, 1).transpose(-1, -2) - delta[:, :, rows].unsqueeze(-1))
        if formula.only_scales:
            dq[:, :, rows] = ds @ keys * formula.scale
            dk += _per_kv_head(ds.transpose(-1, -2) @ qb * formula.scale, group)
            continue
        wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
        grads = torch.autograd.grad(scores, [qb, kb, *wanted.values()], ds, allow_unused=True)
        dq[:, :, rows] = grads[0]
        dk += grads[1]
        for name, grad in zip(wanted, grads[2:]):
            if grad is not None:
                d_arrays[name] = d_arrays.get(name, 0) + grad
    if "sink" in arrays:
        sink = arrays["sink"].float().view(1, -1, 1)
        d_arrays["sink"] = (-torch.where(torch.isinf(lse), 0.0, torch.exp(sink - lse)) * delta).sum((0, 2))
    return to_rows(dq).to(q.dtype), to_rows(dk).to(k.dtype), to_rows(dv).to(v.dtype), d_arrays


def _per_kv_head(per_head: Tensor, group: int) -> Tensor:
    batch, heads, rows, dim = per_head.shape
    return per_head.view(batch, heads // group, group, rows, dim).sum(2)


class _Formula:
    """A spec's scores and mask by torch's own operations."""

    def __init__(self, masks: List[str], score: Optional[str], scale: Optional[float], options: str, arrays: Dict[str, Tensor],
                 scalars: Dict[str, float], q: Tensor, k: Tensor):
        spec: Dict[str, Any] = {"head_dim": 64, "mask": [_mask_of(one) for one in masks if one != "none"], **json.loads(options)}
        values = {name.partition(":")[0]: value if name.endswith("f32") else int(value) for name, value in scalars.items()}
        names = tuple(values)
        self.masks = [tree for one in spec["mask"] for tree in _tree_of_mask(one, names)]
        self.score = None if score is None else parse(score, names)
        self.scale = values.get("scale", 1 / math.sqrt(q.shape[-1]) if scale is None else scale)
        self.softcap = values.get("softcap", spec.get("softcap"))
        self.only_scales = self.score is None and self.softcap is None
        self.arrays, self.values = {name: one for name, one in arrays.items() if name not in OWN_ARRAYS}, values
        self.keys = k.shape[2]
        self.lengths = [arrays[name].clamp(0, most).view(-1, 1, 1, 1) if name in arrays else most
                        for name, most in (("lengths_q", q.shape[2]), ("lengths_kv", self.keys))]
        self.batch, self.heads, self.heads_kv, self.device = q.shape[0], q.shape[1], k.shape[1], q.device

    def leaves(self) -> Dict[str, Tensor]:
        """Captured arrays in the types that expressions read; those of floats want a gradient."""
        made = {}
        for name, one in self.arrays.items():
            kind = captured_dtype(one)
            one = one.detach().to(torch.bool if kind == "u8" else torch.int64 if kind == "i32" else torch.float32)
            made[name] = one.requires_grad_() if one.is_floating_point() else one
        return made

    def scores(self, q: Tensor, k: Tensor, first: int, arrays: Dict[str, Tensor]) -> Tuple[Tensor, Tensor]:
        """Of queries from `first` on: scores (batch, heads, queries, keys), and which of them are kept."""
        count = lambda extent, axis, begin=0: torch.arange(begin, begin + extent, device=self.device).view(  # noqa: E731
            [-1 if axis == at else 1 for at in range(4)])
        heads = count(self.heads, 1)
        values: Dict[str, Any] = {**self.values, "b": count(self.batch, 0), "h": heads, "hkv": heads // (self.heads // self.heads_kv),
                                  "q": count(q.shape[2], 2, first), "kv": count(self.keys, 3), "len_q": self.lengths[0],
                                  "len_kv": self.lengths[1]}
        scores = q @ k.transpose(-1, -2) * self.scale
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if self.score is not None:
            scores = compute(self.score, torch, {**values, "score": scores}, arrays) + torch.zeros_like(scores)
        kept = ((values["q"] < self.lengths[0]) & (values["kv"] < self.lengths[1])).expand_as(scores)
        for mask in self.masks:
            kept = kept & torch.as_tensor(compute(mask, torch, values, arrays), device=self.device)
        return scores, kept


def _tree_of_mask(mask: Any, scalars: Tuple[str, ...]) -> List[Tree]:
    """Trees that must all be true, of a mask as a spec has it: named, or an expression."""
    named = isinstance(mask, dict) or mask.partition(":")[0] in ("causal", "window", "none")
    if not named:
        return [parse(mask, scalars)]
    text = ctypes.c_void_p()
    _native.check(_native.library().attune_spec_read(json.dumps({"mask": mask}).encode(), b"mask", ctypes.byref(text)))
    terms = json.loads(_native.take_text(text))["mask"]
    trees: List[Tree] = []
    for term in terms if isinstance(terms, list) else [terms]:
        q: Tree = ("variable", "q")
        if term.get("align") == "bottom_right":
            q = ("+", q, ("-", ("variable", "len_kv"), ("variable", "len_q")))
        left, right = ("none", 0) if term["kind"] == "causal" else (term.get("left", "none"), term.get("right", "none"))
        for bound, sign, name, later in ((left, ">=", "window_left", "-"), (right, "<=", "window_right", "+")):
            if bound in ("none", None):
                continue
            number: Tree = ("scalar", name) if isinstance(bound, str) else ("number", bound)
            trees.append((sign, ("variable", "kv"), (later, q, number)))
    return trees


torch.library.register_autograd("attune::attention", _backward, setup_context=_keep_for_backward, lib=_library)


#===-- The interfaces of torch --===#


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Optional[Tensor] = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: Optional[float] = None,
                                 enable_gqa: bool = False) -> Tensor:
    """torch.nn.functional.scaled_dot_product_attention by attune.

    query: (..., heads, len_q, dim), key and value: (..., heads_kv, len_kv, dim), float16 or bfloat16, at least 3 axes.
    attn_mask: bool (True is kept) or of a float dtype (added to the scores), broadcast to (..., heads, len_q, len_kv).
    is_causal: query i sees keys 0 .. i. Dropout is refused. A row that keeps no key gives 0.
    """
    if dropout_p:
        raise Error(f"expected dropout_p 0 (attune has no dropout), got {dropout_p}")
    if attn_mask is not None and is_causal:
        raise Error("expected attn_mask or is_causal, got both")
    if query.dim() < 3 or key.dim() != query.dim() or value.dim() != query.dim():
        raise Error(f"expected query, key and value of one rank, 3 or more, got {query.dim()}, {key.dim()} and {value.dim()} axes",
                    "InvalidShape")
    if not enable_gqa and query.shape[-3] != key.shape[-3] and query.dim() > 3:
        raise Error(f"expected as many heads of key as of query without enable_gqa, got {key.shape[-3]} and {query.shape[-3]}",
                    "InvalidShape")
    leading = query.shape[:-3]
    q, k, v = [one.reshape(-1, *one.shape[-3:]) for one in (query, key, value)]
    mask: Any = "causal" if is_causal else None
    score: Optional[str] = None
    arrays: Dict[str, Tensor] = {}
    if attn_mask is not None:
        shape = (*leading, query.shape[-3], query.shape[-2], key.shape[-2])
        tensor = attn_mask.reshape([1] * (len(shape) - attn_mask.dim()) + list(attn_mask.shape))
        if len(shape) != 4:
            tensor = tensor.expand(shape).reshape(-1, *shape[-3:])
        element, arrays["attn_mask"] = broadcast_element("attn_mask", tensor, (q.shape[0], *shape[-3:]))
        if attn_mask.dtype == torch.bool:
            mask = element
        else:
            score = f"score + {element}"
    return attention(q, k, v, mask, score, scale, arrays, layout="bhsd").reshape(*leading, *query.shape[-3:-1], value.shape[-1])


def broadcast_element(name: str, tensor: Tensor, shape: Tuple[int, ...]) -> Tuple[str, Tensor]:
    """The element, as an expression, of a tensor that is broadcast to (batch, heads, queries, keys), and the tensor to be
    captured: axes of one element are left out of both."""
    for extent, whole in zip(tensor.shape, shape):
        if extent not in (1, whole):
            raise Error(f"expected {name} that broadcasts to {tuple(shape)}, got shape {tuple(tensor.shape)}", "InvalidShape")
    indices = [index for index, extent in zip(("b", "h", "q", "kv"), tensor.shape) if extent != 1]
    return f"{name}[{', '.join(indices) or '0'}]", tensor.reshape([extent for extent in tensor.shape if extent != 1] or [1])


def flex_attention(query: Tensor, key: Tensor, value: Tensor, score_mod: Optional[Callable[..., Tensor]] = None,
                   block_mask: Any = None, scale: Optional[float] = None, enable_gqa: bool = False, return_lse: bool = False,
                   kernel_options: Optional[Mapping[str, Any]] = None, *, return_aux: Any = None) -> Any:
    """torch.nn.attention.flex_attention.flex_attention by attune.

    query: (batch, heads, len_q, dim), key and value: (batch, heads_kv, len_kv, dim), float16 or bfloat16.
    score_mod: (score, b, h, q_idx, kv_idx) -> score. block_mask: a BlockMask, of which the mask_mod alone is read (which
    blocks it leaves out, attune finds itself), or a mask_mod: (b, h, q_idx, kv_idx) -> bool. Both are traced into attune's
    expressions: arithmetic, comparisons, where, captured tensors; what is not of these is an attune.TraceError at its line.
    return_lse: also LSE (batch, heads, len_q), natural logarithm. kernel_options say nothing to attune.
    """
    if not enable_gqa and query.shape[1] != key.shape[1]:
        raise Error(f"expected as many heads of key as of query without enable_gqa, got {key.shape[1]} and {query.shape[1]}",
                    "InvalidShape")
    mask = getattr(block_mask, "mask_mod", block_mask)
    if mask is not None and not callable(mask):
        raise Error(f"expected a BlockMask or a mask_mod, got {type(block_mask).__name__}")
    wants = return_lse or bool(getattr(return_aux, "lse", False))
    if getattr(return_aux, "max_scores", False):
        raise Error("expected return_aux without max_scores, which attune does not compute")
    made = attention(query, key, value, mask, score_mod, scale, layout="bhsd", lse=wants)
    if return_aux is not None:
        from torch.nn.attention.flex_attention import AuxOutput

        return (made[0], AuxOutput(lse=made[1])) if wants else (made, AuxOutput())
    return made


#===-- torch's own scaled_dot_product_attention --===#


def _flash(query: Tensor, key: Tensor, value: Tensor, dropout_p: float, is_causal: bool, scale: Optional[float]) -> Tuple[Tensor, Tensor]:
    if dropout_p:
        raise Error(f"expected dropout_p 0 (attune has no dropout), got {dropout_p}")
    q, k, v = [one.transpose(1, 2) for one in (query, key, value)]  # so that O comes as torch's kernels have it
    out, lse = _forward(q, k, v, [], [], [], [], ["causal"] if is_causal else [], None, scale, "bshd", "{}", True)
    return out.transpose(1, 2), lse


def _flash_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, is_causal: bool,
                    scale: Optional[float]) -> Tuple[Tensor, Tensor, Tensor]:
    return _gradients(query, key, value, out, lse, grad, None, {}, {}, ["causal"] if is_causal else [], None, scale, "bhsd", "{}")[:3]


def _flash_cuda(query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False,
                return_debug_mask: bool = False, *, scale: Optional[float] = None) -> Tuple[Any, ...]:
    out, lse = _flash(query, key, value, dropout_p, is_causal, scale)
    state = torch.zeros(2, dtype=torch.uint64, device=query.device)  # of dropout
    empty = [torch.empty(0, dtype=dtype, device=query.device) for dtype in (torch.uint64, query.dtype)]
    return (out, lse, None, None, query.shape[2], key.shape[2], state, *empty)


def _flash_cuda_backward(grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, cum_seq_q: Any,
                         cum_seq_k: Any, max_q: int, max_k: int, dropout_p: float, is_causal: bool, philox_seed: Any,
                         philox_offset: Any, *, scale: Optional[float] = None) -> Tuple[Tensor, Tensor, Tensor]:
    return _flash_backward(grad_out, query, key, value, out, logsumexp, is_causal, scale)


def _flash_cpu(query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, *,
               attn_mask: Optional[Tensor] = None, scale: Optional[float] = None) -> Tuple[Tensor, Tensor]:
    if attn_mask is not None:
        raise Error("expected no attn_mask here (attune.torch.scaled_dot_product_attention takes one)")
    return _flash(query, key, value, dropout_p, is_causal, scale)


def _flash_cpu_backward(grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, dropout_p: float,
                        is_causal: bool, *, attn_mask: Optional[Tensor] = None, scale: Optional[float] = None) -> Tuple[Any, ...]:
    return _flash_backward(grad_out, query, key, value, out, logsumexp, is_causal, scale)


class _FlashImplementation:
    """What torch keeps while attune is active as its flash attention."""

    def __init__(self) -> None:
        self._library: Any = torch.library.Library("aten", "IMPL")
        for name, device, function in (
                ("_scaled_dot_product_flash_attention", "CUDA", _flash_cuda),
                ("_scaled_dot_product_flash_attention_backward", "CUDA", _flash_cuda_backward),
                ("_scaled_dot_product_flash_attention_for_cpu", "CPU", _flash_cpu),
                ("_scaled_dot_product_flash_attention_for_cpu_backward", "CPU", _flash_cpu_backward)):
            self._library.impl(name, function, device)

    def remove(self) -> None:
        self._library = None


def register_flash_attention_impl(name: str = "attune") -> None:
    """Makes attune one of the flash attentions of torch (where it has a registry of them):

    >>> attune.torch.register_flash_attention_impl()                       # doctest: +SKIP
    >>> torch.nn.attention.activate_flash_attention_impl("attune")         # doctest: +SKIP

    From then on torch.nn.functional.scaled_dot_product_attention computes by attune what it gives to its flash kernels: no
    mask or is_causal, float16 or bfloat16, no dropout; torch.nn.attention.restore_flash_attention_impl() ends it.
    """
    try:
        from torch.nn.attention import register_flash_attention_impl as register
    except ImportError:
        raise Error(f"expected a torch that has a registry of flash attentions, got {torch.__version__} "
                    "(attune.torch.scaled_dot_product_attention works with it)", "ToolMissing") from None
    register(name, register_fn=_FlashImplementation)
