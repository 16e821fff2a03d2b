// One thread's part of what runs beside the warps: TMA and wgmma.
#ifndef ATTUNE_DIALECT_THREAD_THREADASYNC_TD
#define ATTUNE_DIALECT_THREAD_THREADASYNC_TD

include "compiler/dialect/tile/TileBase.td"

def Thread_TmaStoreOp : Thread_Op<"tma_store", [Tile_StoresByTma]> {
  let summary = "This warp's 16 rows, rounded and staged at byte `staging` (stmatrix), stored by TMA panel by panel";
  let arguments = (ins AnyVectorOfNonZeroRank:$value, Tile_TensorMapType:$map, I32:$row, I32:$head, I32:$batch,
                   I32:$staging, I64Attr:$m, I64Attr:$n);
  let assemblyFormat = [{
    $value `to` $map `[` $row `,` $head `,` $batch `]` `through` $staging `tile` `(` $m `x` $n `)` attr-dict
    `:` type($value) `,` type($map)
  }];
  let hasVerifier = 1;
}

def Thread_NamedBarrierOp : Thread_Op<"named_barrier", [Tile_Synchronises]> {
  let summary = "`threads` threads meet at barrier `number` (bar.sync); with `arrive`, this one does not wait (bar.arrive)";
  let arguments = (ins I32:$number, I64Attr:$threads, UnitAttr:$arrive);
  let assemblyFormat = "$number `threads` `(` $threads `)` (`arrive` $arrive^)? attr-dict";
}

def Thread_VoteOp : Thread_Op<"vote", [Tile_Synchronises]> {
  let summary = "The bits that any of `threads` threads has, which meet at barrier `number` (bar.red.or)";
  let arguments = (ins I32:$bits, I64Attr:$number, I64Attr:$threads);
  let results = (outs I32:$result);
  let assemblyFormat = "$bits `at` $number `threads` `(` $threads `)` attr-dict";
}

def Thread_DotIssueOp : Thread_Op<"dot_issue", [Tile_IssuesDot, OptionalTypesMatchWith<"c has the type of the result", "result", "c",
                                                                      "$_self">]> {
  let summary = "Starts a b + c by wgmma.m64nNk16, k ascending: fence, one instruction a k step, commit";
  let description = [{
    `a` is a fragment, or the byte offset of an m x k tile of type `type`; `b` is the byte offset of a k x n tile, or of
    an n x k tile with `transposed`. Tiles are swizzled panels as TMA leaves them.
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

def Thread_DotWaitOp : Thread_Op<"dot_wait", [Tile_Synchronises, SameOperandsAndResultType]> {
  let summary = "The registers of an issued dot, once at most `pending` later groups run (wgmma.wait_group)";
  let arguments = (ins AnyVectorOfNonZeroRank:$value, I64Attr:$pending);
  let results = (outs AnyVectorOfNonZeroRank:$result);
  let assemblyFormat = "$value `pending` `(` $pending `)` attr-dict `:` type($value)";
  let hasVerifier = 1;
}

#endif
