//===- BoundProgram.cpp - a loaded program for one set of sizes -----------===//
#include "runtime/launch/BoundProgram.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace attune {

using v1::ErrorCode;
using Kind = Argument::Kind;

//===----------------------------------------------------------------------===//
// Binding
//===----------------------------------------------------------------------===//

/// "batch", "head", "row": what an axis of this extent counts.
static std::string axisWord(const Argument &argument, size_t axis) {
  if (std::optional<Size> size = argument.axes[axis].size())
    switch (*size) {
    case Size::Batch:
      return "batch";
    case Size::HeadsQ:
    case Size::HeadsKv:
      return "head";
    case Size::LengthQ:
    case Size::LengthKv:
      return "row";
    default:
      break;
    }
  return axis + 1 == argument.axes.size() ? "element" : fmt::format("axis {}", axis);
}

static v1::Error wrongSize(std::string_view what, const SizeExpr &expression) {
  return {ErrorCode::InvalidShape,
          fmt::format("error: expected {} ({}) that 64 bits hold for this shape", what, expression.text())};
}

/// The place of the argument in `table`, which it joins if it is new.
static size_t placeOf(std::vector<BoundArgument> &table, const Argument &argument) {
  for (size_t i = 0; i < table.size(); ++i)
    if (table[i].argument->name == argument.name) {
      table[i].output |= argument.output;
      return i;
    }
  BoundArgument bound;
  bound.argument = &argument;
  bound.name = argument.name;
  bound.output = argument.output;
  table.push_back(bound);
  return table.size() - 1;
}

v1::Status BoundProgram::collectArguments(const Sizes &sizes) {
  for (const KernelInfo &kernel : program().program().kernels)
    for (const Argument &argument : kernel.arguments) {
      if (argument.kind == Kind::Scalar && !argument.value)
        placeOf(scalarTable, argument);
      if (argument.kind != Kind::Array)
        continue;
      BoundArgument &array = arrayTable[placeOf(arrayTable, argument)];
      for (size_t axis = 0; axis < argument.axes.size(); ++axis) {
        std::optional<int64_t> extent = argument.axes[axis].evaluate(sizes);
        if (!extent || *extent < 0)
          return wrongSize(fmt::format("an extent of {}", argument.name), argument.axes[axis]);
        array.shape[axis] = *extent;
        array.empty |= *extent == 0;
      }
    }
  if (arrayTable.size() > maxArguments || scalarTable.size() > maxArguments)
    return v1::Error{ErrorCode::LoadFailed,
                     fmt::format("expected at most {} arrays and as many scalars, the kernels have {} and {}",
                                 maxArguments, arrayTable.size(), scalarTable.size())};
  return succeeded();
}

v1::Status BoundProgram::bindWorkspace(const Sizes &sizes) {
  for (auto [expression, bytes] : {std::pair(program().program().workspaceBytes(), &workspace),
                                   {program().program().zeroBytes(), &zeroed}}) {
    std::optional<int64_t> value = expression.evaluate(sizes);
    if (!value || *value < 0)
      return wrongSize("bytes of workspace", expression);
    *bytes = size_t(*value);
  }
  return succeeded();
}

v1::Result<size_t> BoundProgram::addMap(const Argument &argument) {
  Map map{0, {}};
  while (map.array < arrayTable.size() && arrayTable[map.array].argument->name != argument.array)
    ++map.array;
  size_t rank = map.array < arrayTable.size() ? arrayTable[map.array].argument->axes.size() : 0;
  if (rank == 0 || rank > 5 || argument.box.size() > rank)
    return v1::Error{ErrorCode::LoadFailed,
                     fmt::format("expected an array of 1 to 5 axes for '{}', got none", argument.text())};
  const BoundArgument &array = arrayTable[map.array];
  map.request.type = array.argument->type;
  map.request.rank = int(rank);
  for (size_t i = 0; i < rank; ++i) {
    map.request.extents[i] = uint64_t(array.shape[rank - 1 - i]);
    map.request.box[i] = i < argument.box.size() ? uint32_t(argument.box[i]) : 1;
  }
  map.request.swizzle = argument.swizzle;
  maps.push_back(map);
  return maps.size() - 1;
}

v1::Status BoundProgram::bindLaunches(const Sizes &sizes) {
  const Program &program = this->program().program();
  std::vector<WorkspacePart> parts = program.workspace();
  // The limits of every architecture.
  constexpr int64_t mostBlocks[3] = {INT32_MAX, 65535, 65535};
  for (const Launch &launch : program.launches) {
    const KernelInfo &kernel = program.kernels[launch.kernel];
    BoundLaunch numbers;
    numbers.kernel = launch.kernel;
    for (size_t axis = 0; axis < 3; ++axis) {
      std::optional<int64_t> blocks = launch.grid[axis].evaluate(sizes);
      if (!blocks || *blocks < 0 || *blocks > mostBlocks[axis])
        return v1::Error{
            ErrorCode::InvalidShape,
            fmt::format("error: expected {} of kernel '{}' in 0..{} (blocks along {}), got {}",
                        launch.grid[axis].text(), kernel.name, mostBlocks[axis], "xyz"[axis],
                        blocks ? fmt::format("{}", *blocks) : std::string("more than 64 bits hold"))};
      (&numbers.grid.x)[axis] = uint32_t(*blocks);
    }
    numbers.cluster = {uint32_t(launch.cluster[0]), uint32_t(launch.cluster[1]), uint32_t(launch.cluster[2])};
    numbers.block = {uint32_t(launch.block), 1, 1};
    std::optional<int64_t> shared = launch.sharedBytes.evaluate(sizes);
    if (!shared || *shared < 0 || *shared > kernel.sharedBytes)
      return v1::Error{
          ErrorCode::InvalidShape,
          fmt::format("error: expected at most {} bytes of shared memory for kernel '{}', got {}",
                      kernel.sharedBytes, kernel.name, launch.sharedBytes.text())};
    numbers.sharedBytes = uint32_t(*shared);
    bound.push_back(numbers);

    ParameterBlock layout(kernel.arguments);
    Block block;
    block.bytes.resize(size_t(layout.bytes));
    for (const ParameterField &field : layout.fields) {
      const Argument &argument = kernel.arguments[field.argument];
      Patch patch{Patch::What::Address, 0, field.axis, 0, field.offset};
      switch (argument.kind) {
      case Kind::Array:
        patch.what = field.what == ParameterField::What::Base ? Patch::What::Address : Patch::What::Stride;
        patch.index = placeOf(arrayTable, argument);
        break;
      case Kind::Workspace: {
        auto part = std::find_if(parts.begin(), parts.end(),
                                 [&](const WorkspacePart &one) { return one.name == argument.name; });
        std::optional<int64_t> offset = part->offset.evaluate(sizes);
        if (!offset)
          return wrongSize("bytes of workspace", part->offset);
        patch.what = Patch::What::Workspace;
        patch.offset = uint64_t(*offset);
        break;
      }
      case Kind::Scalar:
        if (argument.value) {
          std::optional<int64_t> value = argument.value->evaluate(sizes);
          if (!value || *value < INT32_MIN || *value > INT32_MAX)
            return v1::Error{ErrorCode::InvalidShape,
                             fmt::format("error: expected {} = {} in 32 bits for this shape", argument.name,
                                         argument.value->text())};
          int32_t number = int32_t(*value);
          std::memcpy(block.bytes.data() + field.offset, &number, sizeof number);
          continue;
        }
        patch.what = argument.isFloat() ? Patch::What::F32 : Patch::What::I32;
        patch.index = placeOf(scalarTable, argument);
        break;
      case Kind::TensorMap: {
        v1::Result<size_t> map = addMap(argument);
        if (!map)
          return map.error();
        patch.what = Patch::What::Map;
        patch.index = *map;
      }
      }
      block.patches.push_back(patch);
    }
    blocks.push_back(std::move(block));
  }
  return succeeded();
}

static bool isTaken(const BoundArgument &bound, const ArrayArgument &array);

v1::Result<BoundProgram> BoundProgram::bind(std::shared_ptr<const LoadedProgram> program, const Sizes &given,
                                            const std::vector<CaptureName> &names) {
  BoundProgram result;
  result.words = std::make_shared<const Words>(Words{std::move(program), names});
  Sizes sizes = given;
  sizes[Size::SmCount] = result.program().device().info().multiprocessors;
  if (v1::Status done = result.collectArguments(sizes); !done)
    return done.error();
  if (v1::Status done = result.bindWorkspace(sizes); !done)
    return done.error();
  if (v1::Status done = result.bindLaunches(sizes); !done)
    return done.error();
  for (std::vector<BoundArgument> *table : {&result.arrayTable, &result.scalarTable})
    for (BoundArgument &bound : *table)
      for (const CaptureName &name : result.words->captures)
        if (bound.argument->name == name.kernel) {
          bound.name = name.spec;
          bound.captured = true;
        }
  for (BoundArgument &bound : result.arrayTable) {
    const Argument &argument = *bound.argument;
    bound.alignment = uint64_t(argument.alignment ? argument.alignment : infoOf(argument.type).bytes());
    for (Layout layout : {Layout::BSHD, Layout::BHSD})
      if (ArrayArgument array = denseArray(bound, layout); isTaken(bound, array))
        bound.known.push_back(array.strides);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

std::optional<int64_t> spanOf(const ArrayArgument &array) {
  int64_t last = 1;
  for (int axis = 0; axis < array.rank; ++axis) {
    if (array.shape[size_t(axis)] == 0)
      return 0;
    int64_t reach;
    if (__builtin_mul_overflow(array.strides[size_t(axis)], array.shape[size_t(axis)] - 1, &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return std::nullopt;
  }
  return last <= INT64_MAX / 16 ? std::optional(last) : std::nullopt;
}

bool overlaps(const ArrayArgument &array) {
  std::array<std::pair<int64_t, int64_t>, maxRank> axes;
  size_t rank = size_t(array.rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    if (array.shape[axis] == 0)
      return false; // no elements, whatever the strides: NumPy's are 0
    axes[axis] = {std::abs(array.strides[axis]), array.shape[axis]};
  }
  std::sort(axes.begin(), axes.begin() + array.rank);
  int64_t span = 1;
  for (size_t axis = 0; axis < rank; ++axis) {
    auto [stride, extent] = axes[axis];
    if (extent == 1)
      continue;
    if (stride < span)
      return true;
    span = stride * (extent - 1) + span;
  }
  return false;
}

/// Addresses that no kernel takes.
static v1::Status checkAddress(const BoundArgument &bound, const ArrayArgument *array) {
  const Argument &argument = *bound.argument;
  if (array && bound.empty)
    return succeeded();
  if (!array || !array->address) {
    if (argument.optional)
      return succeeded();
    return v1::Error{ErrorCode::NullPointer,
                     fmt::format("expected the device address of {}, got null", bound.name)};
  }
  if (array->address & (bound.alignment - 1))
    return v1::Error{ErrorCode::Misaligned, fmt::format("expected {} at a multiple of {} bytes, got 0x{:x}",
                                                        bound.name, bound.alignment, array->address)};
  return succeeded();
}

/// Numbers that the kernels do not take.
static v1::Status checkScalar(const BoundArgument &bound, double value) {
  const Argument &argument = *bound.argument;
  if (argument.isFloat())
    return succeeded();
  std::array<int32_t, 2> range = argument.range.value_or(std::array{INT32_MIN, INT32_MAX});
  if (value >= range[0] && value <= range[1] && value == double(int32_t(value)))
    return succeeded();
  return v1::Error{ErrorCode::InvalidArgument,
                   fmt::format("expected {} to be a whole number in {}..{}, got {}", bound.name, range[0],
                               range[1], value)};
}

/// Types, extents and strides that the kernels do not take: a line for each.
static void checkLayout(const BoundArgument &bound, const ArrayArgument &array, ErrorCode &code,
                        std::string &errors) {
  const Argument &argument = *bound.argument;
  auto error = [&](const std::string &text) { errors += "error: " + text + "\n"; };
  auto wrong = [&](const std::string &text) {
    code = ErrorCode::InvalidArgument;
    error(text);
  };
  size_t rank = argument.axes.size();
  if (array.type != argument.type)
    wrong(fmt::format("expected elements of {} in {}, got {}", nameOf(argument.type), bound.name,
                      nameOf(array.type)));
  if (size_t(array.rank) != rank)
    return wrong(
        fmt::format("expected {} axes of {} ({}), got {}", rank, bound.name, argument.text(), array.rank));
  for (size_t axis = 0; axis < rank; ++axis)
    if (array.shape[axis] != bound.shape[axis])
      return wrong(fmt::format("expected {} {}s in {} ({}), got {}", bound.shape[axis],
                               axisWord(argument, axis), bound.name, argument.axes[axis].text(),
                               array.shape[axis]));
  if (bound.empty)
    return; // strides between no elements
  int elementBytes = infoOf(argument.type).bytes();
  // Powers of two: divisions are what a launch would spend most of its time on.
  int64_t step = std::max(argument.alignment, elementBytes) >> std::countr_zero(unsigned(elementBytes));
  // Kernels add a tile's rows in 32 bits.
  constexpr int64_t maxRowStride = int64_t(1) << 30;
  for (size_t axis = 0; axis < rank; ++axis) {
    int64_t stride = array.strides[axis];
    if (array.shape[axis] <= 1)
      continue;
    // Only for messages: a launch that is right takes no memory.
    auto word = [&] { return axisWord(argument, axis); };
    if (axis + 1 == rank) {
      if (stride != 1)
        error(fmt::format("expected adjacent {}s of {} ({} stride 1), got {}", word(), bound.name, word(),
                          stride));
    } else if (stride < 0) {
      error(
          fmt::format("expected a {} stride of {} that is not negative, got {}", word(), bound.name, stride));
    } else if (stride & (step - 1)) {
      error(fmt::format("expected a {} stride of {} that is a multiple of {} elements ({} bytes), got {}",
                        word(), bound.name, step, step * elementBytes, stride));
    } else if (axis + 2 == rank && stride >= maxRowStride) {
      error(fmt::format("expected a {} stride of {} below {} elements, got {}", word(), bound.name,
                        maxRowStride, stride));
    }
  }
  if (!errors.empty())
    return;
  if (!spanOf(array)) {
    error(fmt::format("expected strides of {} whose bytes 64 bits count", bound.name));
  } else if (bound.output && overlaps(array)) {
    std::string strides;
    for (size_t axis = 0; axis + 1 < rank; ++axis)
      strides += fmt::format("{}{} {}", axis ? ", " : "", axisWord(argument, axis), array.strides[axis]);
    error(fmt::format("expected strides of {} that keep its elements apart, got {}", bound.name, strides));
  }
}

static bool isTaken(const BoundArgument &bound, const ArrayArgument &array) {
  ErrorCode code = ErrorCode::InvalidStrides;
  std::string errors;
  checkLayout(bound, array, code, errors);
  return errors.empty();
}

/// Whether the array lies as most do, which needs no further check.
static bool isKnown(const BoundArgument &bound, const ArrayArgument &array) {
  size_t rank = bound.argument->axes.size();
  auto isEqual = [rank](const std::array<int64_t, maxRank> &one, const std::array<int64_t, maxRank> &other) {
    bool same = true;
    for (size_t axis = 0; axis < rank; ++axis)
      same &= one[axis] == other[axis];
    return same;
  };
  if (array.type != bound.argument->type || size_t(array.rank) != rank || !isEqual(array.shape, bound.shape))
    return false;
  return std::any_of(bound.known.begin(), bound.known.end(),
                     [&](const auto &strides) { return isEqual(array.strides, strides); });
}

bool BoundProgram::takes(const BoundArgument &bound, const ArrayArgument &array) {
  return isTaken(bound, array);
}

/// Whether blocks that write `output` never write what others still read of `input`, both being one array:
/// each block reads what it writes, and no more, where all axes but the last are the same.
static bool mayShare(const Argument &input, const Argument &output) {
  return input.axes.size() == output.axes.size() &&
         std::equal(input.axes.begin(), input.axes.end() - 1, output.axes.begin());
}

//===----------------------------------------------------------------------===//
// Launching
//===----------------------------------------------------------------------===//

/// What the program has, one behind the other.
static std::string namesOf(const std::vector<BoundArgument> &table) {
  std::string names;
  for (const BoundArgument &one : table)
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  return names.empty() ? "none" : names;
}

/// Finds the caller's argument for each of `table`. Gives the first one that the program does not have.
template <typename Given>
static const Given *match(const std::vector<BoundArgument> &table, std::span<const Given> given,
                          std::array<const Given *, maxArguments> &found) {
  for (size_t g = 0; g < given.size(); ++g) {
    // Most callers give them in the program's own order, some by the very words that the program has.
    auto isSame = [](std::string_view one, std::string_view other) {
      return one.size() == other.size() && (one.data() == other.data() || one == other);
    };
    size_t i = g < table.size() && isSame(table[g].name, given[g].name) ? g : 0;
    while (i < table.size() && table[i].name != given[g].name)
      ++i;
    if (i == table.size())
      return &given[g];
    found[i] = &given[g];
  }
  return nullptr;
}

v1::Status BoundProgram::encode(const Map &map, const ArrayArgument &array, std::byte *into) const {
  TensorMapRequest request = map.request;
  request.address = array.address;
  uint64_t elementBytes = uint64_t(infoOf(request.type).bytes());
  for (int i = 0; i + 1 < request.rank; ++i) {
    uint64_t stride = uint64_t(array.strides[size_t(request.rank - 2 - i)]) * elementBytes;
    // An axis of one element has any stride; the driver wants one that TMA could use.
    bool isUsed = request.extents[size_t(i) + 1] > 1;
    request.strides[size_t(i)] = isUsed ? stride : (stride + 15) / 16 * 16;
    if (isUsed && stride % 16)
      return v1::Error{
          ErrorCode::InvalidStrides,
          fmt::format("expected strides of {} that are multiples of 16 bytes, as TMA reads it, got {}",
                      array.name, stride)};
  }
  if (request.address % 16)
    return v1::Error{ErrorCode::Misaligned,
                     fmt::format("expected {} at a multiple of 16 bytes, as TMA reads it, "
                                 "got 0x{:x}",
                                 array.name, array.address)};
  TensorMap encoded;
  if (Status done = program().device().encodeTensorMap(request, encoded); !done)
    return deviceFailure(done.error(), ErrorCode::LaunchFailed);
  std::copy(encoded.begin(), encoded.end(), into);
  return succeeded();
}

v1::Status BoundProgram::check(const LaunchArguments &arguments, Matched &matched) const {
  auto &[arrays, scalars] = matched;
  std::fill_n(arrays.begin(), arrayTable.size(), nullptr);
  std::fill_n(scalars.begin(), scalarTable.size(), nullptr);
  if (const ArrayArgument *unknown = match(arrayTable, arguments.arrays, arrays); unknown && unknown->address)
    return v1::Error{
        ErrorCode::InvalidArgument,
        fmt::format("expected no array for {}, since kernel '{}' has none (it has {}), got 0x{:x}",
                    unknown->name, program().program().main().name, namesOf(arrayTable), unknown->address)};
  if (const ScalarArgument *unknown = match(scalarTable, arguments.scalars, scalars))
    return v1::Error{ErrorCode::InvalidArgument,
                     fmt::format("expected no value for {}, since kernel '{}' has none (it has {}), got {}",
                                 unknown->name, program().program().main().name, namesOf(scalarTable),
                                 unknown->value)};
  for (size_t i = 0; i < arrayTable.size(); ++i) {
    if (arrays[i] && arrays[i]->address && !(arrays[i]->address & (arrayTable[i].alignment - 1)))
      continue; // without the word of a status: most arrays are right
    if (v1::Status good = checkAddress(arrayTable[i], arrays[i]); !good)
      return good;
  }
  for (size_t i = 0; i < scalarTable.size(); ++i)
    if (!scalars[i])
      return v1::Error{ErrorCode::InvalidArgument,
                       fmt::format("expected a value for {}, which the kernel leaves to run time, got none",
                                   scalarTable[i].name)};
  for (size_t i = 0; i < scalarTable.size(); ++i)
    if (v1::Status good = checkScalar(scalarTable[i], scalars[i]->value); !good)
      return good;
  for (size_t o = 0; o < arrayTable.size(); ++o)
    for (size_t i = 0; arrayTable[o].output && i < arrayTable.size(); ++i)
      if (i != o && arrays[o] && arrays[i] && arrays[o]->address &&
          arrays[i]->address == arrays[o]->address && !arrayTable[o].empty && !arrayTable[i].empty &&
          (arrayTable[i].output || !mayShare(*arrayTable[i].argument, *arrayTable[o].argument)))
        return v1::Error{ErrorCode::InvalidArgument,
                         fmt::format("expected {} apart from {}, got 0x{:x} for both", arrayTable[o].name,
                                     arrayTable[i].name, arrays[o]->address)};
  std::string errors;
  ErrorCode code = ErrorCode::InvalidStrides;
  for (size_t i = 0; i < arrayTable.size(); ++i)
    if (arrays[i] && !arrays[i]->isChecked && (arrays[i]->address || arrayTable[i].empty) &&
        !isKnown(arrayTable[i], *arrays[i]))
      checkLayout(arrayTable[i], *arrays[i], code, errors);
  if (!errors.empty()) {
    errors.pop_back(); // the last line's end
    return v1::Error{code, std::move(errors)};
  }
  if (workspace && !arguments.workspace)
    return v1::Error{ErrorCode::NullPointer,
                     fmt::format("expected {} bytes of workspace, got null", workspace)};
  if (arguments.workspace % 256)
    return v1::Error{
        ErrorCode::Misaligned,
        fmt::format("expected the workspace at a multiple of 256 bytes, got 0x{:x}", arguments.workspace)};
  return succeeded();
}

v1::Status BoundProgram::launch(Stream stream, const LaunchArguments &arguments) const {
  Matched matched;
  if (v1::Status good = check(arguments, matched); !good)
    return good;
  const auto &[arrays, scalars] = matched;
  Device &device = program().device();
  if (zeroed)
    if (Status done = device.fill(arguments.workspace, 0, zeroed, stream); !done)
      return deviceFailure(done.error(), ErrorCode::LaunchFailed);
  alignas(128) std::array<std::byte, maxParameterBytes> parameters;
  for (size_t i = 0; i < bound.size(); ++i) {
    const BoundLaunch &numbers = bound[i];
    if (numbers.grid.x == 0 || numbers.grid.y == 0 || numbers.grid.z == 0)
      continue; // nothing to compute, which a driver refuses to launch
    const Block &block = blocks[i];
    std::copy(block.bytes.begin(), block.bytes.end(), parameters.begin());
    for (const Patch &patch : block.patches) {
      auto put = [&](auto value) { std::memcpy(parameters.data() + patch.at, &value, sizeof value); };
      switch (patch.what) {
      case Patch::What::Address:
        put(arrays[patch.index] ? arrays[patch.index]->address : DeviceAddress(0));
        break;
      case Patch::What::Stride:
        put(arrays[patch.index] ? arrays[patch.index]->strides[patch.axis] : int64_t(0));
        break;
      case Patch::What::Workspace:
        put(arguments.workspace + patch.offset);
        break;
      case Patch::What::F32:
        put(float(scalars[patch.index]->value));
        break;
      case Patch::What::I32:
        put(int32_t(scalars[patch.index]->value));
        break;
      case Patch::What::Map: {
        const Map &map = maps[patch.index];
        if (arrayTable[map.array].empty) {
          put(TensorMap{}); // there is no map of nothing, and nobody reads through it
          break;
        }
        if (v1::Status done = encode(map, *arrays[map.array], parameters.data() + patch.at); !done)
          return done;
      }
      }
    }
    DeviceLaunch launch{
        program().kernels()[numbers.kernel].entry,       numbers.grid,   numbers.block, numbers.sharedBytes,
        std::span(parameters).first(block.bytes.size()), numbers.cluster};
    if (Status done = device.launch(launch, stream); !done)
      return deviceFailure(done.error(), ErrorCode::LaunchFailed);
  }
  return succeeded();
}

const BoundArgument *BoundProgram::findArray(std::string_view name) const {
  for (const BoundArgument &array : arrayTable)
    if (array.name == name)
      return &array;
  return nullptr;
}

ArrayArgument denseArray(const BoundArgument &argument, Layout layout) {
  ArrayArgument array;
  array.name = argument.name;
  array.type = argument.argument->type;
  array.rank = int(argument.argument->axes.size());
  array.shape = argument.shape;
  int64_t stride = 1;
  for (int place = array.rank; place-- > 0;) {
    // Of four axes, BSHD has the second and the third the other way round.
    bool swapped =
        array.rank == 4 && !argument.captured && layout == Layout::BSHD && (place == 1 || place == 2);
    size_t axis = size_t(swapped ? 3 - place : place);
    array.strides[axis] = stride;
    if (__builtin_mul_overflow(stride, std::max<int64_t>(array.shape[axis], 1), &stride))
      stride = INT64_MAX / 8 * 8;
  }
  return array;
}

} // namespace attune
