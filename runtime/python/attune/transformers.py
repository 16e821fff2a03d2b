"""attune in Hugging Face transformers.

    import attune.transformers
    attune.transformers.register()
    model = AutoModelForCausalLM.from_pretrained(..., attn_implementation="attune", dtype=torch.bfloat16)

Masks are never dropped: what a model asks for (causal, windows, chunks, padding, packed sequences, images among text) is
traced into an expression, with padding and positions as arrays, or, where it is no expression, made into an array of
booleans. What attune cannot do is refused by its name.
"""
from __future__ import annotations

import warnings
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor

from ._errors import Error, TraceError
from ._expression import text_of
from .torch import attention, broadcast_element

__all__ = ["register"]

NAME = "attune"


def register(name: str = NAME) -> None:
    """Registers attune as an attention implementation of transformers, with its masks, under `name`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(name, attention_forward)
    AttentionMaskInterface.register(name, make_mask)


class Mask:
    """A mask as an expression, with what it reads. To a model that treats it as a tensor it is one: the booleans (batch, 1,
    queries, keys) that sdpa would get."""

    def __init__(self, expressions: Tuple[str, ...], arrays: Dict[str, Tensor], scalars: Dict[str, int], dense: Callable[[], Tensor]):
        self.expressions, self.arrays, self.scalars = expressions, arrays, scalars
        self._dense, self._made = dense, None

    def dense(self) -> Tensor:
        if self._made is None:
            self._made = self._dense()
        return self._made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dense(), name)

    def __getitem__(self, index: Any) -> Tensor:
        return self.dense()[index]

    @classmethod
    def __torch_function__(cls, function: Any, kinds: Any, arguments: Any = (), named: Any = None) -> Any:
        plain = lambda one: one.dense() if isinstance(one, Mask) else one  # noqa: E731
        return function(*map(plain, arguments), **{name: plain(one) for name, one in (named or {}).items()})


def make_mask(batch_size: int, q_length: int, kv_length: int, q_offset: int = 0, kv_offset: int = 0,
              mask_function: Optional[Callable[..., Any]] = None, attention_mask: Optional[Tensor] = None,
              allow_is_bidirectional_skip: bool = False, use_vmap: bool = False, device: Any = "cpu", **others: Any) -> Any:
    """What transformers' AttentionMaskInterface calls: a Mask, or None where all keys are seen."""
    from transformers import masking_utils

    mask_function = mask_function or masking_utils.causal_mask_function

    def dense() -> Tensor:
        return masking_utils.sdpa_mask(batch_size=batch_size, q_length=q_length, kv_length=kv_length, q_offset=q_offset,
                                       kv_offset=kv_offset, mask_function=mask_function, attention_mask=attention_mask,
                                       allow_is_causal_skip=False, allow_is_bidirectional_skip=False, use_vmap=use_vmap,
                                       device=device, **others)

    padding = masking_utils.prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if padding is not None and bool(padding.all()):
        padding = None
    if allow_is_bidirectional_skip and padding is None and others.get("local_size") is None:
        return None
    function = mask_function if padding is None else masking_utils.and_masks(mask_function, masking_utils.padding_mask_function(padding))
    try:
        return _traced(function, int(q_offset), int(kv_offset), dense)
    except TraceError as error:
        warnings.warn(f"attune: a mask of booleans is made for each query and key, since the model's is no expression: {error}",
                      stacklevel=2)
        made = dense()
        element, keep = broadcast_element("keep", made, tuple(made.shape))
        return Mask((element,), {"keep": keep}, {}, lambda: made)


def _traced(function: Callable[..., Any], q_offset: int, kv_offset: int, dense: Callable[[], Tensor]) -> Mask:
    from ._trace import Captures, trace

    # Offsets are numbers of the launch: the kernel stays the same while a cache of keys grows.
    offset_of_q, offset_of_kv = torch.tensor(q_offset), torch.tensor(kv_offset)

    def with_q(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return function(b, h, q + offset_of_q, kv)

    def with_both(b: Any, h: Any, q: Any, kv: Any) -> Any:
        return function(b, h, q + offset_of_q, kv + offset_of_kv)

    captures = Captures()
    tree, _ = trace(with_both if kv_offset else with_q, "mask", captures)
    arrays = {name: value.to(torch.int32) if value.dtype == torch.int64 else value for name, value in captures.arrays.items()}
    return Mask((text_of(tree),), arrays, {name: int(value) for name, value in captures.scalars.items()}, dense)


# What a model may pass on that changes nothing here.
_IGNORED = {"output_attentions", "output_hidden_states", "use_cache", "position_ids", "cache_position", "past_key_values",
            "past_key_value", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "num_items_in_batch",
            "return_dict", "deterministic", "position_embeddings", "logits_to_keep", "token_type_ids"}
_REFUSED = ("head_mask", "block_mask")


def attention_forward(module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, dropout: float = 0.0,
                      scaling: Optional[float] = None, is_causal: Optional[bool] = None, sliding_window: Optional[int] = None,
                      softcap: Optional[float] = None, s_aux: Optional[Tensor] = None, position_bias: Optional[Tensor] = None,
                      **others: Any) -> Tuple[Tensor, None]:
    """What transformers' AttentionInterface calls: query (batch, heads, len_q, dim), key and value (batch, heads_kv, len_kv,
    dim). Returns (batch, len_q, heads, dim), and no weights."""
    if dropout:
        raise Error(f"expected no dropout of attention (attune has none; model.eval(), or attention_dropout=0), got {dropout}")
    if others.get("output_attentions"):
        raise Error("expected no output_attentions: attune never has the weights as an array")
    for name in _REFUSED:
        if others.get(name) is not None:
            raise Error(f"expected no {name}: attune does not know what it means here")
    mask: Any = []
    score, arrays, scalars = None, {}, {}
    if isinstance(attention_mask, Mask):
        mask, arrays, scalars = list(attention_mask.expressions), dict(attention_mask.arrays), attention_mask.scalars
    elif attention_mask is not None:
        element, tensor = _dense_mask("attention_mask", attention_mask, query, key)
        arrays["attention_mask"] = tensor
        if tensor.dtype == torch.bool:
            mask = [element]
        elif tensor.is_floating_point():
            score = f"score + {element}"
        else:
            raise Error(f"expected attention_mask of bool or a float dtype, got {tensor.dtype}")
    else:
        # As with sdpa: no mask says causal where the module is, but not for the one query of a step.
        is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if is_causal and query.shape[2] > 1:
            mask = ["causal"]
            if sliding_window is not None:
                mask = [f"window:{sliding_window - 1}:0"]
    if position_bias is not None:
        element, tensor = _dense_mask("position_bias", position_bias, query, key)
        arrays["position_bias"] = tensor
        score = f"{score or 'score'} + {element}"
    spec: Dict[str, Any] = {}
    if softcap is not None:
        if score is None:
            spec["softcap"] = softcap
        else:
            score = score.replace("score", f"tanh(score / {float(softcap)}) * {float(softcap)}", 1)
    if s_aux is not None:
        spec["sink"] = s_aux.float()
    out = attention(query, key, value, mask, score, scaling, arrays, scalars=scalars, layout="bhsd", **spec)
    return out.transpose(1, 2).contiguous(), None


def _dense_mask(name: str, tensor: Tensor, query: Tensor, key: Tensor) -> Tuple[str, Tensor]:
    """The element of a mask that is broadcast to (batch, heads, queries, keys), and its tensor without axes of one element."""
    if tensor.dim() != 4:
        raise Error(f"expected {name} of 4 axes (batch, heads, queries, keys), got shape {tuple(tensor.shape)}", "InvalidShape")
    tensor = tensor[:, :, :, : key.shape[2]]  # of a static cache it may be longer, as eager attention has it
    return broadcast_element(name, tensor, (query.shape[0], query.shape[1], query.shape[2], key.shape[2]))
