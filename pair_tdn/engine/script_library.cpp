// The library lies beside this one; the environment variable TDN_SCRIPT_LIBRARY names another.

#include "script_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

namespace tdn {

namespace {

constexpr const char *FILE_NAME = "libtdn_script.so", *VARIABLE = "TDN_SCRIPT_LIBRARY";

std::string path_of_library()
{
  if (const char *asked = std::getenv(VARIABLE); asked && *asked) return asked;
  Dl_info here{};
  // any object of this library will do
  if (!dladdr(&FILE_NAME, &here) || !here.dli_fname) return FILE_NAME;
  return std::filesystem::path(here.dli_fname).replace_filename(FILE_NAME).string();
}

/// The library, or why there is none.
struct Opened {
  const ScriptLibrary *library = nullptr;
  std::string cause, cure;
};

Opened refused()
{
  const char *text = dlerror();
  return {.cause = text ? text : "no reason is known",
          .cure = "install torch and then tdn again, which makes the library for it"};
}

Opened open_library()
{
  const std::string path = path_of_library();
  std::error_code unreadable;
  if (!std::filesystem::exists(path, unreadable))
    return {.cause = "there is no file '" + path + "'",
            .cure = std::string("install torch and then tdn again, which makes the library for it, "
                                "or name its file in the environment variable ") +
                    VARIABLE};
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

/// A library that could not be opened is looked for again the next time.
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
