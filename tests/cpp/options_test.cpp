// Keywords of pair_style tdn, and unit styles.

#include "check.h"
#include "errors.h"
#include "lammps/pair_tdn_options.h"
#include "lammps/units.h"

namespace {

using tdn::Error;
using tdn::Options;
using Words = std::vector<std::string>;

tdn::ModelMetadata model(const std::string &kinds, const std::string &convention = "extensive",
                         const std::string &smooth = "true")
{
  return {R"({"format": "tdn", "format_version": 1, "model_name": "m", "elements": ["H"],
    "cutoff": 3, "n_layers": 0, "layer_widths": [], "force_width": 1, "dtype": "float32",
    "length_unit": "angstrom", "energy_unit": "eV", "min_distance": 0, "citation": "",
    "torch_version": "2", "energy_convention": ")" +
              convention + R"(", "smooth_cutoff": )" + smooth + R"(, "force_kinds": [)" + kinds +
              "]}",
          "model.tdn.pt"};
}

}    // namespace

CASE(options_default)
{
  const Options options{Words{}};
  EXPECT_EQUAL(options.device, "auto");
  EXPECT_EQUAL(options.memory_limit(), 0.0);
  EXPECT(options.wire_kind() == tdn::Wire::MODEL);
  EXPECT(!options.removes_net_force());
  EXPECT(!options.averages());
}

CASE(options_are_read)
{
  const Options options({"device", "cpu", "wire", "bfloat16", "net_force", "remove", "ensemble",
                         "mean", "device", "cuda", "precision", "float64"});
  EXPECT_EQUAL(options.device, "cuda");    // the last one counts
  EXPECT(options.wire_kind() == tdn::Wire::BFLOAT16);
  EXPECT(options.removes_net_force());
  EXPECT(options.averages());
  EXPECT(options.model_precision(model("\"gradient\"")) == tdn::Precision::FLOAT64);
  EXPECT(Options().model_precision(model("\"gradient\"")) == tdn::Precision::FLOAT32);
}

CASE(options_memory_in_megabytes)
{
  EXPECT_EQUAL(Options(Words{"memory", "12.5"}).memory_limit(), 12.5e6);
  EXPECT_EQUAL(Options(Words{"memory", "2e3"}).memory_limit(), 2e9);
  EXPECT_EQUAL(Options(Words{"memory", "auto"}).memory_limit(), 0.0);
  for (const char *bad : {"-1", "0", "nan", "inf", "1e999", "12MB", "MB", "", " 5", "+5", "0x10"})
    EXPECT_THROWS(Error, "': use auto MB", Options(Words{"memory", bad}));
}

CASE(options_refusals)
{
  EXPECT_THROWS(Error, "unknown keyword 'devise' of pair_style tdn: use device precision",
                Options(Words{"devise", "cpu"}));
  EXPECT_THROWS(Error, "keyword device has the value '': use auto cpu cuda",
                Options(Words{"device"}));
  EXPECT_THROWS(Error, "keyword wire has the value 'float16': use model bfloat16",
                Options(Words{"wire", "float16"}));
}

CASE(options_force_kinds_are_those_of_the_model)
{
  const auto kind = [](const Words &words, const std::string &kinds) {
    return Options(words).force_kind(model(kinds), "f.tdn.pt");
  };
  EXPECT(kind({}, "\"direct\", \"gradient\"") == tdn::ForceKind::DIRECT);
  EXPECT(kind({}, "\"gradient\", \"direct\"") == tdn::ForceKind::GRADIENT);
  EXPECT(kind({"forces", "correction"}, "\"gradient\", \"direct\"") == tdn::ForceKind::CORRECTION);
  EXPECT_THROWS(Error, "model file 'f.tdn.pt' has no direct forces: use forces gradient",
                kind({"forces", "direct"}, "\"gradient\""));
  EXPECT_THROWS(Error, "has no direct forces: use forces gradient",
                kind({"forces", "correction"}, "\"gradient\""));
}

CASE(options_weaknesses_of_a_model)
{
  EXPECT_EQUAL(tdn::weaknesses(model("\"gradient\"")), "");
  EXPECT(tdn::weaknesses(model("\"gradient\"", "per_atom")).find("per-atom energy") == 8);
  const auto both = tdn::weaknesses(model("\"gradient\"", "per_atom", "false"));
  EXPECT(both.find(" and has no smooth cutoff") != std::string::npos);
}

/// In each style the same joule per meter: 1 eV/angstrom is 1.602176634e-9 N.
CASE(units_give_the_same_force)
{
  struct Style {
    const char *name;
    double newton;    // one engine unit of energy per length
    double error;
  };
  const Style styles[] = {{"metal", 1.602176634e-9, 1e-12},
                          {"real", 4184.0 / 6.02214076e23 / 1e-10, 1e-6},
                          {"si", 1.0, 1e-12},
                          {"cgs", 1e-5, 1e-12},
                          {"electron", 4.3597447222071e-18 / 0.529177210903e-10, 1e-9},
                          {"micro", 1e-15 / 1e-6, 1e-12},
                          {"nano", 1e-21 / 1e-9, 1e-12}};
  for (const auto &[name, newton, error] : styles) {
    const auto units = tdn::units_of(name);
    EXPECT_CLOSE(units.eV / units.angstrom * newton / 1.602176634e-9, 1.0, error);
  }
  EXPECT_THROWS(Error, "units lj have no length and energy", tdn::units_of("lj"));
}
