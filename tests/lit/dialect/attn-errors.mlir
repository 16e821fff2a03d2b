// RUN: attune-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{expected dtype f16 or bf16, got 'f32'}}
attn.forward @dtype : f32, qk = 128, v = 128, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected head dim v to be a multiple of 8 in 8..256, got 100}}
attn.forward @dim : f16, qk = 128, v = 100, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected the mask region to take}}
attn.forward @arguments : f16, qk = 128, v = 128, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

attn.forward @yield : f16, qk = 128, v = 128, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected the mask region to yield 'i1', got 'index'}}
    attn.yield %q : index
  }

// -----

attn.forward @operation : f16, qk = 128, v = 128, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected an operation that kernels can apply to each score in the score region}}
    %x = tensor.empty() : tensor<4xf32>
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

// expected-error@+1 {{expected 'sink', 'lengths_q', 'lengths_kv', 'lse' or 'schedule'}}
attn.forward @keyword : f16, qk = 128, v = 128, scale = 1.0, sles
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

attn.forward @function : bf16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected an operation that kernels can apply to each score in the score region}}
    %x = math.erf %s : f32
    attn.yield %x : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

attn.forward @type : bf16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    attn.yield %s : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected numbers of f32, i32, index or i1, got 'i64'}}
    %wide = arith.index_cast %q : index to i64
    %t = arith.constant true
    attn.yield %t : i1
  }

// -----

attn.forward @range : bf16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected the range of an index, [least, most]}}
    %c = attn.scalar "cap" in [0, 1] : f32
    attn.yield %c : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) { %t = arith.constant true
    attn.yield %t : i1 }

// -----

attn.forward @backwards : bf16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) { attn.yield %s : f32 }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected the range of an index, [least, most]}}
    %n = attn.scalar "left" in [2, 1] : index
    %t = arith.cmpi sle, %kv, %n : index
    attn.yield %t : i1
  }

// -----

attn.forward @two_meanings : bf16, qk = 64, v = 64, scale = 1.0
  score (%s: f32, %b: index, %h: index, %q: index, %kv: index) {
    %c = attn.scalar "x" : f32
    attn.yield %c : f32
  }
  mask (%b: index, %h: index, %q: index, %kv: index) {
    // expected-error@+1 {{expected one type and range of scalar 'x'}}
    %n = attn.scalar "x" : index
    %t = arith.cmpi sle, %kv, %n : index
    attn.yield %t : i1
  }
