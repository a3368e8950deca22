// Compares the LAMMPS version that a plugin was built with to the one that loads it.
#pragma once

#include <cstdlib>
#include <string>

namespace tdn {

/// One sentence if this binary does not fit, else empty. `version` is like "22 Jul 2025"; only
/// `git_descriptor`, like "stable_22Jul2025_update4", contains the number of a release's update.
inline std::string version_mismatch(const std::string &version, const std::string &git_descriptor)
{
  static const std::string cure = ": build the plugin again with `pip install --no-build-isolation "
                                  "--force-reinstall --no-deps .`";
  const std::string built = TDN_LAMMPS_VERSION, key = "_update";
  const auto at = git_descriptor.find(key);
  const int update =
      at == std::string::npos ? -1 : std::atoi(git_descriptor.c_str() + at + key.size());
  if (version != built)
    return "the plugin was built for LAMMPS " + built + " but this is " + version + cure;
  if (update >= 0 && update != TDN_LAMMPS_UPDATE)
    return "the plugin was built for update " + std::to_string(TDN_LAMMPS_UPDATE) + " of LAMMPS " +
           built + " but this is update " + std::to_string(update) + cure;
  return {};
}

}    // namespace tdn
