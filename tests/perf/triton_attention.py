"""Compiles one attention forward kernel with Triton, with no GPU, and prints how long it took.

The kernel has the structure of Triton's fused-attention tutorial: an online softmax over blocks of keys, whole blocks in
one loop and those on the causal diagonal in another. It is the yardstick of compile_time.py, which runs it as a
command of its own: python3 triton_attention.py DTYPE HEAD_DIM full|causal CAPABILITY
"""
import json
import sys
import time

start = time.perf_counter()
import triton  # noqa: E402
import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

imported = time.perf_counter()


@triton.jit
def attend(acc, l_i, m_i, q, k_base, v_base, stride_k, stride_v, begin, end, first_query, length, scale_log2,
           HEAD_DIM: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_KV: tl.constexpr, MASKED: tl.constexpr):
    rows = first_query + tl.arange(0, BLOCK_Q)
    dims = tl.arange(0, HEAD_DIM)
    for start_kv in range(begin, end, BLOCK_KV):
        keys = start_kv + tl.arange(0, BLOCK_KV)
        k = tl.load(k_base + keys[None, :] * stride_k + dims[:, None], mask=keys[None, :] < length, other=0.0)
        s = tl.dot(q, k)
        if MASKED:
            keep = (keys[None, :] < length) & (keys[None, :] <= rows[:, None])
            s = tl.where(keep, s, float("-inf"))
        m_new = tl.maximum(m_i, tl.max(s, 1) * scale_log2)
        p = tl.math.exp2(s * scale_log2 - m_new[:, None])
        alpha = tl.math.exp2(m_i - m_new)
        l_i = l_i * alpha + tl.sum(p, 1)
        v = tl.load(v_base + keys[:, None] * stride_v + dims[None, :], mask=keys[:, None] < length, other=0.0)
        acc = tl.dot(p.to(v.dtype), v, acc * alpha[:, None])
        m_i = m_new
    return acc, l_i, m_i


@triton.jit
def attention(q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, stride_qb, stride_qh, stride_qs, stride_kb, stride_kh, stride_ks,
              stride_vb, stride_vh, stride_vs, stride_ob, stride_oh, stride_os, length, group, heads, scale_log2,
              HEAD_DIM: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_KV: tl.constexpr, CAUSAL: tl.constexpr):
    block = tl.program_id(0)
    head = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    rows = block * BLOCK_Q + tl.arange(0, BLOCK_Q)
    dims = tl.arange(0, HEAD_DIM)
    inside = rows[:, None] < length
    q = tl.load(q_ptr + batch * stride_qb + head * stride_qh + rows[:, None] * stride_qs + dims[None, :], mask=inside, other=0.0)
    k_base = k_ptr + batch * stride_kb + (head // group) * stride_kh
    v_base = v_ptr + batch * stride_vb + (head // group) * stride_vh
    m_i = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    l_i = tl.zeros([BLOCK_Q], tl.float32)
    acc = tl.zeros([BLOCK_Q, HEAD_DIM], tl.float32)
    if CAUSAL:
        whole = block * BLOCK_Q // BLOCK_KV * BLOCK_KV
        last = tl.minimum((block + 1) * BLOCK_Q, length)
    else:
        whole = length // BLOCK_KV * BLOCK_KV
        last = length
    acc, l_i, m_i = attend(acc, l_i, m_i, q, k_base, v_base, stride_ks, stride_vs, 0, whole, block * BLOCK_Q, length,
                           scale_log2, HEAD_DIM, BLOCK_Q, BLOCK_KV, False)
    acc, l_i, m_i = attend(acc, l_i, m_i, q, k_base, v_base, stride_ks, stride_vs, whole, last,
                           block * BLOCK_Q if CAUSAL else length, length, scale_log2, HEAD_DIM, BLOCK_Q, BLOCK_KV, True)
    acc = acc / l_i[:, None]
    tl.store(lse_ptr + (batch * heads + head) * length + rows, (m_i + tl.math.log2(l_i)) * 0.6931471805599453, mask=rows < length)
    tl.store(o_ptr + batch * stride_ob + head * stride_oh + rows[:, None] * stride_os + dims[None, :],
             acc.to(o_ptr.type.element_ty), mask=inside)


def main():
    dtype, head_dim, mask, capability = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    pointer = {"bf16": "*bf16", "fp16": "*fp16"}[dtype]
    signature = {name: pointer for name in ("q_ptr", "k_ptr", "v_ptr", "o_ptr")}
    signature["lse_ptr"] = "*fp32"
    for tensor in "qkvo":
        for axis in "bhs":
            signature[f"stride_{tensor}{axis}"] = "i64" if axis == "b" else "i32"
    signature.update(length="i32", group="i32", heads="i32", scale_log2="fp32")
    constants = dict(HEAD_DIM=head_dim, BLOCK_Q=128, BLOCK_KV=64, CAUSAL=mask == "causal")
    names = list(signature)
    signature.update({name: "constexpr" for name in constants})
    # Pointers and strides are multiples of 16, as the tutorial's are: without it no copy is asynchronous.
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name.endswith("_ptr") or name.startswith("stride")}
    source = ASTSource(fn=attention, signature=signature, constexprs=constants, attrs=aligned)
    before = time.perf_counter()
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32),
                            options={"num_warps": 8 if head_dim >= 128 else 4, "num_stages": 3})
    after = time.perf_counter()
    print(json.dumps({"version": triton.__version__, "import_s": imported - start, "compile_s": after - before,
                      "cubin_bytes": len(kernel.asm["cubin"]), "async_copies": kernel.asm["ptx"].count("cp.async.cg")}))


if __name__ == "__main__":
    main()
