// The record of weights for the fused engine, from format 2 on.
#pragma once

#include "errors.h"

#include "model_metadata.h"
#include "named_arrays.h"
#include "zip_reader.h"

#include <string>

namespace tdn {

/// Checks that the label was written for this record, and that this version knows every name in it.
/// Throws tdn::Error that names `file`.
TDN_EXPORT void verify_weights(const ZipReader &records, const ModelMetadata &metadata,
                               const std::string &file);

/// The weights of an archive that has them; throws tdn::Error if they are not those of the label.
TDN_EXPORT NamedArrays read_weights(const ZipReader &records, const ModelMetadata &metadata,
                                    const std::string &file);

}    // namespace tdn
