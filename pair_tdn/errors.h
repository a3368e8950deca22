// The exception of namespace tdn; pair_tdn_impl.h and bindings.cpp translate it at their border.
#pragma once

#include <stdexcept>

namespace tdn {

/// The message is one sentence with cause, value and cure.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}    // namespace tdn
