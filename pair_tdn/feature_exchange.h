// How rows of node features travel between owned atoms and the copies that neighbors see.
#pragma once

#include "errors.h"

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>

namespace tdn {

/// A linear map from owned rows to all rows, and its adjoint. Rows [0, n_owned) are the owned atoms
/// themselves. Both verbs are collective: every rank calls them in the same order, with no atoms
/// too.
class FeatureExchange {
 public:
  virtual ~FeatureExchange() = default;
  virtual int64_t n_owned() const = 0;
  virtual int64_t n_rows() const = 0;
  /// (n_owned, width) -> (n_rows, width)
  virtual at::Tensor forward(const at::Tensor &owned) = 0;
  /// Gradient of all rows (n_rows, width) -> gradient of the owned rows (n_owned, width)
  virtual at::Tensor adjoint(const at::Tensor &gradient) = 0;
};

/// All atoms in one process: row k is a copy of owned row map[k]; without a map the rows are the
/// atoms.
class LocalExchange : public FeatureExchange {
 public:
  explicit LocalExchange(int64_t n_owned, at::Tensor map = {})
      : n_owned_(n_owned), map_(std::move(map))
  {
    if (map_.defined() && map_.size(0) < n_owned_)
      throw Error("the row map has fewer rows than there are owned atoms: give one row per atom");
  }

  int64_t n_owned() const override { return n_owned_; }
  int64_t n_rows() const override { return map_.defined() ? map_.size(0) : n_owned_; }

  at::Tensor forward(const at::Tensor &owned) override
  {
    return map_.defined() ? owned.index_select(0, map_) : owned;
  }

  at::Tensor adjoint(const at::Tensor &gradient) override
  {
    if (!map_.defined()) return gradient;
    return at::zeros({n_owned_, gradient.size(1)}, gradient.options())
        .index_add_(0, map_, gradient);
  }

 private:
  int64_t n_owned_;
  at::Tensor map_;
};

}    // namespace tdn
