// How rows of node features travel between owned atoms and the copies that neighbors see.
#pragma once

#include "errors.h"
#include "views.h"

#include <vector>

namespace tdn {

/// A linear map from owned rows to all rows, and its adjoint, in host memory. Rows [0, n_owned) are
/// the owned atoms themselves. Both verbs are collective: every rank calls them in the same order,
/// with no atoms too.
class TDN_EXPORT FeatureExchange {
 public:
  virtual ~FeatureExchange() = default;
  virtual int64_t n_owned() const = 0;
  virtual int64_t n_rows() const = 0;
  /// (n_rows, width) with the owned rows in place: writes the others.
  virtual void fill(const Rows &rows) = 0;
  /// Gradient of all rows (n_rows, width): adds to the owned rows what their copies got.
  virtual void fold(const Rows &gradient) = 0;

  /// Whether rows are a copy of the owned ones with others behind them.
  virtual bool copies() const { return n_rows() > n_owned(); }

  /// Owned rows that have copies anywhere, ascending: `fill` reads no others, and `fold` adds to no
  /// others.
  virtual const std::vector<int64_t> &shared_rows() const = 0;
};

}    // namespace tdn
