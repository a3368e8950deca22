// How much memory torch holds at once.
#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

namespace tdn {

/// Counts what torch allocates and frees on any device, from its construction to its destruction,
/// in its thread and in the backward passes started there.
/// Tensors made in that time should not outlive it: torch keeps an entry for every block whose end
/// it does not see.
class MemoryMeter {
 public:
  MemoryMeter();
  /// Largest number of bytes held at once since the construction.
  int64_t peak() const;

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}    // namespace tdn
