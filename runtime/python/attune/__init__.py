"""attune: attention kernels that are generated, tuned and checked.

    import attune, ml_dtypes, numpy as np

    q = np.random.standard_normal((1, 512, 8, 64)).astype(ml_dtypes.bfloat16)      # batch, sequence, heads, head dim
    k, v = (np.random.standard_normal((1, 512, 2, 64)).astype(ml_dtypes.bfloat16) for _ in range(2))
    o = attune.attention(q, k, v, mask=lambda b, h, q, kv: (kv <= q) & (q - kv < 128))

attention   computes it: arrays of NumPy on the simulated GPU, those of torch and of others on the GPU that they are on
Plan        the same, decided and compiled ahead
Context     a device, and how kernels are made for it; Context.prewarm makes them in the background
devices     what there is to run on
Error, TraceError

attune.torch has PyTorch's interface (autograd, torch.compile, scaled_dot_product_attention, flex_attention);
attune.transformers registers attune with Hugging Face transformers.
"""
from __future__ import annotations

from ._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # as type checkers read it, without the time that importing typing takes
    from ._errors import Error, TraceError
    from ._plan import Context, Plan, attention, devices

__all__ = ["Context", "Error", "Plan", "TraceError", "__version__", "attention", "devices"]


def __getattr__(name: str) -> object:
    """What programs use is imported when it is first used: `import attune` takes a few milliseconds."""
    if name not in __all__:
        raise AttributeError(f"module 'attune' has no attribute '{name}'")
    from . import _errors, _plan

    value = getattr(_errors if name in ("Error", "TraceError") else _plan, name)
    globals()[name] = value
    return value


def __dir__() -> list:
    return sorted({*globals(), *__all__})
