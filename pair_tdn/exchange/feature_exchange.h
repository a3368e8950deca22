// Interface of the exchange of feature rows between owned atoms and the copies that neighbors see.
#pragma once

#include "errors.h"
#include "views.h"

#include <vector>

namespace tdn {

/// A linear map from owned rows to all rows, and its adjoint, in host memory. Rows [0, n_owned) are
/// the owned atoms themselves. `fill` and `fold` are collective: every rank calls them in the same
/// order, even without atoms.
class TDN_EXPORT FeatureExchange {
 public:
  virtual ~FeatureExchange() = default;
  virtual int64_t n_owned() const = 0;
  virtual int64_t n_rows() const = 0;
  /// Writes all rows (n_rows, width) but the owned ones, which are in place.
  virtual void fill(const Rows &rows) = 0;
  /// Adds the gradients of copies to those of the owned rows; `gradient` is (n_rows, width).
  virtual void fold(const Rows &gradient) = 0;

  /// Whether there are rows besides the owned ones.
  virtual bool copies() const { return n_rows() > n_owned(); }

  /// Owned rows that have copies anywhere, ascending: `fill` reads no others, and `fold` adds to no
  /// others.
  virtual const std::vector<int64_t> &shared_rows() const = 0;
};

}    // namespace tdn
