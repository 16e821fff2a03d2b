#include "compiler/spec/Spec.h"

#include <cmath>

namespace attune {

double AttentionSpec::effectiveScale() const { return scale.value_or(1.0 / std::sqrt(double(headDimQk))); }

} // namespace attune
