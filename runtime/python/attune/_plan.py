"""Contexts, plans and calls."""
from __future__ import annotations

import ctypes
import json
import threading
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from . import _arrays, _native
from ._arrays import View, converted, empty_like, stream_of, view_of
from ._errors import Error
from ._prewarm import Prewarm
from ._spec import OWN_ARRAYS, Problem, Spec, make_spec, number_of, problem_of

Mask = Union[None, str, Mapping[str, Any], Callable[..., Any], Sequence[Any]]
Score = Union[None, str, Callable[..., Any]]


class Context:
    """A device, and the kernels that were planned on it.

    device: "auto" (the first GPU, else the simulated one), "cuda", "cuda:N" or "sim".
    arch: what to compile for, such as "sm_90"; None: the GPU's own, sm_80 on the simulated one.
    cache: folder of compiled kernels; "": none; None: ATTUNE_CACHE_DIR, else ~/.cache/attune.
    bundle: a file of `attune bundle`, whose kernels are looked at first.
    compiler: False: only kernels that are in the bundle or the cache run.
    policy: "compile" (what is missing), "cache_only" or "recompile".
    target: "ptx" or "cuda" (CUDA C++ through NVRTC); None: what the schedule's adviser says, else "ptx".
    simulation, seed: when asynchronous copies land on the simulated GPU: "eager", "lazy" or "random".
    threads: of the host, that simulate; 0: one a core. checks: whether faults of kernels are looked for.

    May be used from many threads. Errors: attune.Error with code InvalidOptions or NoDevice.
    """

    def __init__(self, device: str = "auto", *, arch: Optional[str] = None, cache: Optional[str] = None,
                 bundle: Optional[str] = None, compiler: bool = True, policy: Optional[str] = None, target: Optional[str] = None,
                 simulation: str = "eager", seed: int = 0, threads: int = 0, checks: bool = True, multiprocessors: int = 0,
                 most_programs: int = 0, cuda_driver: Optional[str] = None):
        native = _native.library()
        for name, value, known in (("policy", policy, _native.POLICIES), ("target", target, _native.TARGETS),
                                   ("simulation", simulation, _native.MODES)):
            if value not in known:
                words = ", ".join(repr(word) for word in known if word is not None)
                raise Error(f"expected {name} to be one of {words}, got {value!r}", "InvalidOptions")
        opened = ctypes.c_void_p()
        if bundle is not None:
            _native.check(native.attune_bundle_open(_native.encoded(bundle), ctypes.byref(opened)))
            self._bundle = _native.Handle(opened.value, native.attune_bundle_destroy)
        options = _native.ContextOptions(
            size=ctypes.sizeof(_native.ContextOptions), device=_native.encoded(device), arch=_native.encoded(arch),
            cache_folder=_native.encoded(cache), bundle=opened.value, compiler=native.attune_compiler() if compiler else None,
            simulator=native.attune_simulator(), policy=_native.POLICIES[policy], target=_native.TARGETS[target],
            most_programs=most_programs, cuda_driver=_native.encoded(cuda_driver), sim_mode=_native.MODES[simulation],
            sim_threads=threads, sim_seed=seed, sim_unchecked=int(not checks), sim_multiprocessors=multiprocessors)
        made = ctypes.c_void_p()
        _native.check(native.attune_context_open(ctypes.byref(options), ctypes.byref(made)))
        self._handle = _native.Handle(made.value, native.attune_context_destroy)
        self.facts: Dict[str, Any] = json.loads(native.attune_context_facts(made.value))
        self._plans: Dict[Any, "Plan"] = {}
        self._prewarms: List[Prewarm] = []
        self._lock = threading.Lock()

    @property
    def device(self) -> Dict[str, Any]:
        """{"name": "simulated sm_80", "simulated": True, "arch": "sm_80", ...}."""
        return self.facts["device"]

    @property
    def simulated(self) -> bool:
        return bool(self.facts["device"]["simulated"])

    def plan(self, q: Any, k: Any, v: Any, mask: Mask = "causal", score: Score = None, scale: Union[None, float, str] = None,
             arrays: Optional[Mapping[str, Any]] = None, **spec: Any) -> "Plan":
        """Plan(q, k, v, ..., context=self)."""
        return Plan(q, k, v, mask, score, scale, arrays, context=self, **spec)

    def prewarm(self, specs: Iterable[Union[str, Mapping[str, Any]]], shapes: Iterable[Sequence[int]], threads: int = 0) -> Prewarm:
        """Makes the kernels of specs (as JSON has them) for shapes (batch, heads_q, heads_kv, len_q, len_kv), on `threads`
        threads of the library (0: one a core, at most 8), so that later calls find them made. Returns at once:

        >>> context.prewarm([{"head_dim": 64, "mask": "causal"}], [(1, 8, 2, 512, 512)]).wait()      # doctest: +SKIP

        It goes on where nobody keeps the result. Raises attune.Error where a spec or a shape is none."""
        made = Prewarm(self, specs, shapes, threads)
        with self._lock:
            self._prewarms = [one for one in self._prewarms if not one.is_done()] + [made]
        return made

    def known_plan(self, problem: Problem, spec: Spec) -> "Plan":
        """The plan of a spec that may have been asked for before. It keeps none of the spec's arrays: calls give them."""
        key = (spec.text, problem)
        plan = self._plans.get(key)
        if plan is None:
            plan = Plan.of_spec(problem, spec._replace(arrays=dict.fromkeys(spec.arrays), scalars=dict.fromkeys(spec.scalars)), self)
            with self._lock:
                if len(self._plans) >= _MOST_CALLS:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = plan
        return plan

    def release(self) -> None:
        """Forgets the kernels that are loaded for later plans. Those of plans stay loaded until these are gone."""
        with self._lock:
            self._plans.clear()
        _native.check(_native.library().attune_context_release(self._handle.pointer))

    def __repr__(self) -> str:
        return f"<attune.Context on {self.device['name']}>"


def devices(cuda_driver: Optional[str] = None) -> Dict[str, Any]:
    """The devices of this machine: {"devices": [{"name": ..., "arch": ..., "simulated": ...}, ...], "note": why there is no
    GPU}."""
    text = ctypes.c_void_p()
    _native.check(_native.library().attune_devices(_native.encoded(cuda_driver), ctypes.byref(text)))
    return json.loads(_native.take_text(text))


_contexts: Dict[str, Context] = {}
_opening = threading.Lock()


def context_on(device: Optional[int]) -> Context:
    """The context of calls that name none: of a CUDA device, or of the simulated one for arrays of the host."""
    name = "sim" if device is None else f"cuda:{device}"
    found = _contexts.get(name)
    if found is None:
        with _opening:
            found = _contexts.get(name) or Context(name)
            _contexts[name] = found
    return found


class _Pack:
    """A launch's arguments, filled in for arrays of one layout; their addresses are set for each call."""

    def __init__(self, names: List[bytes], views: List[View], scalars: List[bytes]):
        self.arrays = (_native.Array * len(names))()
        self.each = list(self.arrays)
        self.kept: List[Any] = []
        for array, name, view in zip(self.each, names, views):
            rank = len(view.shape)
            numbers = (ctypes.c_int64 * max(rank, 1))
            shape, strides = numbers(*view.shape), numbers(*view.strides)
            self.kept += [shape, strides]
            array.name, array.dtype, array.rank = name, _native.DTYPES[view.dtype], rank
            array.shape, array.strides = shape, strides
        self.scalars = (_native.Scalar * len(scalars))()
        self.numbers = list(self.scalars)
        for scalar, name in zip(self.numbers, scalars):
            scalar.name = name
        self.arguments = _native.Arguments(ctypes.sizeof(_native.Arguments), None, self.arrays, len(names), self.scalars,
                                           len(scalars), None)
        self.reference = ctypes.byref(self.arguments)
        self.on_host = views[0].device is None


class Plan:
    """A kernel for one problem: compiled or taken from the cache, loaded, ready to be called.

    Plan(q, k, v, ...) takes the arguments of attune.attention; of q, k and v it reads shapes and dtypes only. Then
    plan(q, k, v) computes, on arrays of these shapes and any strides:

    >>> plan = attune.Plan(q, k, v, mask="causal")       # doctest: +SKIP
    >>> o = plan(q, k, v)                                # doctest: +SKIP

    Python functions are traced once, when the plan is made. May be used from many threads at once.

    spec: the spec, as JSON text. facts: what was decided (attune_plan_facts of the C interface): kernel, schedule, why,
    launches, arguments, workspace_bytes, from_cache, notes. describe(): the same for people.
    """

    def __init__(self, q: Any, k: Any, v: Any, mask: Mask = "causal", score: Score = None,
                 scale: Union[None, float, str] = None, arrays: Optional[Mapping[str, Any]] = None, *,
                 scalars: Optional[Mapping[str, Any]] = None, layout: str = "bshd", context: Optional[Context] = None, **spec: Any):
        views = [view_of(one) for one in (q, k, v)]
        problem = _problem_of((q, k, v), views, layout)
        self._make(problem, make_spec(problem, mask, score, scale, arrays, scalars, spec), context or context_on(views[0].device))

    @classmethod
    def of_spec(cls, problem: Problem, spec: Spec, context: Context) -> "Plan":
        made = cls.__new__(cls)
        made._make(problem, spec, context)
        return made

    def _make(self, problem: Problem, spec: Spec, context: Context) -> None:
        native = _native.library()
        self.spec, self.context, self.problem = spec.text, context, problem
        self._captured, self._numbers = spec.arrays, spec.scalars
        request = _native.Request(ctypes.sizeof(_native.Request), spec.text.encode(), b"spec", problem.batch, problem.heads_q,
                                  problem.heads_kv, problem.length_q, problem.length_kv, None, None, None)
        made = ctypes.c_void_p()
        _native.check(native.attune_plan_create(context._handle.pointer, ctypes.byref(request), ctypes.byref(made)))
        self._handle = _native.Handle(made.value, native.attune_plan_destroy)
        self._facts: Optional[Dict[str, Any]] = None
        self._workspace_bytes: int = native.attune_plan_workspace_bytes(made.value)
        self._workspaces: Dict[Any, Any] = {}
        self.has_lse = bool(json.loads(spec.text).get("lse"))
        self._packs: Dict[Any, List[_Pack]] = {}
        self._launch, self._pointer = native.attune_launch, made.value
        self._shape = problem.shape_of_output()

    @property
    def facts(self) -> Dict[str, Any]:
        if self._facts is None:
            self._facts = json.loads(_native.library().attune_plan_facts(self._pointer))
        return self._facts

    def describe(self) -> str:
        """Aligned lines of what runs, where and why."""
        return _native.library().attune_plan_describe(self._pointer).decode()

    def __repr__(self) -> str:
        return f"<attune.Plan {self.facts['kernel']} on {self.context.device['name']}: {self.spec}>"

    def __call__(self, q: Any, k: Any, v: Any, out: Any = None, *, lse: Any = None, arrays: Optional[Mapping[str, Any]] = None,
                 scalars: Optional[Mapping[str, Any]] = None, stream: Optional[int] = None) -> Any:
        """O, or (O, LSE) where the spec has "lse".

        q, k, v, out: as attune.attention has them; out may be left out. lse: an f32 array of (batch, heads, sequence), or
        nothing. arrays, scalars: in the place of those that the plan was made with, by name. stream: a CUstream as a
        number; None: the one that the arrays' library works on.
        """
        if out is None:
            out = empty_like(q, self._shape, "")
        if self.has_lse and lse is None:
            problem = self.problem
            lse = empty_like(q, (problem.batch, problem.heads_q, problem.length_q), "f32")
        given = [q, k, v, out]
        if self.has_lse:
            given.append(lse)
        if self._captured or arrays:
            given += self._captures(arrays)
        numbers = {**self._numbers, **scalars} if scalars else self._numbers

        library = type(q).__module__
        if library == "torch" and all([type(one) is type(q) for one in given]):
            if q.requires_grad or k.requires_grad or v.requires_grad or out.requires_grad:
                self._refuse_gradients()
            addresses = [one.data_ptr() for one in given]
            key = tuple([(one.shape, one.stride(), one.dtype, one.get_device()) for one in given])
        elif library == "numpy" and type(q).__name__ == "ndarray" and all([type(one) is type(q) for one in given]):
            addresses = _arrays.numpy_addresses(given)
            key = tuple([(one.shape, one.strides, one.dtype) for one in given])
        else:
            addresses, key = self._look(given)
        pool = self._packs.get(key)
        pack = pool.pop() if pool else self._pack(key, given, arrays, numbers)
        for array, address in zip(pack.each, addresses):
            array.data = address
        if numbers:
            for scalar, name in zip(pack.numbers, numbers):
                scalar.value = number_of(numbers[name])
        if pack.on_host:
            status = self._run(pack)
        else:
            if stream is None:
                stream = stream_of(q)
            pack.arguments.stream = stream
            workspace = self._workspace(q, stream) if self._workspace_bytes else None
            pack.arguments.workspace = None if workspace is None else workspace[1]
            status = self._launch(self._pointer, pack.reference)
        if status:
            _native.fail(status)
        pool = self._packs.get(key)
        if pool is None:
            pool = self._packs.setdefault(key, [])
        pool.append(pack)
        return (out, lse) if self.has_lse else out

    def _captures(self, arrays: Optional[Mapping[str, Any]]) -> List[Any]:
        values = {**self._captured, **{name: converted(value, name) for name, value in (arrays or {}).items()}}
        return list(values.values())

    @staticmethod
    def _refuse_gradients() -> None:
        import torch

        if torch.is_grad_enabled():
            raise Error("expected tensors that need no gradient, got one with requires_grad (attune.torch.attention is "
                        "differentiable; or call under torch.no_grad())")

    @staticmethod
    def _look(given: List[Any]) -> Tuple[List[int], Tuple[Any, ...]]:
        views = [view_of(one) for one in given]
        return [view.data for view in views], tuple([(view.shape, view.strides, view.dtype, view.device) for view in views])

    def _pack(self, key: Any, given: List[Any], arrays: Optional[Mapping[str, Any]], numbers: Mapping[str, Any]) -> _Pack:
        names = ["q", "k", "v", "o"] + (["lse"] if self.has_lse else []) + list({**self._captured, **(arrays or {})})
        views = [view_of(one) for one in given]
        for name, view, value in zip(names, views, given):
            if not view.dtype:
                raise Error(f"expected array '{name}' of a type that kernels have, got {value.dtype}")
            if view.device != views[0].device:
                raise Error(f"expected array '{name}' where q is ({_place(views[0])}), got it on {_place(view)}")
        device = self.context.device
        if views[0].device is not None and (device["simulated"] or device["ordinal"] != views[0].device):
            raise Error(f"expected arrays of {device['name']}, on which the plan was made, got ones on {_place(views[0])}")
        if self.problem.layout == "bhsd":
            order = (0, 1, 2, 3)
        else:
            order = (0, 2, 1, 3)
        for at in range(4):
            if len(views[at].shape) == 4:
                views[at] = views[at]._replace(shape=tuple(views[at].shape[axis] for axis in order),
                                               strides=tuple(views[at].strides[axis] for axis in order))
        return _Pack([name.encode() for name in names], views, [name.encode() for name in numbers])

    def _run(self, pack: _Pack) -> int:
        pack.arguments.stream = pack.arguments.workspace = None
        return _native.library().attune_run(self._pointer, pack.reference, None)

    def _workspace(self, q: Any, stream: Optional[int]) -> Tuple[Any, int]:
        """Device memory, which launches of one stream share: they come one after the other."""
        key = stream or 0
        if key not in self._workspaces:
            made = ctypes.c_void_p()
            native = _native.library()
            _native.check(native.attune_buffer_create(self.context._handle.pointer, self._workspace_bytes, b"workspace", ctypes.byref(made)))
            handle = _native.Handle(made.value, native.attune_buffer_destroy)
            self._workspaces[key] = (handle, native.attune_buffer_data(made.value))
        return self._workspaces[key]


def _place(view: View) -> str:
    return "the host" if view.device is None else f"cuda:{view.device}"


def attention(q: Any, k: Any, v: Any, mask: Mask = "causal", score: Score = None, scale: Union[None, float, str] = None,
              arrays: Optional[Mapping[str, Any]] = None, *, scalars: Optional[Mapping[str, Any]] = None, layout: str = "bshd",
              out: Any = None, context: Optional[Context] = None, stream: Optional[int] = None, **spec: Any) -> Any:
    """Attention: O = softmax(scale Q K^T, kept by mask) V, for each batch entry and query head.

    q: (batch, len_q, heads_q, head_dim_qk), k: (batch, len_kv, heads_kv, head_dim_qk), v: (batch, len_kv, heads_kv,
        head_dim_v), or with layout="bhsd" (batch, heads, length, dim). float16 or bfloat16: NumPy's (bfloat16 of ml_dtypes,
        or its bits as uint16), torch's, or whatever has __dlpack__. Any strides along the first three axes. heads_q is a
        multiple of heads_kv; query head h reads KV head h // (heads_q // heads_kv). Head dims are multiples of 8 up to 256.
        Arrays of the host are computed on the simulated GPU, arrays of a GPU there, without a copy, on the stream that
        their library works on.
    mask: which keys a query sees. None, "causal" (the default; query i sees keys 0 .. i), "causal:bottom_right" (the last
        query sees all keys), "window:LEFT:RIGHT", an expression such as "kv <= q && doc[b, q] == doc[b, kv]", a Python
        function of (b, h, q, kv) such as `lambda b, h, q, kv: (kv <= q) & (q - kv < 4096)`, or a list of these that must
        all keep a key. A query that sees no key gets 0.
    score: what a score becomes, after scaling: None (it stays), an expression such as "score + slope[h] * (kv - q)", or a
        Python function of (score, b, h, q, kv).
    scale: factor of the scores; None: 1 / sqrt(head_dim_qk).
    arrays: what expressions read, by name; bool, int32, float16, bfloat16 or float32 (other integers and float64 are
        converted). Functions find theirs themselves.
    scalars: numbers that expressions read, by name: another value is not another kernel.
    out: where O goes; None: a new array of q's dtype, in q's layout, of head dim head_dim_v.
    context: None: the simulated GPU for arrays of the host, the arrays' GPU otherwise.
    spec: more of a spec's keys: lse=True, softcap=30.0, sink=array of heads_q float32, lengths_kv=array of batch int32 (how
        many keys each batch entry has, at most len_kv) and lengths_q, batch_invariant=True, schedule={"block_q": 64},
        name="mine".

    Returns O, or with lse=True (O, LSE): LSE float32 (batch, heads_q, len_q), natural logarithm, -inf where no key is seen.

    The kernel is compiled at the first call and kept; see attune.Plan to do that ahead. A Python function is traced at
    every call, so that it may read other values each time; a Plan traces it once.

    Raises attune.Error, whose `code` says what is wrong (InvalidSpec, InvalidShape, ...), and attune.TraceError at the line
    of a function that cannot become an expression.
    """
    key = None
    if not (arrays or callable(mask) or callable(score) or (spec and not _OWN.isdisjoint(spec))):
        try:
            # Of k and v the kernel's own check says whether types fit.
            key = (q.dtype, q.shape, k.shape, v.shape, getattr(q, "device", None), mask, score, scale, layout, context,
                   tuple(spec.items()) if spec else None, scalars and tuple([(name, type(value)) for name, value in scalars.items()]))
            plan = _calls.get(key)
            if plan is not None:
                return plan(q, k, v, out, scalars=scalars, stream=stream)
        except (AttributeError, TypeError):
            key = None  # no array, or a mask that is a list: it is looked at below
    views = [view_of(one) for one in (q, k, v)]
    problem = _problem_of((q, k, v), views, layout)
    made = make_spec(problem, mask, score, scale, arrays, scalars, spec)
    context = context or context_on(views[0].device)
    plan = context.known_plan(problem, made)
    if key is not None:
        with _remembering:
            if len(_calls) >= _MOST_CALLS:
                del _calls[next(iter(_calls))]
            _calls[key] = plan
    return plan(q, k, v, out, arrays=made.arrays, scalars=made.scalars, stream=stream)


_OWN = frozenset(OWN_ARRAYS)
_MOST_CALLS = 256
_calls: Dict[Any, Plan] = {}  # of attention, by all that makes a plan
_remembering = threading.Lock()


def _problem_of(arrays: Sequence[Any], views: Sequence[View], layout: str) -> Problem:
    dtypes = [view.dtype or str(array.dtype) for view, array in zip(views, arrays)]
    return problem_of(dtypes, [view.shape for view in views], layout)
