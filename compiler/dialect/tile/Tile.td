// The tile dialect: an explicit program for one CTA. Everything that costs something is an op.
#ifndef ATTUNE_DIALECT_TILE_TD
#define ATTUNE_DIALECT_TILE_TD

include "compiler/dialect/tile/TileBase.td"

include "compiler/dialect/tile/TileAsync.td"
include "compiler/dialect/tile/TileScans.td"

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

def Tile_KernelOp : Tile_Op<"kernel", [
    Symbol, IsolatedFromAbove, SingleBlock, NoTerminator,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "The program that every block of the grid runs";
  let description = [{
    Arguments are arrays, workspaces and run-time scalars. An array may say `output`, `optional` (its address may be
    0) and `align` (bytes that its address and strides are multiples of). An i32 with `value` follows from sizes, which
    is what `grid` is made of too; other scalars are given by name at launch, an i32 perhaps in a `range` (least, most) only. A workspace says its `bytes`, and `zero`
    where it must be zero at first. A kernel without tile.specialize is one role of `warps` warps.

    `smem` (bytes of dynamic shared memory) is there once tile-allocate-smem has run.

    Example:
    ```mlir
    tile.kernel @copy(%q: !tile.array<batch x heads_q x len_q x 128 x bf16> {align = 16 : i64}, %n: i32 {value = "len_q"})
        arch("sm_80") warps(4) min_blocks(2) grid("ceil_div(len_q, 64)", "heads_q", "batch") {
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, ArrayAttr:$signature, StrAttr:$arch, OptionalAttr<I64Attr>:$warps,
                   I64Attr:$min_blocks, OptionalAttr<ArrayAttr>:$grid, OptionalAttr<I64Attr>:$smem,
                   OptionalAttr<DictionaryAttr>:$schedule);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Tile_SpecializeOp : Tile_Op<"specialize", [SingleBlock, NoTerminator, ParentOneOf<["KernelOp"]>]> {
  let summary = "The roles of a block's warps; each warp runs one of them";
  let description = [{
    Roles take the warps in their order. What stands before is run by every warp; nothing of it may be a fragment, for
    whose warps would share it? Nothing may follow.

    Example:
    ```mlir
    tile.specialize {
      tile.role @producer warps(1) {
      }
      tile.role @consumer warps(4) replicas(2) {
      }
    }
    ```
  }];
  let regions = (region SizedRegion<1>:$roles);
  let assemblyFormat = "attr-dict-with-keyword $roles";
  let hasVerifier = 1;
}

def Tile_RoleOp : Tile_Op<"role", [SingleBlock, NoTerminator, ParentOneOf<["SpecializeOp"]>]> {
  let summary = "What `warps` warps do, `replicas` times side by side";
  let description = [{
    Fragments inside are spread over the warps of one replica. With `registers`, the role asks for that many a thread
    (setmaxnreg: an arch-specific target, and whole warpgroups). With `first_warp_only`, the other warps of the role are
    there to make up a warpgroup, and do nothing.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$warps, DefaultValuedAttr<I64Attr, "1">:$replicas,
                   OptionalAttr<I64Attr>:$registers, UnitAttr:$first_warp_only);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `warps` `(` $warps `)` (`replicas` `(` $replicas^ `)`)? (`registers` `(` $registers^ `)`)?
    (`first_warp_only` $first_warp_only^)? attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
}

def Tile_ReplicaOp : Tile_Op<"replica", [Pure]> {
  let summary = "Which replica of its role this is, from 0";
  let results = (outs I32:$result);
  let assemblyFormat = "attr-dict";
  let hasVerifier = 1;
}

def Tile_ViewOp : Tile_Op<"view", [Pure]> {
  let summary = "The matrix of an array at `indices` of its outer axes, with `rows` rows; or a column of rows";
  let description = [{
    With an index for each axis but two, the last axis is a row of `cols` adjacent elements. With an index for each axis
    but one, the last axis is the rows, of one element each.

    Example: `%k = tile.view %K[%batch, %kv_head] rows(%n) : !tile.array<batch x heads_kv x len_kv x 128 x bf16> -> !tile.view<128, bf16>`
  }];
  let arguments = (ins Tile_ArrayType:$array, Variadic<I32>:$indices, I32:$rows);
  let results = (outs Tile_ViewType:$result);
  let assemblyFormat = [{
    $array `[` $indices `]` `rows` `(` $rows `)` attr-dict `:` type($array) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_LoadValueOp : Tile_Op<"load_value", [MemoryEffects<[MemRead]>]> {
  let summary = "One element of an array that no kernel of the program writes, or one for each place of a fragment";
  let description = [{
    The indices are numbers, and so is the result, the same for every thread; or all are rows, or accumulators, and each
    place of the result has the element at its indices. 16-bit elements become f32, those of 8 bits i32.

    Example: `%sink = tile.load_value %sinks[%head] : !tile.array<heads_q x f32> -> f32`
  }];
  let arguments = (ins Tile_ArrayType:$array, Variadic<AnyType>:$indices);
  let results = (outs AnyType:$result);
  let assemblyFormat = [{
    $array `[` $indices `]` attr-dict `:` type($array) `->` type($result)
    custom<IndexTypes>(type($indices), ref($indices), ref(type($result)))
  }];
  let hasVerifier = 1;
}

def Tile_LoadEntryOp : Tile_Op<"load_entry", [MemoryEffects<[MemRead]>]> {
  let summary = "A number of a workspace, which a kernel that was launched before has stored there";
  let description = [{
    Example: `%least = tile.load_entry %bounds[%i] : !tile.workspace<i32>`
  }];
  let arguments = (ins Tile_WorkspaceType:$workspace, I32:$index);
  let results = (outs I32:$result);
  let assemblyFormat = "$workspace `[` $index `]` attr-dict `:` type($workspace)";
  let hasVerifier = 1;
}

def Tile_StoreEntryOp : Tile_Op<"store_entry", [MemoryEffects<[MemWrite]>]> {
  let summary = "Stores a number in a workspace, for kernels that are launched later; in a kernel of one warp";
  let description = [{
    Example: `tile.store_entry %least to %bounds[%i] : !tile.workspace<i32>`
  }];
  let arguments = (ins I32:$value, Tile_WorkspaceType:$workspace, I32:$index);
  let assemblyFormat = "$value `to` $workspace `[` $index `]` attr-dict `:` type($workspace)";
  let hasVerifier = 1;
}

def Tile_AttemptOp : Tile_Op<"attempt", [Pure]> {
  let summary = "What the tile.retry that sent this CTA back to the start calls the attempt: 0 at first";
  let results = (outs I32:$result);
  let assemblyFormat = "attr-dict";
}

def Tile_RetryOp : Tile_Op<"retry", [Tile_Synchronises, ParentOneOf<["KernelOp"]>]> {
  let summary = "Where the condition holds for a row of the CTA, all of its threads start the kernel anew, as attempt `next`";
  let description = [{
    The CTA synchronises and decides as one; nothing is sent back unless `allowed`, which is the same for all threads, as
    `next` is. What cannot be right in the usual way is computed in a slower one, which costs the usual way next to
    nothing: nothing of the attempt before is left.

    Example: `tile.retry %overflowed as %second when %first : tensor<128xi1, #tile.row>`
  }];
  let arguments = (ins Tile_Row:$condition, I32:$next, I1:$allowed);
  let assemblyFormat = "$condition `as` $next `when` $allowed attr-dict `:` type($condition)";
}

def Tile_UniformOp : Tile_Op<"uniform", [Tile_Synchronises, AllTypesMatch<["value", "result"]>]> {
  let summary = "The same number, which all threads of a warp have: said so that what follows takes no registers of theirs";
  let description = [{
    A quotient is the same for all threads where its operands are, but assemblers do not see that (redux.sync, which gives
    what is in a register of the warp). They do not see either where it comes from: what follows from the result is
    computed anew, and not kept from what followed from `value` before.

    Example: `%head = tile.uniform %quotient`
  }];
  let arguments = (ins I32:$value);
  let results = (outs I32:$result);
  let assemblyFormat = "$value attr-dict";
}

//===----------------------------------------------------------------------===//
// Memory: rings, and what they are lowered to
//===----------------------------------------------------------------------===//

def Tile_RingOp : Tile_Op<"ring", [MemoryEffects<[MemAlloc<Tile_SharedMemory>]>]> {
  let summary = "Slots in shared memory; slot i mod depth holds the i-th tile";
  let description = [{
    `offset` (bytes from the start of dynamic shared memory) is there once tile-allocate-smem has run.
    Of a ring of kind tma, one role fills the slots and others wait and release: each slot has a barrier that says that
    it is full and one that says that it is empty, at `barriers` (bytes) once tile-allocate-smem has run; `releases`
    warps release each tile, 0 where no slot is used twice, once tile-lower-channels has.
    For each i: `acquire` waits until the slot is free, asynchronous copies fill it, `commit` says that all
    of them are issued, `wait` makes the tile visible to the CTA, `release` says that this warp is done with it.

    Example: `%ks = tile.ring : !tile.ring<2 x tensor<64x128xbf16, #tile.smem>>`
  }];
  let arguments = (ins OptionalAttr<I64Attr>:$offset, OptionalAttr<I64Attr>:$barriers, OptionalAttr<I64Attr>:$releases);
  let results = (outs Tile_RingType:$result);
  let builders = [OpBuilder<(ins "RingType":$result), [{
    build($_builder, $_state, result, ::mlir::IntegerAttr(), ::mlir::IntegerAttr(), ::mlir::IntegerAttr());
  }]>];
  let assemblyFormat = [{
    (`offset` `(` $offset^ `)`)? (`barriers` `(` $barriers^ `)`)? (`releases` `(` $releases^ `)`)? attr-dict
    `:` type($result)
  }];
}

class Tile_RingTileOp<string mnemonic, Trait effects> : Tile_Op<mnemonic, [
    effects, TypesMatchWith<"the tile has the type of the ring's slots", "ring", "tile",
                   "::llvm::cast<::attune::tile::RingType>($_self).getSlot()">]> {
  let arguments = (ins Tile_RingType:$ring, I32:$index);
  let results = (outs Tile_Smem:$tile);
  let assemblyFormat = "$ring `[` $index `]` attr-dict `:` type($ring)";
}
def Tile_AcquireOp : Tile_RingTileOp<"acquire", Tile_Synchronises> {
  let summary = "The slot for tile `index`, once every warp has released what was in it";
}
def Tile_WaitOp : Tile_RingTileOp<"wait", Tile_Synchronises> {
  let summary = "Tile `index`, once all of its bytes have landed and every warp sees them";
}

class Tile_RingMarkOp<string mnemonic, Trait effects> : Tile_Op<mnemonic, [effects]> {
  let arguments = (ins Tile_RingType:$ring, I32:$index);
  let assemblyFormat = "$ring `[` $index `]` attr-dict `:` type($ring)";
}
def Tile_CommitOp : Tile_RingMarkOp<"commit", Tile_Commits> {
  let summary = "Every copy into tile `index` has been issued";
}
def Tile_ReleaseOp : Tile_RingMarkOp<"release", Tile_Synchronises> {
  let summary = "This warp reads tile `index` no more";
}

def Tile_AsyncCopyOp : Tile_Op<"async_copy", [Tile_Issues]> {
  let summary = "Starts copying rows `row`... of a view into shared memory (cp.async, 16 bytes a thread)";
  let description = [{
    With `bounded`, rows outside the view become zeros; without it the caller knows that all rows exist.
    Columns that the tile has beyond the view's become zeros. With `if`, nothing is copied when it is false.

    Example: `tile.async_copy %k[%row] to %slot bounded if %more : !tile.view<128, bf16>, tensor<64x128xbf16, #tile.smem>`
  }];
  let arguments = (ins Tile_ViewType:$view, I32:$row, Tile_Smem:$tile, UnitAttr:$bounded, Optional<I1>:$condition);
  let assemblyFormat = [{
    $view `[` $row `]` `to` $tile (`bounded` $bounded^)? (`if` $condition^)? attr-dict `:` type($view) `,` type($tile)
  }];
  let hasVerifier = 1;
}

def Tile_ReuseSmemOp : Tile_Op<"reuse_smem", [Tile_Synchronises]> {
  let summary = "The start of shared memory as one tile, once every warp is done with every ring";
  let results = (outs Tile_Smem:$tile);
  let assemblyFormat = "attr-dict `:` type($tile)";
  let hasVerifier = 1;
}

// A tile of shared memory is a place, not its contents: naming one reads nothing.
def Tile_SmemTileOp : Tile_Op<"smem_tile", [Pure]> {
  let summary = "The tile at a byte offset of shared memory (what acquire and wait become)";
  let arguments = (ins I32:$offset);
  let results = (outs Tile_Smem:$tile);
  let assemblyFormat = "$offset attr-dict `:` type($tile)";
  let hasVerifier = 1;
}

def Tile_CommitGroupOp : Tile_Op<"commit_group", [Tile_Commits]> {
  let summary = "Closes a group of asynchronous copies (cp.async.commit_group)";
  let assemblyFormat = "attr-dict";
}

def Tile_WaitGroupOp : Tile_Op<"wait_group", [Tile_Synchronises]> {
  let summary = "Waits until at most `pending` of this thread's newest groups are in flight (cp.async.wait_group)";
  let arguments = (ins I64Attr:$pending);
  let assemblyFormat = "$pending attr-dict";
  let hasVerifier = 1;
}

def Tile_LoadOperandOp : Tile_Op<"load_operand", [Tile_ReadsShared]> {
  let summary = "A tile of shared memory as the register A operand (ldmatrix)";
  let arguments = (ins Tile_Smem:$tile);
  let results = (outs Tile_AOp:$result);
  let assemblyFormat = "$tile attr-dict `:` type($tile) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_StoreOp : Tile_Op<"store", [Tile_StoresThrough]> {
  let summary = "Rounds an accumulator to the view's type and stores the rows that the view has, through shared memory";
  let description = [{
    Example: `tile.store %o to %view[%row] through %staging : tensor<128x128xf32, #tile.acc>, !tile.view<128, bf16>, tensor<128x128xbf16, #tile.smem>`
  }];
  let arguments = (ins Tile_Acc:$value, Tile_ViewType:$view, I32:$row, Tile_Smem:$staging);
  let assemblyFormat = [{
    $value `to` $view `[` $row `]` `through` $staging attr-dict `:` type($value) `,` type($view) `,` type($staging)
  }];
  let hasVerifier = 1;
}

def Tile_StoreRowsOp : Tile_Op<"store_rows", [MemoryEffects<[MemWrite]>]> {
  let summary = "Stores one value a row into the rows that the view has";
  let arguments = (ins Tile_Row:$value, Tile_ViewType:$view, I32:$row);
  let assemblyFormat = "$value `to` $view `[` $row `]` attr-dict `:` type($value) `,` type($view)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Compute
//===----------------------------------------------------------------------===//

def Tile_DotOp : Tile_Op<"dot", [Tile_ReadsShared, OptionalTypesMatchWith<"c has the type of the result", "result", "c",
                                                              "$_self">]> {
  let summary = "a b + c, or a b^T + c with `transposed`; c is zero where it is absent";
  let description = [{
    `a` is in registers, or in shared memory and loaded on the way. The k steps of 16 run in ascending order.

    Example: `%s = tile.dot %q, %k transposed : tensor<128x128xbf16, #tile.a_op>, tensor<64x128xbf16, #tile.smem> -> tensor<128x64xf32, #tile.acc>`
  }];
  let arguments = (ins AnyTypeOf<[Tile_AOp, Tile_Smem]>:$a, Tile_Smem:$b, UnitAttr:$transposed, Optional<Tile_Acc>:$c);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = [{
    $a `,` $b (`transposed` $transposed^)? (`plus` $c^)? attr-dict `:` type($a) `,` type($b) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_RowReduceOp : Tile_Op<"row_reduce", [Pure, AllTypesMatch<["init", "result"]>]> {
  let summary = "Combines each row of an accumulator with `init`, in ascending column order inside a thread";
  let description = [{
    With `partial`, every thread keeps the part of the row that it owns; row_combine makes the whole of it.

    Example: `%m = tile.row_reduce max %s, %m0 : tensor<128x64xf32, #tile.acc> -> tensor<128xf32, #tile.row>`
  }];
  let arguments = (ins Tile_ReductionAttr:$kind, Tile_Acc:$value, Tile_Row:$init, UnitAttr:$partial);
  let results = (outs Tile_Row:$result);
  let assemblyFormat = "$kind $value `,` $init (`partial` $partial^)? attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_RowCombineOp : Tile_Op<"row_combine", [Pure, SameOperandsAndResultType]> {
  let summary = "The whole of each row from the parts that the threads of a row hold";
  let arguments = (ins Tile_ReductionAttr:$kind, Tile_Row:$value);
  let results = (outs Tile_Row:$result);
  let assemblyFormat = "$kind $value attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_RowBroadcastOp : Tile_Op<"row_broadcast", [Pure]> {
  let summary = "Each row's value in every column";
  let arguments = (ins Tile_Row:$value);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_RowIndexOp : Tile_Op<"row_index", [Pure]> {
  let summary = "The index of each row inside the tile";
  let results = (outs Tile_Row:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_ColumnIndexOp : Tile_Op<"column_index", [Pure]> {
  let summary = "The index of each column inside the tile";
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_FirstColumnOp : Tile_Op<"first_column", [Pure]> {
  let summary = "Of each row, the first column of an accumulator that a thread holds: a part of the row for each thread";
  let results = (outs Tile_Row:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_RampOp : Tile_Op<"ramp", [Pure]> {
  let summary = "What grows by `step` with each column, from the first one that a thread holds";
  let description = [{
    The first column that a thread holds of a row is its `value`, and column c of it is fma(step, c - first, value).

    Example: `%bias = tile.ramp %base by %slope : tensor<128xf32, #tile.row> -> tensor<128x64xf32, #tile.acc>`
  }];
  let arguments = (ins Tile_Row:$value, F32:$step);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = "$value `by` $step attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_KeepColumnsOp : Tile_Op<"keep_columns", [Pure, AttrSizedOperandSegments,
                                               AllTypesMatch<["value", "result"]>]> {
  let summary = "-inf where a row does not see a column: limits that hold for all rows, and limits that move with the row";
  let description = [{
    The tile's first row is row `row`, its first column is column `column`, a multiple of 8. Row r keeps the columns c with
    `first` <= c <= `last` and r + `first_shift` <= c <= r + `last_shift`, as far as these are given.

    Example: `%kept = tile.keep_columns %s at [%query, %key] last(%end) last_shift(%shift) : tensor<128x64xf32, #tile.acc>`
  }];
  let arguments = (ins Tile_Acc:$value, I32:$row, I32:$column, Optional<I32>:$first, Optional<I32>:$last,
                   Optional<I32>:$first_shift, Optional<I32>:$last_shift);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = [{
    $value `at` ` ` `[` $row `,` $column `]` (`first` `(` $first^ `)`)? (`last` `(` $last^ `)`)?
    (`first_shift` `(` $first_shift^ `)`)? (`last_shift` `(` $last_shift^ `)`)? attr-dict `:` type($value)
  }];
  let hasVerifier = 1;
}

def Tile_TakeNonfiniteOp : Tile_Op<"take_nonfinite", [Tile_RewritesShared, AllTypesMatch<["out", "result"]>]> {
  let summary = "Takes NaNs and infinities out of a tile of keys, into the rows of `out` that see their keys";
  let description = [{
    Each such element of key k is added to its column of the rows of `out` whose score of k is not -inf, keys in
    ascending order, and becomes 0 in the tile, for all threads: 0 x NaN cannot reach a row that does not see it.

    Example: `%o = tile.take_nonfinite %v, %s, %out : tensor<64x128xbf16, #tile.smem>, tensor<128x64xf32, #tile.acc>, tensor<128x128xf32, #tile.acc>`
  }];
  let arguments = (ins Tile_Smem:$tile, Tile_Acc:$scores, Tile_Acc:$out);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = [{
    $tile `,` $scores `,` $out attr-dict `:` type($tile) `,` type($scores) `,` type($out)
  }];
  let hasVerifier = 1;
}

def Tile_ToAOpOp : Tile_Op<"to_a_op", [Pure]> {
  let summary = "Rounds an accumulator to 16 bits as the A operand of a dot: a re-packing inside each thread";
  let arguments = (ins Tile_Acc:$value);
  let results = (outs Tile_AOp:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_WarpAnyOp : Tile_Op<"warp_any", [Pure]> {
  let summary = "Whether the condition holds for any row of this warp: the same for all of its threads (vote)";
  let arguments = (ins Tile_Row:$condition);
  let results = (outs I1:$result);
  let assemblyFormat = "$condition attr-dict `:` type($condition)";
  let hasVerifier = 1;
}

#endif
