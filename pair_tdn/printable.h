// Makes text of unknown origin safe for messages: a terminal shows it, but never obeys it.
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

/// The same line by line: the ends of lines stay as they are.
inline std::string printable_lines(std::string_view text, size_t limit = 4000)
{
  std::string out;
  std::string_view rest = text.substr(0, limit);
  for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1))
    out += printable(rest.substr(0, end), limit) + '\n';
  out += printable(rest, limit);
  return text.size() > limit ? out + "..." : out;
}

}    // namespace tdn
