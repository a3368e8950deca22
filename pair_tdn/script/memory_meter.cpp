// torch reports every allocation to a replacement of its profiler.

#include "memory_meter.h"

#include <c10/core/Allocator.h>

#include <algorithm>
#include <atomic>

namespace tdn {

struct MemoryMeter::Counter : public c10::MemoryReportingInfoBase {
  std::atomic<int64_t> current{0}, peak{0};    // a GPU's backward pass has its own threads

  void reportMemoryUsage(void *, int64_t size, size_t, size_t, c10::Device) override
  {
    const int64_t now = current += size;
    int64_t highest = peak;
    while (now > highest && !peak.compare_exchange_weak(highest, now)) {
    }
  }

  bool memoryProfilingEnabled() const override { return true; }
};

MemoryMeter::MemoryMeter()
    : counter_(std::make_shared<Counter>()), guard_(c10::DebugInfoKind::PROFILER_STATE, counter_)
{
}

void MemoryMeter::reset()
{
  counter_->current = 0;
  counter_->peak = 0;
}

int64_t MemoryMeter::peak() const
{
  return counter_->peak;
}

}    // namespace tdn
