// The validated label of a model archive; once constructed, it is complete and consistent.
#pragma once

#include "errors.h"
#include "views.h"

#include <string>
#include <vector>

namespace tdn {

struct TDN_EXPORT ModelMetadata {
  /// Reads the label's JSON text; throws tdn::Error that names `file`, the cause and the cure.
  ModelMetadata(const std::string &json_text, const std::string &file);

  int64_t format_version;
  std::string text;    ///< the label as it is in the archive
  std::string model_name;
  std::vector<std::string> elements;    ///< chemical symbols; the index is the species
  double cutoff;                        ///< angstrom
  std::vector<int64_t> layer_widths;    ///< columns of each layer's exchanged rows
  int64_t force_width;                  ///< columns of the direct head's rows, 0 without one
  Precision dtype;
  std::string energy_convention;           ///< "extensive" or "per_atom"
  std::vector<std::string> force_kinds;    ///< "gradient", "direct"; the first is the default
  bool smooth_cutoff;
  bool has_pair_term;    ///< a repulsion of nuclei is part of the model
  /// Shortest distance in the training data of each ordered pair of species, n_elements^2,
  /// angstrom; the cutoff if the data have no such pair, 0 if nothing is known.
  std::vector<double> min_distances;
  std::string weights_sha256;               ///< of the record of weights; "" without one
  std::vector<std::string> weight_names;    ///< sorted
  std::string citation;
  std::string torch_version;

  int n_layers() const { return static_cast<int>(layer_widths.size()); }
  int n_elements() const { return static_cast<int>(elements.size()); }
  bool knows_distances() const { return min_distances.front() > 0.0; }
  bool has_force_kind(const std::string &kind) const;
  /// Index of a chemical symbol, -1 if the model does not know it.
  int species_of(const std::string &element) const;
};

/// "H O Si"
TDN_EXPORT std::string join(const std::vector<std::string> &words);

}    // namespace tdn
