// What runs beside the warps: copies by TMA and products by wgmma, and the barriers in shared memory that say when.
#ifndef ATTUNE_DIALECT_TILE_TILEASYNC_TD
#define ATTUNE_DIALECT_TILE_TILEASYNC_TD

include "compiler/dialect/tile/TileBase.td"

//===----------------------------------------------------------------------===//
// Rings that TMA fills
//===----------------------------------------------------------------------===//

def Tile_FillOp : Tile_Op<"fill", [Tile_Fills]> {
  let summary = "Waits until the slot for tile `index` is free, and has TMA copy a box into it";
  let description = [{
    The box begins at row `row` of the matrix of (`head`, `batch`). Rows and columns that the array lacks become zeros.
    One thread of the role's first warp issues it; nobody waits here for the bytes: `tile.wait` does.

    Example: `tile.fill %ks[%it] from %k_map[%row, %head, %batch] : !tile.ring<2 x tensor<80x128xbf16, #tile.smem>, tma>, !tile.tensor_map<80 x 128, bf16>`
  }];
  let arguments = (ins Tile_RingType:$ring, I32:$index, Tile_TensorMapType:$map, I32:$row, I32:$head, I32:$batch);
  let assemblyFormat = [{
    $ring `[` $index `]` `from` $map `[` $row `,` $head `,` $batch `]` attr-dict `:` type($ring) `,` type($map)
  }];
  let hasVerifier = 1;
}

def Tile_TmaLoadOp : Tile_Op<"tma_load", [Tile_Fills]> {
  let summary = "Has TMA copy a box into `tile`; its bytes count at the barrier (what fill becomes)";
  let arguments = (ins Tile_TensorMapType:$map, I32:$row, I32:$head, I32:$batch, Tile_Smem:$tile, I32:$barrier);
  let assemblyFormat = [{
    $map `[` $row `,` $head `,` $batch `]` `to` $tile `barrier` `(` $barrier `)` attr-dict `:` type($map) `,` type($tile)
  }];
  let hasVerifier = 1;
}

def Tile_ReuseTileOp : Tile_Op<"reuse_tile", [Tile_Synchronises]> {
  let summary = "The bytes of a tile that is read no more, as another tile that is not larger";
  let description = [{
    The warps of the role meet here, so that none of them still reads what another is about to write.
  }];
  let arguments = (ins Tile_Smem:$tile);
  let results = (outs Tile_Smem:$result);
  let assemblyFormat = "$tile attr-dict `:` type($tile) `->` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Barriers in shared memory (mbarrier), by byte offset
//===----------------------------------------------------------------------===//

def Tile_BarrierInitOp : Tile_Op<"barrier_init", [Tile_Synchronises]> {
  let summary = "Makes the barriers at `offsets`, each with the number of arrivals that ends a phase";
  let description = [{
    One thread does it; after it every thread of the CTA, and TMA, sees them.
  }];
  let arguments = (ins DenseI64ArrayAttr:$offsets, DenseI64ArrayAttr:$counts);
  let assemblyFormat = "$offsets `counts` $counts attr-dict";
  let hasVerifier = 1;
}

def Tile_BarrierWaitOp : Tile_Op<"barrier_wait", [Tile_Synchronises]> {
  let summary = "Waits until the phase of this parity has ended (mbarrier.try_wait.parity)";
  let arguments = (ins I32:$barrier, I32:$parity);
  let assemblyFormat = "$barrier `,` $parity attr-dict";
}

def Tile_BarrierArriveOp : Tile_Op<"barrier_arrive", [Tile_Synchronises]> {
  let summary = "One thread of each warp arrives (mbarrier.arrive)";
  let arguments = (ins I32:$barrier);
  let assemblyFormat = "$barrier attr-dict";
}

def Tile_BarrierExpectOp : Tile_Op<"barrier_expect", [Tile_Synchronises]> {
  let summary = "Arrives, and lets the phase wait for so many bytes too (mbarrier.arrive.expect_tx)";
  let arguments = (ins I32:$barrier, I64Attr:$bytes);
  let assemblyFormat = "$barrier `bytes` `(` $bytes `)` attr-dict";
}

//===----------------------------------------------------------------------===//
// Products that run beside the warps
//===----------------------------------------------------------------------===//

def Tile_DotIssueOp : Tile_Op<"dot_issue", [Tile_IssuesDot, OptionalTypesMatchWith<"c has the type of the result", "result", "c",
                                                                   "$_self">]> {
  let summary = "Starts a b + c, or a b^T + c with `transposed`, on the tensor cores of a warpgroup (wgmma)";
  let description = [{
    `a` is in registers or in shared memory. The k steps run in ascending order. The result, and `a` where it is in
    registers, may be touched only after a `dot_wait` through which the result passes.

    Example: `%s = tile.dot_issue %q, %k transposed : tensor<64x128xbf16, #tile.smem>, tensor<80x128xbf16, #tile.smem> -> tensor<64x80xf32, #tile.acc>`
  }];
  let arguments = (ins AnyTypeOf<[Tile_AOp, Tile_Smem]>:$a, Tile_Smem:$b, UnitAttr:$transposed, Optional<Tile_Acc>:$c);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = [{
    $a `,` $b (`transposed` $transposed^)? (`plus` $c^)? attr-dict `:` type($a) `,` type($b) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_DotWaitOp : Tile_Op<"dot_wait", [Tile_Synchronises, SameOperandsAndResultType]> {
  let summary = "The value of an issued dot, once at most `pending` dots that were issued later are still running";
  let arguments = (ins Tile_Acc:$value, I64Attr:$pending);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = "$value `pending` `(` $pending `)` attr-dict `:` type($value)";
  let hasVerifier = 1;
}

#endif
