// Choice of the device a model runs on, and what is known about the libtorch in use.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace tdn {

/// `name` is auto, cpu or cuda; `node_rank` numbers the processes of one machine, which take turns
/// at its GPUs. Throws tdn::Error when cuda is asked for and there is none.
c10::Device choose_device(const std::string &name, int node_rank);

/// Bytes that can still be allocated on a device, 0 when the system does not say.
double available_memory(c10::Device device);

/// GPUs that torch sees.
int n_devices();

/// Version of the libtorch that is loaded, empty when it does not say.
std::string loaded_torch_version();

}    // namespace tdn
