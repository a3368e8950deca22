// tdn._core: the evaluator of the pair style from Python, without LAMMPS.

#include "archive/model_archive.h"
#include "engine/cost_probe.h"
#include "engine/cpu/aligned_buffer.h"
#include "engine/cpu/kernels.h"
#include "engine/device.h"
#include "engine/evaluator.h"
#include "errors.h"

#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <mutex>
#include <optional>

namespace py = pybind11;

namespace {

using MaybeTensor = std::optional<at::Tensor>;

void check_size(const at::Tensor &tensor, const char *name, int64_t size)
{
  if (tensor.size(0) != size)
    throw tdn::Error(std::string(name) + " has " + std::to_string(tensor.size(0)) + " rows but " +
                     std::to_string(size) + " are needed: give one per atom or edge");
}

/// A model on a device; what Python calls with plain tensors, from any of its threads.
///
/// The evaluator's buffers serve one evaluation at a time: `mutex_` is held from its start until
/// the results are copied. It is taken without Python's global lock, which another thread may need
/// to finish its evaluation.
class CoreEvaluator {
 public:
  CoreEvaluator(const std::string &path, const std::string &device,
                const std::optional<at::ScalarType> &dtype, const std::string &engine,
                const std::vector<int> &species, const std::optional<std::string> &contents)
      : CoreEvaluator(contents ? tdn::ModelArchive(*contents, path) : tdn::ModelArchive::open(path),
                      tdn::choose_device(device, 0), dtype, engine, species)
  {
  }

  std::string metadata() const { return metadata_.text; }
  std::string device() const { return evaluator_->device().str(); }
  std::string engine() const { return evaluator_->name(); }
  double kept_bytes() const
  {
    const std::lock_guard lock(mutex_);
    return evaluator_->kept_bytes();
  }

  void start_times()
  {
    const std::lock_guard lock(mutex_);
    evaluator_->start_times();
  }
  std::map<std::string, double> times() const
  {
    const std::lock_guard lock(mutex_);
    return evaluator_->times();
  }

  std::map<std::string, double> probe(double edges_per_atom, bool direct)
  {
    const std::lock_guard lock(mutex_);
    const auto kind = direct ? tdn::ForceKind::DIRECT : tdn::ForceKind::GRADIENT;
    const auto cost = tdn::probe_cost(*evaluator_, metadata_, kind, edges_per_atom);
    std::map<std::string, double> out;
    for (const auto &[name, line] : {std::pair{"bytes", cost.bytes}, {"seconds", cost.seconds}}) {
      out[std::string(name) + "_fixed"] = line.fixed;
      out[std::string(name) + "_per_atom"] = line.per_atom;
      out[std::string(name) + "_per_remote"] = line.per_remote;
      out[std::string(name) + "_per_edge"] = line.per_edge;
    }
    return out;
  }

  std::tuple<at::Tensor, MaybeTensor, MaybeTensor>
  evaluate(const at::Tensor &species, const at::Tensor &center, const at::Tensor &neighbor,
           const at::Tensor &vectors, std::optional<int64_t> n_owned, bool direct,
           const MaybeTensor &row_map)
  {
    const int64_t owned = n_owned.value_or(species.size(0));
    auto exchange = exchange_for(owned, species, row_map);
    const auto kind = direct ? tdn::ForceKind::DIRECT : tdn::ForceKind::GRADIENT;
    if (direct && !metadata_.has_force_kind("direct"))
      throw tdn::Error("the model has no direct forces: call with direct=False");
    check_species(species);
    if (center.numel() > 1 && center.diff().lt(0).any().item<bool>())
      throw tdn::Error("the edges are not sorted by center: sort center, neighbor and vectors");
    for (const auto &[tensor, name] : {std::pair{neighbor, "neighbor"}, {vectors, "vectors"}})
      check_size(tensor, name, center.size(0));
    const auto graph = graph_of(species, center, neighbor, vectors, owned);
    const std::lock_guard lock(mutex_);
    const auto result = evaluator_->evaluate(graph, exchange, kind);
    return {result.atom_energies.clone(), copied(result.edge_gradients),
            copied(result.direct_forces)};
  }

 private:
  tdn::ModelMetadata metadata_;
  std::unique_ptr<tdn::Evaluator> evaluator_;
  mutable std::mutex mutex_;

  CoreEvaluator(const tdn::ModelArchive &archive, c10::Device device,
                const std::optional<at::ScalarType> &dtype, const std::string &engine,
                const std::vector<int> &species)
      : metadata_(archive.metadata()),
        evaluator_(tdn::make_evaluator(archive, {.device = device,
                                                 .dtype = dtype.value_or(archive.metadata().dtype),
                                                 .engine = engine,
                                                 .species = species}))
  {
  }

  /// Results are the evaluator's own until its next evaluation.
  void check_species(const at::Tensor &species) const
  {
    const auto &known = evaluator_->species();
    const auto distinct = std::get<0>(at::_unique(species));
    for (int64_t k = 0; k < distinct.numel(); ++k) {
      const auto s = distinct[k].item<int64_t>();
      if (std::find(known.begin(), known.end(), s) == known.end())
        throw tdn::Error("species " + std::to_string(s) +
                         " is not among those the evaluator was "
                         "opened for: name it there");
    }
  }

  static MaybeTensor copied(const at::Tensor &tensor)
  {
    return tensor.defined() ? MaybeTensor(tensor.clone()) : std::nullopt;
  }

  tdn::LocalExchange exchange_for(int64_t n_owned, const at::Tensor &species,
                                  const MaybeTensor &row_map) const
  {
    if (!row_map) {
      check_size(species, "species without a row_map", n_owned);
      return tdn::LocalExchange(n_owned);
    }
    check_size(*row_map, "row_map", species.size(0));
    return tdn::LocalExchange(n_owned, row_map->to(evaluator_->device()));
  }

  tdn::NeighborGraph::Tensors graph_of(const at::Tensor &species, const at::Tensor &center,
                                       const at::Tensor &neighbor, const at::Tensor &vectors,
                                       int64_t n_owned) const
  {
    const auto n_elements = static_cast<int64_t>(metadata_.elements.size());
    const auto pair =
        species.index_select(0, center).mul(n_elements).add(species.index_select(0, neighbor));
    const auto first =
        at::searchsorted(center.contiguous(), at::arange(n_owned + 1, center.options()));
    return {.species = species.slice(0, 0, n_owned),
            .first_edge = first,
            .neighbor = neighbor.to(at::kInt),
            .pair = pair.to(at::kInt),
            .vectors = vectors.detach()};
  }
};

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
    neighbor: (n_edges) int64, row that is sent.
    vectors: (n_edges, 3) r_j - r_i, angstrom.
    n_owned: atoms whose energy is summed; all rows by default.
    direct: direct forces instead of the gradient.
    row_map: (n_rows) int64, owned atom whose features a row copies; needed when n_owned < n_rows.

Returns:
    (atom_energies (n_owned) eV, edge_gradients (n_edges, 3) dE/dr_ij eV/angstrom or None,
    direct_forces (n_owned, 3) eV/angstrom or None), on the evaluator's device in its dtype.
)";

constexpr const char *PROBE_DOC =
    R"(What an evaluation costs, from small random graphs with ``edges_per_atom``.

Returns:
    dict of bytes_ and seconds_ with fixed, per_atom, per_remote (row of another rank) and per_edge: peak of torch's
    allocations, and seconds on a core or GPU of its own, are linear in these numbers.
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

/// A getter that waits for an evaluation in another thread without Python's global lock.
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
      [](at::ScalarType dtype) {
        return dtype == at::kDouble ? rates_of<double>() : rates_of<float>();
      },
      py::arg("dtype"),
      "Floating-point operations per second of one core: (multiply-adds in registers, matrix "
      "products "
      "of 48 rows with 128 x 128 weights), 0 for kernels without vectors.");
  py::class_<CoreEvaluator>(module, "Evaluator")
      .def(py::init<const std::string &, const std::string &, const std::optional<at::ScalarType> &,
                    const std::string &, const std::vector<int> &,
                    const std::optional<std::string> &>(),
           py::arg("path"), py::arg("device") = "cpu", py::arg("dtype") = py::none(),
           py::arg("engine") = "auto", py::arg("species") = std::vector<int>(),
           py::arg("contents") = py::none(),
           "Open an archive on device auto, cpu or cuda; dtype converts the model; engine auto, "
           "fused or script; species that may stand in a graph, all when empty; contents of the "
           "file, "
           "which is then not read but only named in messages.")
      .def_property_readonly("engine", &CoreEvaluator::engine, "Engine that runs the model.")
      .def_property_readonly("kept_bytes", without_gil(&CoreEvaluator::kept_bytes),
                             "Bytes kept from one evaluation to the next, without weights.")
      .def_property_readonly("metadata", &CoreEvaluator::metadata, "The label, JSON text.")
      .def_property_readonly("device", &CoreEvaluator::device, "Device the model runs on.")
      .def("evaluate", &CoreEvaluator::evaluate, py::arg("species"), py::arg("center"),
           py::arg("neighbor"), py::arg("vectors"), py::arg("n_owned") = py::none(),
           py::arg("direct") = false, py::arg("row_map") = py::none(),
           py::call_guard<py::gil_scoped_release>(), EVALUATE_DOC)
      .def("start_times", &CoreEvaluator::start_times, py::call_guard<py::gil_scoped_release>(),
           "From now on, count the time of stages.")
      .def_property_readonly(
          "times", without_gil(&CoreEvaluator::times),
          "CPU seconds by stage since start_times(); empty for the script engine.")
      .def("probe", &CoreEvaluator::probe, py::arg("edges_per_atom"), py::arg("direct") = false,
           py::call_guard<py::gil_scoped_release>(), PROBE_DOC);
}
