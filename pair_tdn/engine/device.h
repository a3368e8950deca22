// Choice of the device for a model, and its memory.
#pragma once

#include "errors.h"
#include "views.h"

#include <string>

namespace tdn {

/// `name` is auto, cpu or cuda; `node_rank` numbers the processes of one machine, which take its
/// GPUs in turn. auto: a GPU if torch sees one. Throws tdn::Error if cuda is requested and there is
/// none.
TDN_EXPORT Device choose_device(const std::string &name, int node_rank);

/// Bytes that can still be allocated on a device, 0 if unknown.
TDN_EXPORT double available_memory(const Device &device);

/// Number of devices that the machine's processes share: its usable GPUs, or 1 for the CPU.
TDN_EXPORT int n_devices(const Device &device);

}    // namespace tdn
