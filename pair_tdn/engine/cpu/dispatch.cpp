// Selects the kernels of the widest instruction set of this processor.

#include "errors.h"
#include "kernels.h"

#include <cstdlib>
#include <iterator>
#include <string>

namespace tdn::fused {

namespace {

/// From kernels that run anywhere to those that need the newest processor.
constexpr const char *NAMES[] = {"reference", "portable", "avx2", "avx512"};
enum Choice { REFERENCE, PORTABLE, AVX2, AVX512, N_CHOICES };
static_assert(std::size(NAMES) == N_CHOICES);

Choice widest()
{
#ifdef TDN_X86_KERNELS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AVX2;
#endif
#ifdef TDN_VECTOR_KERNELS
  return PORTABLE;
#else
  return REFERENCE;
#endif
}

/// Those named in the environment, else the widest.
Choice chosen()
{
  const Choice best = widest();
  const char *text = std::getenv("TDN_KERNELS");
  if (!text || !*text) return best;
  const std::string name = text, start = "environment variable TDN_KERNELS is '" + name + "'";
  int wanted = 0;
  while (wanted < N_CHOICES && name != NAMES[wanted]) ++wanted;
  if (wanted == N_CHOICES)
    throw Error(start + ": use reference, portable, avx2 or avx512, or unset it");
  if (wanted > best)
    throw Error(start + " but this processor or build has no such kernels: unset it");
  return static_cast<Choice>(wanted);
}

}    // namespace

template <> const Kernels<float> &kernels()
{
  switch (chosen()) {
#ifdef TDN_X86_KERNELS
    case AVX512:
      return avx512_float;
    case AVX2:
      return avx2_float;
#endif
#ifdef TDN_VECTOR_KERNELS
    case PORTABLE:
      return portable_float;
#endif
    default:
      return reference_float;
  }
}

template <> const Kernels<double> &kernels()
{
  switch (chosen()) {
#ifdef TDN_X86_KERNELS
    case AVX512:
      return avx512_double;
    case AVX2:
      return avx2_double;
#endif
#ifdef TDN_VECTOR_KERNELS
    case PORTABLE:
      return portable_double;
#endif
    default:
      return reference_double;
  }
}

}    // namespace tdn::fused
