// A model for Python, with numpy arrays in and out.
#pragma once

#include "engine/evaluator.h"

#include <pybind11/numpy.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace tdn {

using Integers = pybind11::array_t<int64_t, pybind11::array::c_style | pybind11::array::forcecast>;

/// Any thread may call it. The evaluator's buffers serve one evaluation at a time: `mutex_` is held
/// from its start until the results are copied. It is acquired without Python's global lock, which
/// another thread may need to finish its evaluation.
class CoreEvaluator {
 public:
  /// `contents` of the file; without them it is read from `path`.
  CoreEvaluator(const std::string &path, const std::string &device,
                const std::optional<std::string> &precision, const std::string &engine,
                const std::vector<int> &species, const std::optional<std::string> &contents);

  std::string metadata() const { return metadata_.text; }
  std::string device() const { return evaluator_->device().str(); }
  std::string engine() const { return evaluator_->name(); }
  std::string precision() const { return name_of(evaluator_->precision()); }
  double kept_bytes() const;

  void start_times();
  std::map<std::string, double> times() const;
  std::map<std::string, double> probe(double edges_per_atom, bool direct, int n_threads);

  std::tuple<pybind11::array, pybind11::object, pybind11::object>
  evaluate(const Integers &species, const Integers &center, const Integers &neighbor,
           const pybind11::object &vectors, std::optional<int64_t> n_owned, bool direct,
           const std::optional<Integers> &row_map, int n_threads);

 private:
  ModelMetadata metadata_;
  std::unique_ptr<Evaluator> evaluator_;
  mutable std::mutex mutex_;    // of the evaluator's buffers

  CoreEvaluator(const ModelArchive &archive, const std::string &device,
                const std::optional<std::string> &precision, const std::string &engine,
                const std::vector<int> &species);
};

}    // namespace tdn
