// Engine units of the LAMMPS unit styles; the model computes in angstrom and eV.
#pragma once

#include "errors.h"

#include <string>

namespace tdn {

struct Units {
  double angstrom;    ///< one angstrom in engine length units
  double eV;          ///< one eV in engine energy units
  double dalton;      ///< one atomic mass unit, g/mol, in engine mass units
};

/// CODATA 2018 values; kcal/mol as in LAMMPS's own metal <-> real conversion of potential files.
inline Units units_of(const std::string &style)
{
  constexpr double JOULE = 1.602176634e-19;         // per eV
  constexpr double KILOGRAM = 1.66053906660e-27;    // per dalton
  if (style == "metal") return {1.0, 1.0, 1.0};
  if (style == "real") return {1.0, 23.060549, 1.0};
  if (style == "si") return {1e-10, JOULE, KILOGRAM};
  if (style == "cgs") return {1e-8, JOULE * 1e7, KILOGRAM * 1e3};    // cm, erg, g
  if (style == "electron")
    return {1.0 / 0.529177210903, 1.0 / 27.211386245988, 1.0};           // bohr, hartree
  if (style == "micro") return {1e-4, JOULE * 1e15, KILOGRAM * 1e15};    // um, pg um^2/us^2, pg
  if (style == "nano") return {0.1, JOULE * 1e21, KILOGRAM * 1e21};      // nm, ag nm^2/ns^2, ag
  throw Error("units " + style +
              " have no length and energy in angstrom and eV: use units metal, real, si, electron, "
              "micro, nano or cgs");
}

}    // namespace tdn
