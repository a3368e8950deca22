// Choice of the device a model runs on, and its memory.
#pragma once

#include "errors.h"
#include "views.h"

#include <string>

namespace tdn {

/// `name` is auto, cpu or cuda; `node_rank` numbers the processes of one machine, which take turns
/// at its GPUs. auto: a GPU when the machine has one that torch sees. Throws tdn::Error when cuda
/// is asked for and there is none.
TDN_EXPORT Device choose_device(const std::string &name, int node_rank);

/// Bytes that can still be allocated on a device, 0 when the system does not say.
TDN_EXPORT double available_memory(const Device &device);

/// GPUs of the machine that can be used, 1 for the CPU: what its processes share.
TDN_EXPORT int n_devices(const Device &device);

}    // namespace tdn
