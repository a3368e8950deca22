// tdn._core: the evaluator of the pair style from Python, without LAMMPS.

#include "archive_bindings.h"
#include "core_evaluator.h"
#include "engine/cpu/aligned_buffer.h"
#include "engine/cpu/kernels.h"
#include "errors.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <ctime>

namespace py = pybind11;

namespace {

using tdn::CoreEvaluator;

/// CPU seconds of this thread.
double seconds()
{
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr const char *EVALUATE_DOC =
    R"(Energies and their gradient by edge vectors, or direct forces.

Args:
    species: (n_rows) int64, model index of the element; owned atoms first.
    center: (n_edges) int64, owned atom that receives, ascending.
    neighbor: (n_edges) int64, row of the sending atom.
    vectors: (n_edges, 3) r_j - r_i, angstrom.
    n_owned: number of atoms whose energy is summed; all rows by default.
    direct: compute direct forces instead of the gradient.
    row_map: (n_rows) int64, owned atom whose features a row copies; needed if n_owned < n_rows.
    n_threads: number of threads; by default OpenMP's (OMP_NUM_THREADS). torch.set_num_threads has no effect here:
        pass torch.get_num_threads().

Returns:
    (atom_energies (n_owned) float64 eV, edge_gradients (n_edges, 3) dE/dr_ij eV/angstrom or None,
    direct_forces (n_owned, 3) eV/angstrom or None), the last two in the evaluator's dtype.

Raises:
    TDNError: an array has the wrong shape, is not sorted, or holds an invalid index.
)";

constexpr const char *PROBE_DOC =
    R"(Cost of an evaluation, from small random graphs with ``edges_per_atom``.

Returns:
    dict of bytes_ and seconds_ with fixed, per_atom, per_remote (row of another rank) and per_edge: peak memory,
    and seconds on an otherwise idle core or GPU, are linear in these numbers.
)";

}    // namespace

/// Operations per second of this core: multiply-adds in registers, and the products of a block.
template <typename T> std::pair<double, double> rates_of()
{
  const auto &kernels = tdn::fused::kernels<T>();
  if (!kernels.register_loop) return {0.0, 0.0};
  tdn::AlignedBuffer<T> scratch(3 * 128 * 128);
  const auto best = [](const auto &work) {
    double rate = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
      const double begin = seconds();
      const double operations = work();
      rate = std::max(rate, operations / (seconds() - begin));
    }
    return rate;
  };
  return {best([&] { return kernels.register_loop(1000000); }),
          best([&] { return kernels.product_loop(2000, scratch.data()); })};
}

template <typename Getter> py::cpp_function without_gil(Getter getter)
{
  return {getter, py::call_guard<py::gil_scoped_release>()};
}

PYBIND11_MODULE(_core, module)
{
  module.doc() = "The C++ evaluator of pair_style tdn, without LAMMPS.";
  py::register_exception<tdn::Error>(module, "CoreError",
                                     py::module_::import("tdn.errors").attr("TDNError"));
  module.def(
      "rates",
      [](const std::string &dtype) {
        return dtype == "float64" ? rates_of<double>() : rates_of<float>();
      },
      py::arg("dtype"),
      "Floating-point operations per second of one core: (multiply-adds in registers, matrix "
      "products "
      "of 48 rows with 128 x 128 weights), 0 for kernels without vectors.");
  bind_archive(module);
  py::class_<CoreEvaluator>(module, "Evaluator")
      .def(py::init<const std::string &, const std::string &, const std::optional<std::string> &,
                    const std::string &, const std::vector<int> &,
                    const std::optional<std::string> &>(),
           py::arg("path"), py::arg("device") = "cpu", py::arg("dtype") = py::none(),
           py::arg("engine") = "auto", py::arg("species") = std::vector<int>(),
           py::arg("contents") = py::none(), py::call_guard<py::gil_scoped_release>(),
           "Open an archive on device auto, cpu or cuda; dtype (float32, float64) converts the "
           "model; engine auto, fused or script; species that may occur in a graph, all if "
           "empty; contents of the file, whose path then appears only in messages.")
      .def_property_readonly("engine", &CoreEvaluator::engine, "Engine that runs the model.")
      .def_property_readonly("kept_bytes", without_gil(&CoreEvaluator::kept_bytes),
                             "Bytes kept between evaluations, without weights.")
      .def_property_readonly("metadata", &CoreEvaluator::metadata, "The label, JSON text.")
      .def_property_readonly("device", &CoreEvaluator::device, "Device the model runs on.")
      .def_property_readonly("dtype", &CoreEvaluator::precision, "float32 or float64.")
      .def("evaluate", &CoreEvaluator::evaluate, py::arg("species"), py::arg("center"),
           py::arg("neighbor"), py::arg("vectors"), py::arg("n_owned") = py::none(),
           py::arg("direct") = false, py::arg("row_map") = py::none(), py::arg("n_threads") = 0,
           EVALUATE_DOC)
      .def("start_times", &CoreEvaluator::start_times, py::call_guard<py::gil_scoped_release>(),
           "Start to measure the time of stages.")
      .def_property_readonly(
          "times", without_gil(&CoreEvaluator::times),
          "CPU seconds by stage since start_times(); empty for the script engine.")
      .def("probe", &CoreEvaluator::probe, py::arg("edges_per_atom"), py::arg("direct") = false,
           py::arg("n_threads") = 0, py::call_guard<py::gil_scoped_release>(), PROBE_DOC);
}
