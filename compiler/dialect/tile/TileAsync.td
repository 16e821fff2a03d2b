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

// What fill, wait and release of such rings become, in the tile and in the thread dialect.

def Tile_PlaceOp : Tile_Op<"place", [Pure]> {
  let summary = "Where a ring has tile `index`: in slot index mod depth, in a phase of the parity of index / depth";
  let description = [{
    Example: `%at = tile.place %it : <3>`
  }];
  let arguments = (ins I32:$index);
  let results = (outs Tile_PlaceType:$result);
  let assemblyFormat = "$index attr-dict `:` type($result)";
}
def Tile_NextPlaceOp : Tile_Op<"next_place", [Pure, SameOperandsAndResultType]> {
  let summary = "Where the tile after that at `place` is: what loops carry, since it takes no division";
  let arguments = (ins Tile_PlaceType:$place);
  let results = (outs Tile_PlaceType:$result);
  let assemblyFormat = "$place attr-dict `:` type($result)";
}

class Tile_SlotOp<string mnemonic, Trait effects> : Tile_Op<mnemonic, [
    effects, TypesMatchWith<"the place is one of the ring", "ring", "place",
        "::attune::tile::PlaceType::get($_self.getContext(), ::llvm::cast<::attune::tile::RingType>($_self).getDepth())">]> {
  let arguments = (ins Tile_RingType:$ring, Tile_PlaceType:$place);
  let assemblyFormat = "$ring `[` $place `]` attr-dict `:` type($ring)";
  let hasVerifier = 1;
}
def Tile_SlotAcquireOp : Tile_SlotOp<"slot_acquire", Tile_Synchronises> {
  let summary = "Waits until the slot is empty, where a ring's slots are used twice, and announces the bytes of a tile";
}
def Tile_SlotWaitOp : Tile_SlotOp<"slot_wait", Tile_Synchronises> {
  let summary = "The tile in the slot (in the thread dialect its byte offset), once all of its bytes have landed";
  let results = (outs AnyTypeOf<[Tile_Smem, I32]>:$tile);
  let assemblyFormat = "$ring `[` $place `]` attr-dict `:` type($ring) `->` type($tile)";
}
def Tile_SlotReleaseOp : Tile_SlotOp<"slot_release", Tile_Synchronises> {
  let summary = "One thread of this warp says that the warp reads the slot no more (mbarrier.arrive)";
}
def Tile_TmaLoadOp : Tile_Op<"tma_load", [
    Tile_Fills, TypesMatchWith<"the place is one of the ring", "ring", "place",
        "::attune::tile::PlaceType::get($_self.getContext(), ::llvm::cast<::attune::tile::RingType>($_self).getDepth())">]> {
  let summary = "Has TMA copy a box into a slot, panel by panel; its bytes count at the slot's barrier";
  let description = [{
    Example: `tile.tma_load %k_map[%row, %head, %batch] to %ks[%at] : <80 x 128, bf16>, <2 x tensor<80x128xbf16, #tile.smem>, tma>`
  }];
  let arguments = (ins Tile_TensorMapType:$map, I32:$row, I32:$head, I32:$batch, Tile_RingType:$ring,
                   Tile_PlaceType:$place);
  let assemblyFormat = [{
    $map `[` $row `,` $head `,` $batch `]` `to` $ring `[` $place `]` attr-dict `:` type($map) `,` type($ring)
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

def Tile_TmaStoreOp : Tile_Op<"tma_store", [Tile_StoresByTma]> {
  let summary = "Rounds an accumulator to the map's type, stages it in shared memory, and has TMA store it";
  let description = [{
    Each warp stages and stores its own rows, a box of 16; rows and columns that the array lacks are left out. Nobody
    waits: until `tile.store_wait` the staging tile is being read.

    Example: `tile.tma_store %o to %o_map[%row, %head, %batch] through %staging : tensor<64x128xf32, #tile.acc>, !tile.tensor_map<16 x 128, bf16>, tensor<64x128xbf16, #tile.smem>`
  }];
  let arguments = (ins Tile_Acc:$value, Tile_TensorMapType:$map, I32:$row, I32:$head, I32:$batch, Tile_Smem:$staging);
  let assemblyFormat = [{
    $value `to` $map `[` $row `,` $head `,` $batch `]` `through` $staging attr-dict
    `:` type($value) `,` type($map) `,` type($staging)
  }];
  let hasVerifier = 1;
}

def Tile_StoreWaitOp : Tile_Op<"store_wait", [Tile_Synchronises]> {
  let summary = "Waits until this warp's stores by TMA have read shared memory; `written`: until they are done";
  let arguments = (ins UnitAttr:$written);
  let assemblyFormat = "(`written` $written^)? attr-dict";
}

//===----------------------------------------------------------------------===//
// Roles that agree
//===----------------------------------------------------------------------===//

def Tile_VoteOp : Tile_Op<"vote", [Tile_Synchronises]> {
  let summary = "The bits that any warp of the roles has set: all of their warps meet, and get the same";
  let description = [{
    `bits` are the same for all threads of a warp. Where no warp has any, this is one barrier.

    Example: `%again = tile.vote %not_finite`
  }];
  let arguments = (ins I32:$bits);
  let results = (outs I32:$result);
  let assemblyFormat = "$bits attr-dict";
  let hasVerifier = 1;
}

def Tile_TurnWaitOp : Tile_Op<"turn_wait", [Tile_Synchronises]> {
  let summary = "Waits until the replica before this one, before the first the last, has passed the turn";
  let assemblyFormat = "attr-dict";
  let hasVerifier = 1;
}
def Tile_TurnPassOp : Tile_Op<"turn_pass", [Tile_Synchronises]> {
  let summary = "Passes the turn to the next replica of the role";
  let assemblyFormat = "attr-dict";
  let hasVerifier = 1;
}

def Tile_DrawOp : Tile_Op<"draw", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "The number that a counter in global memory holds; it is one larger for whoever draws next (atom.add)";
  let description = [{
    One thread of the warp draws; all of the warp's threads get the number. Only a role of one warp draws.

    Example: `%n = tile.draw %drawn : !tile.workspace<i32>`
  }];
  let arguments = (ins Tile_WorkspaceType:$counter);
  let results = (outs I32:$result);
  let assemblyFormat = "$counter attr-dict `:` type($counter)";
  let hasVerifier = 1;
}

def Tile_WordsOp : Tile_Op<"words", [MemoryEffects<[MemAlloc<Tile_SharedMemory>]>]> {
  let summary = "Numbers in shared memory that one role hands to the others; number i lies in slot i mod depth";
  let description = [{
    Each has a barrier that says that it is there. A slot is used again only after a `tile.vote`, at which all roles met.
    `offset` and `barriers` (bytes) are there once tile-allocate-smem has run.

    Example: `%drawn = tile.words : !tile.words<32>`
  }];
  let arguments = (ins OptionalAttr<I64Attr>:$offset, OptionalAttr<I64Attr>:$barriers);
  let results = (outs Tile_WordsType:$result);
  let assemblyFormat = "(`offset` `(` $offset^ `)`)? (`barriers` `(` $barriers^ `)`)? attr-dict `:` type($result)";
}

def Tile_PutOp : Tile_Op<"put", [Tile_Synchronises]> {
  let summary = "Hands number `index` to the other roles";
  let arguments = (ins Tile_WordsType:$words, I32:$index, I32:$value);
  let assemblyFormat = "$words `[` $index `]` `,` $value attr-dict `:` type($words)";
}
def Tile_GetOp : Tile_Op<"get", [Tile_Synchronises]> {
  let summary = "Number `index`, once it is there";
  let arguments = (ins Tile_WordsType:$words, I32:$index);
  let results = (outs I32:$result);
  let assemblyFormat = "$words `[` $index `]` attr-dict `:` type($words)";
}
def Tile_StoreWordOp : Tile_Op<"store_word", [Tile_Synchronises]> {
  let summary = "One thread of the warp writes a number at a byte offset of shared memory (what put becomes)";
  let arguments = (ins I32:$value, I32:$offset);
  let assemblyFormat = "$value `to` $offset attr-dict";
}
def Tile_LoadWordOp : Tile_Op<"load_word", [Tile_ReadsShared]> {
  let summary = "The number at a byte offset of shared memory (what get becomes)";
  let arguments = (ins I32:$offset);
  let results = (outs I32:$result);
  let assemblyFormat = "$offset attr-dict";
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
