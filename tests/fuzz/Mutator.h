//===- Mutator.h - mutations that keep text nearly valid ----------*- C++ -*-===//
//
// A text is a list of tokens (words, numbers, strings, single characters, the space between them). A mutation
// replaces, drops, repeats, swaps or moves tokens and lines, takes words from a dictionary or from elsewhere
// in the text, and changes numbers; sometimes it flips bytes. So most mutants get past the lexer and into
// what lies behind it.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_TESTS_FUZZ_MUTATOR_H
#define ATTUNE_TESTS_FUZZ_MUTATOR_H

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>

namespace attune::fuzz {

/// What the mutator takes besides the text's own words.
struct Dictionary {
  std::span<const std::string_view> words;
  char lineEnd; ///< ends a unit that may be moved as a whole: ';' of PTX, ',' of JSON
};

/// A mutant of `text` of at most `most` bytes.
std::string mutate(std::string_view text, const Dictionary &dictionary, std::mt19937 &random, size_t most);

} // namespace attune::fuzz

#endif // ATTUNE_TESTS_FUZZ_MUTATOR_H
