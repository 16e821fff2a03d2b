// The thread dialect: the program of one thread. Fragments are vectors, shared memory is byte offsets.
#ifndef ATTUNE_DIALECT_THREAD_TD
#define ATTUNE_DIALECT_THREAD_TD

include "compiler/dialect/tile/TileBase.td"

def Thread_Dialect : Dialect {
  let name = "thread";
  let cppNamespace = "::attune::thread";
  let summary = "What one thread does: fragments as vectors, tiles of shared memory as byte offsets";
  let dependentDialects = ["::attune::tile::TileDialect", "::mlir::vector::VectorDialect"];
}

class Thread_Op<string mnemonic, list<Trait> traits = []> : Op<Thread_Dialect, mnemonic, traits>;

include "compiler/dialect/thread/ThreadAsync.td"

// A fragment of an M x N accumulator of W warps is a vector of M * N / (32 * W) values: for each 16-row slab of the
// warp, for each 8 columns, the four values of mma.m16n8 (row g, columns 2t and 2t+1; row g + 8, the same columns;
// g = lane / 4, t = lane mod 4). A row fragment has two values for each slab: rows g and g + 8. The A operand has eight
// 16-bit values for each slab and 16 columns, in the register order of mma.m16n8k16.

def Thread_KernelOp : Thread_Op<"kernel", [
    Symbol, IsolatedFromAbove, SingleBlock, NoTerminator,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "What each thread of a block runs; it begins as tile.kernel does";
  let arguments = (ins SymbolNameAttr:$sym_name, ArrayAttr:$signature, StrAttr:$arch, OptionalAttr<I64Attr>:$warps,
                   I64Attr:$min_blocks, OptionalAttr<ArrayAttr>:$grid, I64Attr:$smem,
                   OptionalAttr<DictionaryAttr>:$schedule);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Thread_SpecializeOp : Thread_Op<"specialize", [SingleBlock, NoTerminator, ParentOneOf<["KernelOp"]>]> {
  let summary = "Branches on the warp: each runs its role";
  let regions = (region SizedRegion<1>:$roles);
  let assemblyFormat = "attr-dict-with-keyword $roles";
  let hasVerifier = 1;
}

def Thread_RoleOp : Thread_Op<"role", [SingleBlock, NoTerminator, ParentOneOf<["SpecializeOp"]>]> {
  let summary = "What the threads of warps `first_warp` .. of a block do, `replicas` times `warps` warps";
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$first_warp, I64Attr:$warps, I64Attr:$replicas,
                   OptionalAttr<I64Attr>:$registers, UnitAttr:$first_warp_only);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `first_warp` `(` $first_warp `)` `warps` `(` $warps `)` `replicas` `(` $replicas `)`
    (`registers` `(` $registers^ `)`)? (`first_warp_only` $first_warp_only^)? attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
}

def Thread_ReplicaOp : Thread_Op<"replica", [Pure]> {
  let summary = "Which replica of its role this thread is in, from 0";
  let results = (outs I32:$result);
  let assemblyFormat = "attr-dict";
  let hasVerifier = 1;
}

def Thread_AsyncCopyOp : Thread_Op<"async_copy", [Tile_Issues]> {
  let summary = "This thread's 16-byte pieces of a rows x cols copy into the tile at byte `offset` (cp.async)";
  let arguments = (ins Tile_ViewType:$view, I32:$row, I32:$offset, I64Attr:$rows, I64Attr:$cols, UnitAttr:$bounded,
                   Optional<I1>:$condition);
  let assemblyFormat = [{
    $view `[` $row `]` `to` $offset `tile` `(` $rows `x` $cols `)` (`bounded` $bounded^)? (`if` $condition^)? attr-dict
    `:` type($view)
  }];
  let hasVerifier = 1;
}

def Thread_LoadOperandOp : Thread_Op<"load_operand", [Tile_ReadsShared]> {
  let summary = "This thread's part of the A operand in the tile at byte `offset` (ldmatrix)";
  let arguments = (ins I32:$offset, I64Attr:$rows, I64Attr:$cols);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$offset `tile` `(` $rows `x` $cols `)` attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Thread_DotOp : Thread_Op<"dot", [Tile_ReadsShared, OptionalTypesMatchWith<"c has the type of the result", "result", "c",
                                                                  "$_self">]> {
  let summary = "a b + c on tensor cores (ldmatrix for what lies in shared memory, mma.m16n8k16), k ascending";
  let description = [{
    `a` is a fragment, or the byte offset of an m x k tile of type `type`; `b` is the byte offset of a k x n tile, or of
    an n x k tile with `transposed`.
  }];
  let arguments = (ins AnyTypeOf<[I32, AnyVectorOfNonZeroRank]>:$a, I32:$b, UnitAttr:$transposed,
                   Optional<AnyVectorOfNonZeroRank>:$c, I64Attr:$m, I64Attr:$n, I64Attr:$k, TypeAttr:$type);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = [{
    $a `,` $b (`transposed` $transposed^)? (`plus` $c^)? `tile` `(` $m `x` $n `x` $k `,` $type `)` attr-dict
    `:` type($a) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Thread_RowReduceOp : Thread_Op<"row_reduce", [Pure, AllTypesMatch<["init", "result"]>]> {
  let summary = "Combines the values of each row that this thread holds, columns ascending, starting from `init`";
  let arguments = (ins Tile_ReductionAttr:$kind, AnyVectorOfNonZeroRank:$value, AnyVectorOfNonZeroRank:$init);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$kind $value `,` $init attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Thread_RowCombineOp : Thread_Op<"row_combine", [Pure, SameOperandsAndResultType]> {
  let summary = "Combines row values across the four threads of a row (shfl.sync.bfly 1, then 2)";
  let arguments = (ins Tile_ReductionAttr:$kind, AnyVectorOfNonZeroRank:$value);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$kind $value attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Thread_RowBroadcastOp : Thread_Op<"row_broadcast", [Pure]> {
  let summary = "Each row's value for every value of a fragment";
  let arguments = (ins AnyVectorOfNonZeroRank:$value);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Thread_RowIndexOp : Thread_Op<"row_index", [Pure]> {
  let summary = "The rows of the tile that this thread's row fragment stands for";
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Thread_ColumnIndexOp : Thread_Op<"column_index", [Pure]> {
  let summary = "The columns of the m x n tile that this thread's fragment stands for";
  let arguments = (ins I64Attr:$m, I64Attr:$n);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "`tile` `(` $m `x` $n `)` attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Thread_FirstColumnOp : Thread_Op<"first_column", [Pure]> {
  let summary = "The first column of a tile that this thread holds, for each of its rows";
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Thread_RampOp : Thread_Op<"ramp", [Pure]> {
  let summary = "This thread's part of an m x n tile that grows by `step` with each column, as tile.ramp";
  let arguments = (ins AnyVectorOfNonZeroRank:$value, F32:$step, I64Attr:$m, I64Attr:$n);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$value `by` $step `tile` `(` $m `x` $n `)` attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Thread_KeepColumnsOp : Thread_Op<"keep_columns", [Pure, AttrSizedOperandSegments,
                                                   AllTypesMatch<["value", "result"]>]> {
  let summary = "-inf in this thread's part of an m x n tile where a row does not see a column; limits as tile.keep_columns";
  let arguments = (ins AnyVectorOfNonZeroRank:$value, I32:$row, I32:$column, Optional<I32>:$first, Optional<I32>:$last,
                   Optional<I32>:$first_shift, Optional<I32>:$last_shift, I64Attr:$m, I64Attr:$n);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = [{
    $value `at` ` ` `[` $row `,` $column `]` (`first` `(` $first^ `)`)? (`last` `(` $last^ `)`)?
    (`first_shift` `(` $first_shift^ `)`)? (`last_shift` `(` $last_shift^ `)`)? `tile` `(` $m `x` $n `)` attr-dict
    `:` type($value)
  }];
  let hasVerifier = 1;
}

def Thread_TakeNonfiniteOp : Thread_Op<"take_nonfinite", [Tile_RewritesShared, AllTypesMatch<["out", "result"]>]> {
  let summary = "Adds NaNs and infinities of a tile of keys to the rows that see them, and puts zeros in their place";
  let description = [{
    Keys in a loop: each thread adds what its columns hold to its rows, whose visibility it asks of the thread of the
    quad that holds the score. Then those that share the tile synchronise, each thread cleans its share, and they
    synchronise: the CTA, or, with `meet`, the replicas of the role at the barrier of that number.
  }];
  let arguments = (ins I32:$offset, AnyVectorOfNonZeroRank:$scores, AnyVectorOfNonZeroRank:$out, I64Attr:$rows,
                   I64Attr:$cols, TypeAttr:$type, OptionalAttr<I64Attr>:$meet);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = [{
    $offset `,` $scores `,` $out `tile` `(` $rows `x` $cols `,` $type `)` (`meet` `(` $meet^ `)`)? attr-dict
    `:` type($scores) `,` type($out)
  }];
}

def Thread_ToAOpOp : Thread_Op<"to_a_op", [Pure]> {
  let summary = "Rounds an accumulator fragment to 16 bits, re-packed as an A operand (cvt.rn.x2)";
  let arguments = (ins AnyVectorOfNonZeroRank:$value, I64Attr:$m, I64Attr:$n);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$value `tile` `(` $m `x` $n `)` attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Thread_WarpAnyOp : Thread_Op<"warp_any", [Pure]> {
  let summary = "Whether any value of any thread of the warp is true (vote.sync.any)";
  let arguments = (ins AnyVectorOfNonZeroRank:$condition);
  let results = (outs I1:$result);
  let assemblyFormat = "$condition attr-dict `:` type($condition)";
  let hasVerifier = 1;
}

def Thread_RetryOp : Thread_Op<"retry", [Tile_Synchronises, ParentOneOf<["KernelOp"]>]> {
  let summary = "If allowed, and the condition holds for a value of a thread of the CTA: back to the start (bar.red.or)";
  let arguments = (ins AnyVectorOfNonZeroRank:$condition, I32:$next, I1:$allowed);
  let assemblyFormat = "$condition `as` $next `when` $allowed attr-dict `:` type($condition)";
}

def Thread_StoreOp : Thread_Op<"store", [Tile_StoresThrough]> {
  let summary = "Stores an accumulator, rounded to the view's type, through the staging tile at byte `staging`";
  let description = [{
    Threads write their values as pairs, synchronise, then store the view's rows and columns 16 bytes at a time: the CTA,
    or, with `meet`, the warps of this replica of the role at the barrier of that number.
  }];
  let arguments = (ins AnyVectorOfNonZeroRank:$value, Tile_ViewType:$view, I32:$row, I32:$staging, I64Attr:$m,
                   I64Attr:$n, Optional<I32>:$meet);
  let assemblyFormat = [{
    $value `to` $view `[` $row `]` `through` $staging `tile` `(` $m `x` $n `)` (`meet` `(` $meet^ `)`)? attr-dict
    `:` type($value) `,` type($view)
  }];
  let hasVerifier = 1;
}

def Thread_StoreRowsOp : Thread_Op<"store_rows", [MemoryEffects<[MemWrite]>]> {
  let summary = "Stores one value a row; the first thread of each row writes";
  let arguments = (ins AnyVectorOfNonZeroRank:$value, Tile_ViewType:$view, I32:$row);
  let assemblyFormat = "$value `to` $view `[` $row `]` attr-dict `:` type($value) `,` type($view)";
  let hasVerifier = 1;
}

#endif
