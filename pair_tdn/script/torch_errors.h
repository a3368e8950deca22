// Converts torch's exceptions: nothing outside this library knows their types.
#pragma once

#include "errors.h"

#include <new>
#include <string>

namespace tdn {

/// First line of a libtorch message, without its backtrace.
inline std::string first_line(const std::string &text)
{
  // TorchScript puts its own frames before the cause
  static const std::string name = "RuntimeError: ";
  const auto cause = text.rfind(name);
  const auto begin =
      text.find_first_not_of("\n ", cause == std::string::npos ? 0 : cause + name.size());
  if (begin == std::string::npos) return text;
  return text.substr(begin, text.find('\n', begin) - begin);
}

/// Whether a libtorch message reports this; TorchScript does not keep the type of an exception.
inline bool is_out_of_memory(const std::string &text)
{
  for (const char *sign : {"DefaultCPUAllocator: ", "out of memory"})
    if (text.find(sign) != std::string::npos) return true;
  return false;
}

/// Runs a callable; throws only tdn::Error and std::bad_alloc.
template <typename Callable> auto with_our_errors(Callable callable)
{
  try {
    return callable();
  } catch (const Error &) {
    throw;
  } catch (const std::bad_alloc &) {
    throw;
  } catch (const std::exception &caught) {
    if (is_out_of_memory(caught.what())) throw std::bad_alloc();
    throw Error(first_line(caught.what()));
  }
}

}    // namespace tdn
