//===- Precompiled.h - the standard headers of every source file -*- C++ -*-===//
//
// Precompiled once: reading these takes longer than compiling most of our files. A file still includes what
// it uses.
//
//===----------------------------------------------------------------------===//
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
