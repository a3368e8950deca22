// Everything that needs torch: the script engine, GPUs, and archives of format 1, whose weights
// only TorchScript can read. It is in a separate library, libtdn_script, which is opened on demand.
#pragma once

#include "archive/named_arrays.h"
#include "evaluator.h"

#include <memory>
#include <optional>
#include <string>

namespace tdn {

/// Interface of libtdn_script. Its only errors are tdn::Error and std::bad_alloc.
class TDN_EXPORT ScriptLibrary {
 public:
  virtual ~ScriptLibrary() = default;

  virtual std::unique_ptr<Evaluator> make_evaluator(const ModelArchive &archive,
                                                    const EvaluatorOptions &options) const = 0;

  /// Weights of the fused engine by name, with the radial tables of the pairs of `options.species`;
  /// nothing if the archive has no tables.
  virtual std::optional<NamedArrays> fused_weights(const ModelArchive &archive,
                                                   const EvaluatorOptions &options) const = 0;

  /// Number of GPUs that torch sees.
  virtual int n_devices() const = 0;
  /// Bytes that can still be allocated on a GPU, 0 if torch does not say.
  virtual double available_memory(const Device &device) const = 0;
  /// "torch 2.13.0"
  virtual std::string version() const = 0;
};

/// Opens the library once. Throws tdn::Error if it cannot be opened; `purpose` is the subject of
/// the sentence ("engine script").
TDN_EXPORT const ScriptLibrary &script_library(const std::string &purpose);

/// Null if it cannot be opened.
TDN_EXPORT const ScriptLibrary *find_script_library();

/// The entry point of libtdn_script.
using ScriptLibraryEntry = const ScriptLibrary *(*)();
inline constexpr const char *SCRIPT_LIBRARY_ENTRY = "tdn_script_library";

}    // namespace tdn
