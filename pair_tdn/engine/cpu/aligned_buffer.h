// Memory that is kept between steps, aligned for vector instructions.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace tdn {

/// Growing discards the contents; new memory is not initialized.
template <typename T> class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t n) { at_least(n); }

  /// Space for n numbers; from the second time it grows by a twentieth more, for systems whose
  /// size varies from step to step.
  T *at_least(size_t n)
  {
    if (n > capacity_) {
      const size_t spare = capacity_ ? n / 20 : 0;    // not the first time
      release();
      const size_t bytes = ((n + spare) * sizeof(T) + 63) / 64 * 64;
      memory_.reset(static_cast<T *>(std::aligned_alloc(64, bytes)));
      if (!memory_) throw std::bad_alloc();
      capacity_ = bytes / sizeof(T);
    }
    return memory_.get();
  }

  T *data() const { return memory_.get(); }
  double bytes() const { return static_cast<double>(capacity_ * sizeof(T)); }
  void release()
  {
    memory_.reset();
    capacity_ = 0;
  }

 private:
  struct Free {
    void operator()(T *memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Free> memory_;
  size_t capacity_ = 0;
};

}    // namespace tdn
