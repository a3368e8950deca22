// Reader of the label's JSON text.
#pragma once

#include "errors.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace tdn::json {

struct Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value>;

/// One JSON value; numbers are doubles.
struct Value {
  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> data = nullptr;

  template <typename T> const T *get_if() const { return std::get_if<T>(&data); }
};

/// Throws tdn::Error that names the byte where the text stops being JSON.
TDN_EXPORT Value parse(const std::string &text);

}    // namespace tdn::json
