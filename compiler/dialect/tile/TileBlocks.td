// Looking for blocks by their numbers: what a mask leaves of a sequence.
#ifndef ATTUNE_DIALECT_TILE_BLOCKS_TD
#define ATTUNE_DIALECT_TILE_BLOCKS_TD

include "compiler/dialect/tile/TileBase.td"

// The lanes of a warp ask for 32 blocks at a time and vote: every thread of a role gets the same answer.
class Tile_BlockScanOp<string mnemonic> : Tile_Op<mnemonic, [RecursiveMemoryEffects, SingleBlock]> {
  let arguments = (ins I32:$begin, I32:$end);
  let results = (outs I32:$result);
  let regions = (region SizedRegion<1>:$condition);
  let assemblyFormat = "$begin `,` $end $condition attr-dict";
  let hasVerifier = 1;
}

def Tile_CountBlocksOp : Tile_BlockScanOp<"count_blocks"> {
  let summary = "How many of the blocks `begin` to `end` - 1 the condition holds for";
  let description = [{
    The condition takes a block's number and is made of arithmetic on numbers.

    Example:
    ```mlir
    %count = tile.count_blocks %begin, %end {
    ^bb0(%block: i32):
      %even = arith.cmpi ne, %block, %other : i32
      tile.yield %even
    }
    ```
  }];
}

def Tile_LastBlockOp : Tile_BlockScanOp<"last_block"> {
  let summary = "The last of the blocks `begin` to `end` - 1 that the condition holds for; `begin` - 1: none";
}

def Tile_YieldOp : Tile_Op<"yield", [Pure, Terminator, ParentOneOf<["CountBlocksOp", "LastBlockOp"]>]> {
  let summary = "Whether the condition holds for the block";
  let arguments = (ins I1:$value);
  let assemblyFormat = "$value attr-dict";
}

#endif
