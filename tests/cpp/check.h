// Checks that go on after a failure, and cases that register themselves.
#pragma once

#include <cmath>
#include <iostream>
#include <string>
#include <vector>

namespace check {

struct Case {
  const char *name;
  void (*run)();
};

inline std::vector<Case> &cases()
{
  static std::vector<Case> all;
  return all;
}

/// Of this process since its start.
inline int failures = 0;
/// Folder of closed-form archives, from the command line.
inline std::string archives;

struct Registration {
  Registration(const char *name, void (*run)()) { cases().push_back({name, run}); }
};

template <typename... Values>
void that(bool good, const char *file, int line, const char *text, const Values &...values)
{
  if (good) return;
  ++failures;
  std::cerr << file << ':' << line << ": " << text;
  ((std::cerr << ' ' << values), ...);
  std::cerr << std::endl;
}

/// Runs one case; an exception is a failure. Returns the failures it added.
inline int run(const Case &one)
{
  const int before = failures;
  try {
    one.run();
  } catch (const std::exception &caught) {
    that(false, one.name, 0, "exception:", caught.what());
  }
  return failures - before;
}

/// The sentence of the exception that `callable` throws, "" if it throws none.
template <typename Exception, typename Callable> std::string sentence(Callable callable)
{
  try {
    callable();
  } catch (const Exception &caught) {
    return caught.what();
  }
  return "";
}

}    // namespace check

#define CASE(name)                                               \
  static void name();                                            \
  static const check::Registration register_##name(#name, name); \
  static void name()

#define EXPECT(condition) check::that((condition), __FILE__, __LINE__, #condition)
#define EXPECT_EQUAL(a, b) check::that((a) == (b), __FILE__, __LINE__, #a " == " #b ":", (a), (b))
#define EXPECT_CLOSE(a, b, tolerance)                                                              \
  check::that(std::abs((a) - (b)) <= (tolerance), __FILE__, __LINE__, #a " close to " #b ":", (a), \
              (b))
/// The expression throws this exception, with this text in its sentence.
#define EXPECT_THROWS(Exception, text, ...)                                                     \
  check::that(check::sentence<Exception>([&] { __VA_ARGS__; }).find(text) != std::string::npos, \
              __FILE__, __LINE__, #__VA_ARGS__ " throws " text ", not",                         \
              "'" + check::sentence<Exception>([&] { __VA_ARGS__; }) + "'")
