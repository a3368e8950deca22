// Text of unknown origin in a message: what a terminal shows, never what it obeys.
#pragma once

#include <string>
#include <string_view>

namespace tdn {

/// Printable ASCII as it is, any other byte as \xHH; cut after `limit` bytes.
inline std::string printable(std::string_view text, size_t limit = 60)
{
  static constexpr const char *DIGITS = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) out += c;
    else out.append("\\x").append(1, DIGITS[byte >> 4]).append(1, DIGITS[byte & 15]);
  }
  return text.size() > limit ? out + "..." : out;
}

}    // namespace tdn
