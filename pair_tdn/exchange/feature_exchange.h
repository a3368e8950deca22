// How rows of node features travel between owned atoms and the copies that neighbors see.
#pragma once

#include "errors.h"

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>

namespace tdn {

/// A linear map from owned rows to all rows, and its adjoint. Rows [0, n_owned) are the owned atoms
/// themselves. All verbs are collective: every rank calls them in the same order, with no atoms
/// too.
class FeatureExchange {
 public:
  virtual ~FeatureExchange() = default;
  virtual int64_t n_owned() const = 0;
  virtual int64_t n_rows() const = 0;
  /// (n_rows, width) with the owned rows in place: writes the others.
  virtual void fill(const at::Tensor &rows) = 0;
  /// Gradient of all rows (n_rows, width): adds to the owned rows what their copies got.
  virtual void fold(const at::Tensor &gradient) = 0;

  /// (n_owned, width) -> (n_rows, width)
  at::Tensor forward(const at::Tensor &owned)
  {
    auto rows = owned.contiguous();
    if (copies()) {
      rows = at::empty({n_rows(), owned.size(1)}, owned.options());
      rows.slice(0, 0, n_owned()).copy_(owned);
    }
    fill(rows);
    return rows;
  }

  /// Whether `forward` gives a copy; without, its rows are those it was given.
  virtual bool copies() const { return n_rows() > n_owned(); }

  /// Gradient of all rows (n_rows, width) -> gradient of the owned rows (n_owned, width)
  at::Tensor adjoint(const at::Tensor &gradient)
  {
    const auto copy = gradient.clone(at::MemoryFormat::Contiguous);
    fold(copy);
    return copy.slice(0, 0, n_owned());
  }
};

/// All atoms in one process: row k is a copy of owned row map[k], and map[k] = k for owned rows;
/// without a map the rows are the atoms.
class LocalExchange : public FeatureExchange {
 public:
  explicit LocalExchange(int64_t n_owned, const at::Tensor &map = {}) : n_owned_(n_owned)
  {
    if (!map.defined()) return;
    if (map.size(0) < n_owned_)
      throw Error("the row map has fewer rows than there are owned atoms: give one row per atom");
    if (!map.slice(0, 0, n_owned_).equal(at::arange(n_owned_, map.options())))
      throw Error("the row map moves owned atoms: their rows come first, in their own order");
    copied_ = map.slice(0, n_owned_);
  }

  int64_t n_owned() const override { return n_owned_; }
  bool copies() const override { return copied_.defined(); }
  int64_t n_rows() const override { return n_owned_ + (copied_.defined() ? copied_.size(0) : 0); }

  void fill(const at::Tensor &rows) override
  {
    if (copied_.defined()) rows.slice(0, n_owned_).copy_(rows.index_select(0, copied_));
  }

  void fold(const at::Tensor &gradient) override
  {
    if (copied_.defined())
      gradient.slice(0, 0, n_owned_).index_add_(0, copied_, gradient.slice(0, n_owned_));
  }

 private:
  int64_t n_owned_;
  at::Tensor copied_;    // owned row behind each further row
};

}    // namespace tdn
