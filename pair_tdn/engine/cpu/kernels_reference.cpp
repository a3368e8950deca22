// The kernels as formulas: scalar loops over edges and atoms in standard C++, for any degree. The
// reference of the vector kernels, and what a compiler without vectors builds. Rows are not padded
// (lanes = 1), so the stride is the number of channels.

#include "reference_attention.h"

namespace tdn::fused {

namespace {

using namespace reference;

/// Rows of atom i in an array of d rows per atom.
template <typename T, typename Number>
Number *at(const Model<T> &m, Number *array, int64_t i, int d)
{
  return array + i * static_cast<ptrdiff_t>(d) * m.n_channels;
}

template <typename T> size_t scratch_size(const Model<T> &m)
{
  // an atom's arrays and what `update_vjp` needs beside them
  return Attention<T>::scratch_size(m) + 13 * width(m);
}

template <typename T> void pack(const T *from, ptrdiff_t row, ptrdiff_t column, int k, int n, T *to)
{
  for (int p = 0; p < k; ++p)
    for (int q = 0; q < n; ++q) *to++ = from[p * row + q * column];
}

/// x_k = W sum over edges of w K_k0; to the scalar row the element's vector, and one for each edge.
template <typename T>
void embed(const Model<T> &m, const Embedding<T> &w, const Edges<T> &edges, const int64_t *species,
           T *x, const Range<T> &range)
{
  Scratch<T> scratch{range.scratch};
  Edge<T> edge(m, scratch);
  T *degree = scratch.take(width(m));
  const int n = m.n_channels;
  for (int64_t i = range.begin; i < range.end; ++i) {
    clear(degree, width(m));
    T *out = at(m, x, i, m.d);
    for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e) {
      edge.set(edges, w.radial, e);
      for (int k = 0; k < m.d; ++k)
        for (int c = 0; c < n; ++c)
          degree[k * n + c] += edge.weight[edge.embedding_weight_of(k) + c] * edge.first_column(k);
    }
    linear(m, w.project, degree, out, m.d);
    add(w.elements + species[i] * n, out, n);
    const T n_edges = static_cast<T>(edges.first[i + 1] - edges.first[i]);
    for (int c = 0; c < n; ++c) out[c] += n_edges * w.edge_bias[c];
  }
}

/// g = W^T grad_x:  dK_k0 = <g_k, w>,  dw = sum_k K_k0 g_k
template <typename T>
void embed_vjp(const Model<T> &m, const Embedding<T> &w, const Edges<T> &edges, const T *grad_x,
               const Range<T> &range)
{
  Scratch<T> scratch{range.scratch};
  Edge<T> edge(m, scratch);
  T *g = scratch.take(width(m));
  const int n = m.n_channels;
  for (int64_t i = range.begin; i < range.end; ++i) {
    clear(g, width(m));
    linear_vjp(m, w.project, at(m, grad_x, i, m.d), g, m.d);
    for (int64_t e = edges.first[i]; e < edges.first[i + 1]; ++e) {
      edge.set(edges, w.radial, e);
      for (int k = 0; k < m.d; ++k)
        for (int c = 0; c < n; ++c) {
          const int at = edge.embedding_weight_of(k) + c;
          edge.by_matrix[edge.first_entry(k)] += edge.weight[at] * g[k * n + c];
          edge.by_weight[at] += edge.first_column(k) * g[k * n + c];
        }
      edge.add_gradient(edges, e);
    }
  }
}

/// a = W_s norm(x) + b_s
template <typename T>
void send(const Model<T> &m, const Layer<T> &w, const T *x, T *rows, const Range<T> &range)
{
  T *normed = range.scratch;
  for (int64_t i = range.begin; i < range.end; ++i) {
    norm(m, w.norm, at(m, x, i, m.d), normed, m.d);
    linear(m, w.send, normed, at(m, rows, i, m.d), m.d);
  }
}

template <typename T>
void send_vjp(const Model<T> &m, const Layer<T> &w, const T *x, const T *grad_rows, T *grad_x,
              const Range<T> &range)
{
  T *grad_normed = range.scratch;
  for (int64_t i = range.begin; i < range.end; ++i) {
    clear(grad_normed, width(m));
    linear_vjp(m, w.send, at(m, grad_rows, i, m.d), grad_normed, m.d);
    norm_vjp(m, w.norm, at(m, x, i, m.d), grad_normed, at(m, grad_x, i, m.d), m.d);
  }
}

template <typename T>
void update(const Model<T> &m, const Layer<T> &w, const Edges<T> &edges, const LayerArrays<T> &a,
            T *x_next, const Range<T> &range)
{
  Scratch<T> scratch{range.scratch};
  Node<T> node(m, w, a.d_out, scratch);
  Attention<T> attention(m, w, edges, a, scratch);
  for (int64_t i = range.begin; i < range.end; ++i) {
    const T *x = at(m, a.x, i, m.d);
    T *attended = at(m, a.attended, i, a.d_out);
    node.make_center(x);
    attention.forward(i, node.center, attended);
    if (!x_next) continue;
    node.feed_forward(x, attended);
    node.finish(at(m, x_next, i, a.d_out));
  }
}

/// grad_x may be grad_next: of each atom one is read before the other is written.
template <typename T>
void update_vjp(const Model<T> &m, const Layer<T> &w, const Edges<T> &edges,
                const LayerArrays<T> &a, const T *grad_next, T *grad_x, T *grad_rows,
                const Range<T> &range)
{
  Scratch<T> all{range.scratch};
  Node<T> node(m, w, a.d_out, all);
  Attention<T> attention(m, w, edges, a, all);
  for (int64_t i = range.begin; i < range.end; ++i) {
    Scratch<T> scratch = all;
    T *grad_y = scratch.zeros(width(m)), *grad_attended = scratch.zeros(width(m)),
      *grad_center = scratch.zeros(width(m));
    const T *x = at(m, a.x, i, m.d), *attended = at(m, a.attended, i, a.d_out);
    node.make_center(x);
    node.feed_forward(x, attended);
    node.finish_vjp(at(m, grad_next, i, a.d_out), grad_y, scratch);
    linear_vjp(m, w.out, grad_y, grad_attended, a.d_out);    // y = x + W_o o + b_o
    attention.backward(i, node.center, attended, grad_attended, grad_center, grad_rows);
    T *to = at(m, grad_x, i, m.d);
    std::copy_n(grad_y, width(m), to);    // rows from d_out on are zero
    node.center_vjp(x, grad_center, to, scratch);
  }
}

template <typename T>
void attend(const Model<T> &m, const Layer<T> &w, const Edges<T> &edges, const LayerArrays<T> &a,
            const T *center, const Range<T> &range)
{
  Scratch<T> scratch{range.scratch};
  Attention<T> attention(m, w, edges, a, scratch);
  for (int64_t i = range.begin; i < range.end; ++i)
    attention.forward(i, at(m, center, i, m.d), at(m, a.attended, i, a.d_out));
}

template <typename T>
void attend_vjp(const Model<T> &m, const Layer<T> &w, const Edges<T> &edges,
                const LayerArrays<T> &a, const T *center, const T *grad_attended, T *grad_center,
                T *grad_rows, const Range<T> &range)
{
  Scratch<T> scratch{range.scratch};
  Attention<T> attention(m, w, edges, a, scratch);
  for (int64_t i = range.begin; i < range.end; ++i)
    attention.backward(i, at(m, center, i, m.d), at(m, a.attended, i, a.d_out),
                       at(m, grad_attended, i, a.d_out), at(m, grad_center, i, m.d), grad_rows);
}

/// value = <w_out, silu(hidden)> + b_out with hidden = W norm(x) + b
template <typename T>
void readout(const Model<T> &m, const Readout<T> &w, const T *x, T *values, T *grad_x,
             const Range<T> &range)
{
  const int n = m.n_channels;
  for (int64_t i = range.begin; i < range.end; ++i) {
    Scratch<T> scratch{range.scratch};
    T *normed = scratch.take(n), *hidden = scratch.take(n), *grad_hidden = scratch.take(n),
      *grad_normed = scratch.zeros(n);
    norm(m, w.norm, at(m, x, i, 1), normed, 1);
    linear(m, w.hidden, normed, hidden, 1);
    values[i] = w.bias;
    for (int c = 0; c < n; ++c) {
      values[i] += w.out[c] * m.silu_scale * silu(hidden[c]);
      grad_hidden[c] = w.out[c] * m.silu_scale * silu_slope(hidden[c]);
    }
    if (!grad_x) continue;
    linear_vjp(m, w.hidden, grad_hidden, grad_normed, 1);
    clear(at(m, grad_x, i, 1), n);
    norm_vjp(m, w.norm, at(m, x, i, 1), grad_normed, at(m, grad_x, i, 1), 1);
  }
}

template <typename T> constexpr Kernels<T> table()
{
  return {.name = "reference",
          .lanes = 1,
          .scratch_size = scratch_size<T>,
          .pack = pack<T>,
          .embed = embed<T>,
          .embed_vjp = embed_vjp<T>,
          .send = send<T>,
          .send_vjp = send_vjp<T>,
          .update = update<T>,
          .update_vjp = update_vjp<T>,
          .attend = attend<T>,
          .attend_vjp = attend_vjp<T>,
          .readout = readout<T>};
}

}    // namespace

const Kernels<float> reference_float = table<float>();
const Kernels<double> reference_double = table<double>();

}    // namespace tdn::fused
