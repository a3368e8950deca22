// Archives in Python: tdn._core.fused_weights.
#pragma once

#include <pybind11/pybind11.h>

void bind_archive(pybind11::module_ &module);
