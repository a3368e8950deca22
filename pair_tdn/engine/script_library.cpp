// The library is beside this one or, in a Python package, in a folder named after the version of
// its torch; the environment variable TDN_SCRIPT_LIBRARY names another
// (python/tdn/torch_libraries.py sets it).

#include "script_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

namespace tdn {

namespace {

constexpr const char *FILE_NAME = "libtdn_script.so", *VARIABLE = "TDN_SCRIPT_LIBRARY";
constexpr const char *CURE =
    "install torch, run `python -m tdn.torch_libraries`, which compiles the "
    "library for it, or name its "
    "file in the environment variable TDN_SCRIPT_LIBRARY";

/// torch/VERSION/libtdn_script.so in a folder; empty if there is none, or more than one.
std::filesystem::path only_one_of_package(const std::filesystem::path &folder)
{
  std::filesystem::path found;
  std::error_code unreadable;
  for (const auto &entry : std::filesystem::directory_iterator(folder / "torch", unreadable)) {
    const auto path = entry.path() / FILE_NAME;
    if (!std::filesystem::exists(path, unreadable)) continue;
    if (!found.empty()) return {};
    found = path;
  }
  return found;
}

std::string path_of_library()
{
  if (const char *asked = std::getenv(VARIABLE); asked && *asked) return asked;
  Dl_info here{};
  // any object of this library
  if (!dladdr(&FILE_NAME, &here) || !here.dli_fname) return FILE_NAME;
  const auto folder = std::filesystem::path(here.dli_fname).parent_path();
  std::error_code unreadable;
  if (std::filesystem::exists(folder / FILE_NAME, unreadable)) return (folder / FILE_NAME).string();
  const auto of_package = only_one_of_package(folder);
  return (of_package.empty() ? folder / FILE_NAME : of_package).string();
}

/// The library, or why it cannot be opened.
struct Opened {
  const ScriptLibrary *library = nullptr;
  std::string cause, cure;
};

Opened refused()
{
  const char *text = dlerror();
  return {.cause = text ? text : "no reason is known", .cure = CURE};
}

Opened open_library()
{
  const std::string path = path_of_library();
  std::error_code unreadable;
  if (!std::filesystem::exists(path, unreadable))
    return {.cause = "file '" + path + "' does not exist", .cure = CURE};
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return refused();
  const auto entry = reinterpret_cast<ScriptLibraryEntry>(dlsym(handle, SCRIPT_LIBRARY_ENTRY));
  if (!entry) return refused();
  try {
    return {.library = entry(), .cause = {}, .cure = {}};
  } catch (const Error &error) {
    return {.cause = error.what(), .cure = "install tdn again"};
  }
}

/// A library that could not be opened is searched again the next time.
Opened opened()
{
  static std::mutex mutex;
  static const ScriptLibrary *library = nullptr;
  const std::lock_guard lock(mutex);
  if (library) return {.library = library, .cause = {}, .cure = {}};
  const auto result = open_library();
  library = result.library;
  return result;
}

}    // namespace

const ScriptLibrary &script_library(const std::string &purpose)
{
  const auto result = opened();
  if (!result.library)
    throw Error(purpose + " needs " + FILE_NAME + ", which cannot be opened (" + result.cause +
                "): " + result.cure);
  return *result.library;
}

const ScriptLibrary *find_script_library()
{
  return opened().library;
}

}    // namespace tdn
