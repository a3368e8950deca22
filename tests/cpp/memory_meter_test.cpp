// The meter against allocations of known size.

#include "check.h"
#include "script/memory_meter.h"

#include <ATen/Functions.h>

#include <thread>

namespace {

at::Tensor bytes(int64_t n)
{
  return at::empty({n}, at::kByte);
}

}    // namespace

CASE(meter_counts_what_is_held_at_once)
{
  const tdn::MemoryMeter meter;
  EXPECT_EQUAL(meter.peak(), 0);
  {
    const auto first = bytes(1 << 20);
    const auto second = bytes(1 << 21);
    EXPECT_EQUAL(meter.peak(), 3 << 20);
  }
  const auto third = bytes(1 << 20);
  EXPECT_EQUAL(meter.peak(), 3 << 20);
  const auto fourth = bytes(1 << 22);
  EXPECT_EQUAL(meter.peak(), 5 << 20);
}

CASE(meter_sees_nothing_of_before_after_and_elsewhere)
{
  auto before = bytes(1 << 22);
  {
    const tdn::MemoryMeter meter;
    before.reset();
    EXPECT_EQUAL(meter.peak(), 0);
  }
  const auto after = bytes(1 << 22);
  const tdn::MemoryMeter meter;
  std::thread([] { bytes(1 << 22); }).join();
  EXPECT_EQUAL(meter.peak(), 0);
  bytes(1 << 10);
  EXPECT_EQUAL(meter.peak(), 1 << 10);
}

CASE(meters_can_be_nested)
{
  const tdn::MemoryMeter outer;
  bytes(1 << 10);
  {
    const tdn::MemoryMeter inner;
    bytes(1 << 12);
    EXPECT_EQUAL(inner.peak(), 1 << 12);
  }
  EXPECT_EQUAL(outer.peak(), 1 << 10);    // the innermost meter counts
  bytes(1 << 11);
  EXPECT_EQUAL(outer.peak(), 1 << 11);
}

/// As the script engine does with the results of the evaluation before.
CASE(meter_counts_from_the_last_reset)
{
  at::Tensor kept;
  {
    const tdn::MemoryMeter meter;
    kept = bytes(1 << 20);
  }
  tdn::MemoryMeter meter;
  kept.reset();
  meter.reset();
  EXPECT_EQUAL(meter.peak(), 0);
  const auto next = bytes(1 << 12);
  EXPECT_EQUAL(meter.peak(), 1 << 12);
}
