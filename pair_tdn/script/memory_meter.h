// Measures torch's peak memory.
#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

namespace tdn {

/// Counts what torch allocates and frees on any device, from its construction to its destruction,
/// in its thread and in the backward passes started there.
/// Tensors made in that time should be freed while a meter exists: torch keeps an entry for every
/// block that it does not see freed.
class MemoryMeter {
 public:
  MemoryMeter();
  /// Peak number of bytes since the construction or the last reset.
  int64_t peak() const;
  /// Counts only later allocations from now on.
  void reset();

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}    // namespace tdn
