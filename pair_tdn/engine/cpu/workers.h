// Threads of the CPU backend: each works on its part of the centers and has its own clock.
#pragma once

#include "aligned_buffer.h"
#include "edge_parts.h"
#include "kernels.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <string>
#include <vector>

namespace tdn {

/// Nanoseconds in which this thread ran.
inline int64_t nanoseconds_of_thread()
{
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1000000000 * static_cast<int64_t>(now.tv_sec) + now.tv_nsec;
}

template <typename T> class Workers {
 public:
  enum Direction { FORWARD, BACKWARD };

  void divide(const int64_t *first_edge, int64_t n_owned, int n_threads, size_t scratch_size)
  {
    parts_.divide(first_edge, n_owned, n_threads);
    if (scratch_.size() < static_cast<size_t>(parts_.size())) scratch_.resize(parts_.size());
    for (int part = 0; part < parts_.size(); ++part) scratch_[part].at_least(scratch_size);
    direction_ = FORWARD;
  }

  EdgeParts &parts() { return parts_; }
  const EdgeParts &parts() const { return parts_; }
  void set_direction(Direction direction) { direction_ = direction; }

  /// work(part, range of centers) in one thread per part
  template <typename Work> void run(Work work)
  {
    const int n = parts_.size();
    watches_.assign(n, {.now = nanoseconds_of_thread, .last = 0, .spent = {}});
#pragma omp parallel for schedule(static, 1) num_threads(n) if (n > 1)
    for (int part = 0; part < n; ++part) {
      watches_[part].last = timed_ ? nanoseconds_of_thread() : 0;
      work(part, fused::Range<T>{.begin = parts_.begin(part),
                                 .end = parts_.end(part),
                                 .scratch = scratch_[part].data(),
                                 .watch = timed_ ? &watches_[part] : nullptr});
    }
    for (const auto &watch : watches_)
      for (int stage = 0; stage < fused::N_STAGES; ++stage)
        spent_[direction_][stage] += 1e-9 * static_cast<double>(watch.spent[stage]);
  }

  /// work() in this thread, which is timed as exchange
  template <typename Work> void run_exchange(Work work)
  {
    const int64_t begin = timed_ ? nanoseconds_of_thread() : 0;
    work();
    if (timed_) seconds_in_exchange_ += 1e-9 * static_cast<double>(nanoseconds_of_thread() - begin);
  }

  void start_times()
  {
    timed_ = true;
    for (auto &stages : spent_) std::fill(std::begin(stages), std::end(stages), 0.0);
    seconds_in_exchange_ = 0;
  }

  std::map<std::string, double> times() const
  {
    static constexpr const char *STAGES[] = {"nodes", "geometry", "messages", "products",
                                             "attention"};
    std::map<std::string, double> out{{"exchange", seconds_in_exchange_}};
    for (const auto direction : {FORWARD, BACKWARD})
      for (int stage = 0; stage < fused::N_STAGES; ++stage)
        out[std::string(direction == FORWARD ? "forward " : "backward ") + STAGES[stage]] =
            spent_[direction][stage];
    return out;
  }

  double bytes() const
  {
    double sum = parts_.bytes();
    for (const auto &buffer : scratch_) sum += buffer.bytes();
    return sum;
  }

  void release()
  {
    scratch_.clear();
    parts_ = EdgeParts();
  }

 private:
  EdgeParts parts_;
  std::vector<AlignedBuffer<T>> scratch_;

  // times, if they are measured
  bool timed_ = false;
  Direction direction_ = FORWARD;
  std::vector<fused::Stopwatch> watches_;
  double spent_[2][fused::N_STAGES] = {};
  double seconds_in_exchange_ = 0;
};

}    // namespace tdn
