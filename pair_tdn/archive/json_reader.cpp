// Recursive descent over RFC 8259 that does not join surrogate pairs: labels hold short plain text.

#include "json_reader.h"

#include "errors.h"

#include <charconv>
#include <cstring>

namespace tdn::json {

namespace {

class Parser {
 public:
  explicit Parser(const std::string &text) : text_(text) {}

  Value document()
  {
    Value value = any();
    skip_blanks();
    if (at_ != text_.size()) fail("text after the end");
    return value;
  }

 private:
  const std::string &text_;
  size_t at_ = 0;
  int depth_ = 0;

  [[noreturn]] void fail(const char *what) const
  {
    throw Error("not valid JSON at byte " + std::to_string(at_) + " (" + what + ")");
  }

  void skip_blanks()
  {
    while (at_ < text_.size() && std::memchr(" \t\r\n", text_[at_], 4)) ++at_;
  }

  char peek()
  {
    skip_blanks();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char c)
  {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  void expect(char c)
  {
    if (!accept(c)) fail("unexpected character");
  }

  Value any()
  {
    if (++depth_ > 100) fail("nested too deeply");
    Value value = value_by(peek());
    --depth_;
    return value;
  }

  Value value_by(char first)
  {
    switch (first) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return {string()};
      case 't':
        return word("true", {true});
      case 'f':
        return word("false", {false});
      case 'n':
        return word("null", {nullptr});
      default:
        return number();
    }
  }

  Value word(const char *name, Value value)
  {
    if (text_.compare(at_, std::strlen(name), name) != 0) fail("unknown word");
    at_ += std::strlen(name);
    return value;
  }

  Value number()
  {
    const char *begin = text_.data() + at_, *end = text_.data() + text_.size();
    const char *digit = begin != end && *begin == '-' ? begin + 1 : begin;
    if (digit == end || *digit < '0' || *digit > '9') fail("expected a value");    // no nan, no inf
    double value = 0;
    const auto [rest, failure] = std::from_chars(begin, end, value);    // independent of the locale
    if (failure != std::errc{}) fail("number out of range");
    at_ += static_cast<size_t>(rest - begin);
    return {value};
  }

  Value object()
  {
    Object members;
    expect('{');
    if (accept('}')) return {members};
    do {
      if (peek() != '"') fail("expected a name");
      std::string name = string();
      expect(':');
      members[std::move(name)] = any();
    } while (accept(','));
    expect('}');
    return {std::move(members)};
  }

  Value array()
  {
    Array items;
    expect('[');
    if (accept(']')) return {items};
    do items.push_back(any());
    while (accept(','));
    expect(']');
    return {std::move(items)};
  }

  std::string string()
  {
    std::string out;
    expect('"');
    while (true) {
      if (at_ >= text_.size()) fail("text without end");
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c == '\\') escape(out);
      else out += c;
    }
  }

  void escape(std::string &out)
  {
    static const char *const names = "\"\\/bfnrt", *const values = "\"\\/\b\f\n\r\t";
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    if (const char *hit = c ? std::strchr(names, c) : nullptr) out += values[hit - names];
    else if (c == 'u') append_utf8(out, code_point());
    else fail("unknown escape");
  }

  unsigned code_point()
  {
    const std::string digits = text_.substr(at_, 4);
    const char *end = digits.data() + digits.size();
    unsigned code = 0;
    if (digits.size() != 4 || std::from_chars(digits.data(), end, code, 16).ptr != end)
      fail("bad \\u escape");
    at_ += 4;
    return code;
  }

  static void append_utf8(std::string &out, unsigned code)
  {
    if (code < 0x80) {
      out += static_cast<char>(code);
      return;
    }
    if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
    } else {
      out += static_cast<char>(0xE0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    }
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
};

}    // namespace

Value parse(const std::string &text)
{
  return Parser(text).document();
}

}    // namespace tdn::json
