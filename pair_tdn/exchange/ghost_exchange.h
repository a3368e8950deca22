// Rows of node features between MPI ranks, one message for each partner and direction.
#pragma once

#include "exchange_plan.h"
#include "feature_exchange.h"
#include "wire.h"

namespace tdn {

/// Rows [0, n_owned) are this rank's atoms; the rows that it reads from others follow, by owner.
/// The messages of a partner are received in place, so nothing is unpacked.
class GhostExchange : public FeatureExchange {
 public:
  /// Collective: works on a duplicate of `world`, so that nobody else can receive its messages.
  explicit GhostExchange(MPI_Comm world);
  ~GhostExchange() override;
  GhostExchange(const GhostExchange &) = delete;
  GhostExchange &operator=(const GhostExchange &) = delete;

  /// Collective. `wanted` as in ExchangePlan.
  void set_plan(int64_t n_owned, const std::vector<RemoteRow> &wanted);
  void set_wire(Wire wire) { wire_ = wire; }

  int64_t n_owned() const override { return n_owned_; }
  int64_t n_rows() const override { return n_owned_ + plan_.n_received(); }
  void fill(const Rows &rows) override;
  void fold(const Rows &gradient) override;
  const std::vector<int64_t> &shared_rows() const override { return shared_rows_; }

  const ExchangePlan &plan() const { return plan_; }
  /// Bytes of one number in a message.
  int64_t bytes_per_number(Precision precision) const;

  /// Since the last reset.
  struct Statistics {
    int64_t exchanges = 0;         ///< calls of forward and adjoint
    int64_t messages = 0;          ///< sent by this rank
    int64_t bytes = 0;             ///< in them
    double seconds = 0;            ///< packing, messages and summation
    double seconds_waiting = 0;    ///< of these, waiting for messages
  };
  const Statistics &statistics() const { return statistics_; }
  void reset_statistics() { statistics_ = {}; }
  double memory_usage() const;

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  ExchangePlan plan_;
  Wire wire_ = Wire::MODEL;
  int64_t n_owned_ = 0;
  int n_plans_ = 0;
  std::vector<int64_t> shared_rows_;
  std::vector<char> packed_;    // rows of others, or for others, as the model has them
  std::vector<uint16_t> rounded_, arrived_;    // and as bfloat16, on their way out and in
  Statistics statistics_;

  bool idle() const { return plan_.n_received() + plan_.n_sent() == 0; }
  Rows packed(int64_t n, const Rows &like);
  void pass_messages(int tag, const std::vector<Partner> &to, const Rows &out,
                     const std::vector<Partner> &from, const Rows &in);
  void send_and_receive(int tag, const std::vector<Partner> &to, const char *source,
                        const std::vector<Partner> &from, char *destination, int64_t bytes);
};

}    // namespace tdn
