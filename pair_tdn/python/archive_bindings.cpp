#include "archive_bindings.h"

#include "archive/archive_schema.h"
#include "archive/weights_record.h"
#include "archive/zip_reader.h"
#include "engine/tabulation.h"
#include "errors.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <string>
#include <vector>

namespace py = pybind11;

namespace {

/// Weights of the fused engine with their radial tables.
std::map<std::string, py::array_t<double>> fused_weights(const py::bytes &contents,
                                                         const std::vector<int> &species)
{
  const std::string bytes(contents), file = "contents";
  const tdn::ZipReader records(bytes);
  const auto *label = records.find(std::string("extra/") + tdn::schema::METADATA_RECORD);
  if (!label)
    throw tdn::Error("the contents are not an archive: pass those of a file of `tdn deploy`");
  const tdn::ModelMetadata metadata(std::string(*label), file);
  tdn::verify_weights(records, metadata, file);
  auto weights = tdn::read_weights(records, metadata, file);
  tdn::tabulate(weights, species, metadata.n_elements());
  std::map<std::string, py::array_t<double>> out;
  for (const auto &[name, array] : weights)
    out.emplace(name, py::array_t<double>(array.shape, array.values.data()));
  return out;
}

}    // namespace

void bind_archive(py::module_ &module)
{
  module.def("fused_weights", &fused_weights, py::arg("contents"), py::arg("species"),
             "Weights by name that the fused engine reads from an archive's contents (bytes), with "
             "the radial tables of these species; see tdn.deployment.fused.");
}
