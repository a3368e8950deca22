/* ----------------------------------------------------------------------
   Registers pair_style tdn with LAMMPS. A binary plugin works only with the
   LAMMPS it was built with; others are refused when the style is used, so
   that runs without it are not affected.
------------------------------------------------------------------------- */

#include "lammpsplugin_abi.h"
#include "pair_tdn.h"
#include "plugin_versions.h"

#include "error.h"
#include "lammps.h"

using namespace LAMMPS_NS;

static void *make_pair(void *handle)
{
  auto *lmp = static_cast<LAMMPS *>(handle);
  const std::string mismatch = tdn::version_mismatch(lmp->version, LAMMPS::git_descriptor());
  if (!mismatch.empty()) lmp->error->all(FLERR, "Pair style tdn: {}", mismatch);
  return new PairTDN(lmp);
}

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                                         void *regfunc)
{
  lammpsplugin_t plugin{};
  // LAMMPS would only warn about another version; make_pair() refuses it.
  plugin.version = static_cast<LAMMPS *>(lmp)->version;
  plugin.style = "pair";
  plugin.name = "tdn";
  plugin.info = "Tensor Decomposition Network pair style " TDN_VERSION;
  plugin.author = "the authors of tdn";
  plugin.creator.v1 = make_pair;
  plugin.handle = handle;
  reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
}
