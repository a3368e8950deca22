// Views of numbers in foreign memory, and the device of a model: plain types for all folders, which
// need no library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tdn {

enum class Precision { FLOAT32, FLOAT64 };

template <typename T> inline constexpr Precision PRECISION_OF = Precision::FLOAT64;
template <> inline constexpr Precision PRECISION_OF<float> = Precision::FLOAT32;

inline const char *name_of(Precision precision)
{
  return precision == Precision::FLOAT32 ? "float32" : "float64";
}

inline int64_t bytes_of(Precision precision)
{
  return precision == Precision::FLOAT32 ? 4 : 8;
}

/// (n, width) numbers on the host, row after row. `data` may be null if there are none.
struct Rows {
  void *data = nullptr;
  int64_t n = 0, width = 0;
  Precision precision = Precision::FLOAT64;

  int64_t size() const { return n * width; }
  int64_t row_bytes() const { return width * bytes_of(precision); }
  char *row(int64_t k) const { return static_cast<char *>(data) + k * row_bytes(); }
};

/// Calls with a pointer to the numbers, `float *` or `double *`.
template <typename Callable> void with_numbers(const Rows &rows, Callable callable)
{
  if (rows.precision == Precision::FLOAT32) callable(static_cast<float *>(rows.data));
  else callable(static_cast<double *>(rows.data));
}

/// The device on which a model computes.
struct Device {
  enum class Kind { CPU, CUDA };
  Kind kind = Kind::CPU;
  int index = 0;    // among the GPUs of the machine

  bool is_cpu() const { return kind == Kind::CPU; }
  /// "cpu", "cuda:0"
  std::string str() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(index); }
};

}    // namespace tdn
