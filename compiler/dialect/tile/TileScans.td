// Scans over numbers: which blocks a mask leaves of a sequence, and what an array holds between two places.
#ifndef ATTUNE_DIALECT_TILE_SCANS_TD
#define ATTUNE_DIALECT_TILE_SCANS_TD

include "compiler/dialect/tile/TileBase.td"

// The lanes of a warp ask for 32 numbers at a time and agree: every thread of a role gets the same answer.
class Tile_ScanOp<string mnemonic> : Tile_Op<mnemonic, [RecursiveMemoryEffects, SingleBlock]> {
  let arguments = (ins I32:$begin, I32:$end);
  let results = (outs I32:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$begin `,` $end $body attr-dict";
  let hasVerifier = 1;
}

def Tile_CountBlocksOp : Tile_Op<"count_blocks", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "How many of the blocks `begin` to `end` - 1 each condition holds for";
  let description = [{
    The body takes a block's number, and is made of arithmetic on numbers and of what it loads.

    Example:
    ```mlir
    %count = tile.count_blocks %begin, %end {
    ^bb0(%block: i32):
      %even = arith.cmpi ne, %block, %other : i32
      tile.yield %even : i1
    } : i32
    ```
  }];
  let arguments = (ins I32:$begin, I32:$end);
  let results = (outs Variadic<I32>:$counts);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$begin `,` $end $body attr-dict `:` type($counts)";
  let hasVerifier = 1;
}

def Tile_LastBlockOp : Tile_ScanOp<"last_block"> {
  let summary = "The last of the blocks `begin` to `end` - 1 that the condition holds for; `begin` - 1: none";
}

def Tile_LeastOp : Tile_ScanOp<"least"> {
  let summary = "The least of what the body makes of the numbers `begin` to `end` - 1; 2^31 - 1 where there are none";
  let description = [{
    The body takes a number and is made of arithmetic on numbers and of what it loads.

    Example:
    ```mlir
    %first = tile.least %begin, %end {
    ^bb0(%i: i32):
      %x = tile.load_value %doc[%i] : <len_kv x i32> -> i32
      tile.yield %x : i32
    }
    ```
  }];
}

def Tile_LargestOp : Tile_ScanOp<"largest"> {
  let summary = "The largest of what the body makes of the numbers `begin` to `end` - 1; -2^31 where there are none";
}

def Tile_YieldOp : Tile_Op<"yield", [Pure, Terminator,
                                    ParentOneOf<["CountBlocksOp", "LastBlockOp", "LeastOp", "LargestOp"]>]> {
  let summary = "Whether the conditions hold for a block (i1), or what a number becomes (i32)";
  let arguments = (ins Variadic<AnyTypeOf<[I1, I32]>>:$values);
  let assemblyFormat = "$values attr-dict `:` type($values)";
}

#endif
