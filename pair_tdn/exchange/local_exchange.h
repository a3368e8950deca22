// The exchange of a single process.
#pragma once

#include "feature_exchange.h"

namespace tdn {

/// All atoms in one process: row k is a copy of owned row map[k], and map[k] = k for owned rows;
/// without a map the rows are the atoms.
class TDN_EXPORT LocalExchange : public FeatureExchange {
 public:
  explicit LocalExchange(int64_t n_owned) : n_owned_(n_owned) {}
  /// Throws tdn::Error if it is not such a map.
  LocalExchange(int64_t n_owned, const std::vector<int64_t> &map);

  int64_t n_owned() const override { return n_owned_; }
  int64_t n_rows() const override { return n_owned_ + static_cast<int64_t>(copied_.size()); }
  bool copies() const override { return mapped_; }
  void fill(const Rows &rows) override;
  void fold(const Rows &gradient) override;
  const std::vector<int64_t> &shared_rows() const override { return shared_; }

 private:
  int64_t n_owned_;
  bool mapped_ = false;
  std::vector<int64_t> copied_;    // owned row behind each further row
  std::vector<int64_t> shared_;    // the same, ascending, each once
};

}    // namespace tdn
