// The exception of namespace tdn; pair_tdn_impl.h and bindings.cpp translate it at their borders.
#pragma once

#include <stdexcept>

/// Makes a symbol visible outside of its library. Exceptions must be visible, because catching one
/// compares types.
#define TDN_EXPORT __attribute__((visibility("default")))

namespace tdn {

/// The message is one sentence with cause, value and cure.
class TDN_EXPORT Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}    // namespace tdn
