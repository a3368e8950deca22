#include "pass.h"

namespace tdn {

Pass::Pass(Backend &backend, FeatureExchange &exchange, ForceKind kind)
    : backend_(backend), exchange_(exchange), plan_{.kind = kind, .n_layers = backend.n_layers()}
{
}

Evaluation Pass::run(const NeighborGraph::View &graph, int n_threads)
{
  run_to_head(graph, n_threads);
  backend_.pair_energy();
  if (plan_.kind != ForceKind::GRADIENT) direct_forces();
  if (plan_.recorded()) backward();
  return backend_.results();
}

void Pass::run_to_head(const NeighborGraph::View &graph, int n_threads)
{
  backend_.start(graph, exchange_.n_rows(), plan_, n_threads);
  forward();
  backend_.readout();
}

void Pass::forward()
{
  backend_.embed();
  for (int layer = 0; layer < plan_.n_layers; ++layer) {
    backend_.send(layer);
    backend_.fill(exchange_);
    if (plan_.recorded()) backend_.keep_remote(layer);
    backend_.update(layer);
  }
}

void Pass::direct_forces()
{
  backend_.send_to_head();
  backend_.fill(exchange_);
  backend_.direct_forces();
}

void Pass::backward()
{
  backend_.start_backward();
  for (int layer = plan_.n_layers - 1; layer >= 0; --layer) backward_layer(layer);
  backend_.embed_vjp();
}

/// Own rows are recomputed; those of other ranks were stored, so nothing is sent twice.
void Pass::backward_layer(int layer)
{
  if (layer == 0 && plan_.embeds_again()) backend_.embed();
  if (plan_.restores_rows(layer)) {
    backend_.send(layer);
    backend_.restore_remote(layer);
  }
  backend_.update_vjp(layer);
  backend_.fold(exchange_);
  backend_.send_vjp(layer);
}

}    // namespace tdn
