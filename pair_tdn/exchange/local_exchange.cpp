#include "local_exchange.h"

#include "row_loops.h"

namespace tdn {

LocalExchange::LocalExchange(int64_t n_owned, const std::vector<int64_t> &map)
    : n_owned_(n_owned), mapped_(true)
{
  if (static_cast<int64_t>(map.size()) < n_owned_)
    throw Error("the row map has fewer rows than there are owned atoms: give one row per atom");
  for (int64_t k = 0; k < n_owned_; ++k)
    if (map[k] != k)
      throw Error("the row map moves owned atoms: their rows come first, in their own order");
  copied_.assign(map.begin() + n_owned_, map.end());
  shared_ = sorted_once(copied_);
  if (!shared_.empty() && (shared_.front() < 0 || shared_.back() >= n_owned_))
    throw Error("the row map names row " +
                std::to_string(shared_.front() < 0 ? shared_.front() : shared_.back()) +
                " but only rows 0 to " + std::to_string(n_owned_ - 1) +
                " are owned: name one of them");
}

void LocalExchange::fill(const Rows &rows)
{
  gather_rows(rows, copied_, rows.row(n_owned_));
}

void LocalExchange::fold(const Rows &gradient)
{
  scatter_add_rows(gradient, copied_, gradient.row(n_owned_));
}

}    // namespace tdn
