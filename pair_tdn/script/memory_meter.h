// How much memory torch holds at once.
#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

namespace tdn {

/// Counts what torch allocates and frees on any device, from its construction to its destruction,
/// in its thread and in the backward passes started there.
/// Tensors made in that time should end in the time of a meter: torch keeps an entry for every
/// block whose end it does not see.
class MemoryMeter {
 public:
  MemoryMeter();
  /// Largest number of bytes held at once since the construction or the last reset.
  int64_t peak() const;
  /// Counts from here on what is made after it.
  void reset();

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}    // namespace tdn
