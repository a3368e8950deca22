// The hash that ties the weights of an archive to its label. SHA-256, because Python's hashlib and
// common tools compute it; C++ needs a library for any hash.
#pragma once

#include "errors.h"

#include <string>
#include <string_view>

namespace tdn {

/// SHA-256 (FIPS 180-4) as 64 hexadecimal digits.
TDN_EXPORT std::string sha256(std::string_view bytes);

}    // namespace tdn
