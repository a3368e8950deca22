// Engine units of the LAMMPS unit styles; the model computes in angstrom and eV.
#pragma once

#include "errors.h"

#include <string>

namespace tdn {

struct Units {
  double angstrom;    ///< one angstrom in engine length units
  double eV;          ///< one eV in engine energy units
};

/// CODATA 2018 values; kcal/mol as in LAMMPS's own metal <-> real conversion of potential files.
inline Units units_of(const std::string &style)
{
  constexpr double JOULE = 1.602176634e-19;    // per eV
  if (style == "metal") return {1.0, 1.0};
  if (style == "real") return {1.0, 23.060549};
  if (style == "si") return {1e-10, JOULE};
  if (style == "cgs") return {1e-8, JOULE * 1e7};                                   // cm, erg
  if (style == "electron") return {1.0 / 0.529177210903, 1.0 / 27.211386245988};    // bohr, hartree
  if (style == "micro") return {1e-4, JOULE * 1e15};    // um, pg um^2/us^2
  if (style == "nano") return {0.1, JOULE * 1e21};      // nm, ag nm^2/ns^2
  throw Error("units " + style +
              " have no length and energy in angstrom and eV: use units metal, real, si, electron, "
              "micro, nano or cgs");
}

}    // namespace tdn
