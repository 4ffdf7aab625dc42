// Multi-head attention on the CPU (ops/attention.h has the formulas). A task works on one head: it packs what all tiles
// of the head share, then takes T rows of the S x S matrix after the other from scores to products while they are in
// cache.
//
// Legend: N samples, S positions, H heads, D channels a head, T rows of a tile.
#include "ops/attention.h"

#include "cpu/expect.h"
#include "cpu/gemm/packed_product.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int64_t kMostTileRows = 64;
constexpr int64_t kTileFloats = 1 << 17;  // the most of the S x S matrix that a tile should hold: 512 KiB
static_assert(kMostTileRows % kBlock == 0, "tiles are whole blocks where their rows are the depth of a product");

struct Layout {
  int64_t N, S, H, D;
  float scale;
  int64_t T, tiles;       // rows of a tile (the last one may have fewer), tiles of a head
  int64_t width, stride;  // columns of a tile of scores in whole panels; floats from one of its rows to the next

  int64_t begin(int64_t tile) const { return tile * T; }
  int64_t rows(int64_t tile) const { return at_most(T, S - tile * T); }
};

Layout layout_of(const Tensor& q, double heads, double scale) {
  Layout l{};
  l.N = q.shape[0], l.S = q.shape[1], l.H = static_cast<int64_t>(heads), l.D = q.shape[2] / l.H;
  l.scale = static_cast<float>(scale);
  l.T = kTileFloats / l.S / kBlock * kBlock;
  l.T = l.T < kBlock ? kBlock : at_most(l.T, kMostTileRows);
  l.tiles = (l.S + l.T - 1) / l.T;
  l.width = round_up(l.S, kPanel);
  l.stride = round_up(l.width, kBlock) + kBlock;  // rows a power of two apart would compete for the same sets of L1
  return l;
}

float dot(const float* a, const float* b, int64_t n) {
  Vec sum = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    int64_t left = at_most(n - i, kLanes);
    sum = madd(load_first(a + i, left), load_first(b + i, left), sum);
  }
  return sum_lanes(sum);
}

// --- Tasks: tiles [begin, end) of a head of a sample.

struct Part {
  int64_t n, h, begin, end;
};

// A head is one task, unless there are too few heads to occupy the threads; then it is cut, and its packing done in
// each part.
int64_t parts_of(const Layout& l, int threads) {
  int64_t heads = l.N * l.H;
  return heads >= 2 * threads ? 1 : at_most(l.tiles, (4 * threads + heads - 1) / heads);
}
Part part_at(const Layout& l, int64_t parts, int64_t index) {
  int64_t head = index / parts, part = index % parts;
  return {head / l.H, head % l.H, l.tiles * part / parts, l.tiles * (part + 1) / parts};
}
// The [S, D] matrix of the part's head; its [S] numbers of a [N, H, S] tensor.
template <typename T>
struct HeadMatrix {
  T* data;
  int64_t stride;
  T* row(int64_t i) const { return data + i * stride; }
};
template <typename T>
HeadMatrix<T> head_of(const Tensor& t, const Layout& l, const Part& part) {
  return {data_of<T>(t) + part.n * l.S * t.row_stride + part.h * l.D, t.row_stride};
}
float* numbers_of(const Tensor& t, const Layout& l, const Part& part) { return f32(t) + (part.n * l.H + part.h) * l.S; }

// Where a thread's areas begin in its scratch, in floats.
struct Areas {
  int64_t floats = 0;
  int64_t take(int64_t count) {
    int64_t begin = floats;
    floats += round_up(count, 16);
    return begin;
  }
};

void check(const char* kernel, const Tensor& q, const Tensor& log_sum_exp, double heads, double scale) {
  expect_rank(kernel, "q", q, 3, 3);
  if (!(heads >= 1 && heads <= q.shape[2]) || q.shape[2] % static_cast<int64_t>(heads) != 0 ||
      heads != static_cast<double>(static_cast<int64_t>(heads)))
    fail("ERR_ARGUMENT", kernel, "heads must be an integer that divides the %lld channels, got %g",
         static_cast<long long>(q.shape[2]), heads);
  if (!(scale - scale == 0)) fail("ERR_ARGUMENT", kernel, "scale must be finite, got %g", scale);
  expect_shape(kernel, "logSumExp", log_sum_exp, q.shape[0], heads, q.shape[1]);
  expect_contiguous(kernel, "logSumExp", log_sum_exp);
}

// Rows of a head, and those of a part's tiles.
struct Positions {
  int64_t begin, end;
};
Positions positions_of(const Layout& l, const Part& part) {
  return {l.begin(part.begin), at_most(l.begin(part.end), l.S)};
}

// --- Matrices of bf16 are computed with in float32: widened before they are read, rounded when they are complete.

Matrix widened(HeadMatrix<float> m, Positions, int64_t, float*) { return {m.data, m.stride}; }
// Rows of m, at the same rows of the [S, D] matrix `to`.
Matrix widened(HeadMatrix<bf16> m, Positions of, int64_t D, float* to) {
  for (int64_t i = of.begin; i < of.end; i++)
    for (int64_t d = 0; d < D; d += kLanes) {
      int64_t left = at_most(D - d, kLanes);
      store_first(to + i * D + d, load_first(m.row(i) + d, left), left);
    }
  return {to, D};
}

// Where to compute what belongs in m; write_rounded() then brings it there.
Matrix to_be_rounded(HeadMatrix<float> m, int64_t, float*) { return {m.data, m.stride}; }
Matrix to_be_rounded(HeadMatrix<bf16>, int64_t D, float* to) { return {to, D}; }
void write_rounded(Matrix, HeadMatrix<float>, Positions, int64_t) {}
void write_rounded(Matrix from, HeadMatrix<bf16> m, Positions of, int64_t D) {
  for (int64_t i = of.begin; i < of.end; i++)
    for (int64_t d = 0; d < D; d += kLanes) {
      int64_t left = at_most(D - d, kLanes);
      store_first(m.row(i) + d, load_first(from.row(i) + d, left), left);
    }
}

// --- Forward.

struct ForwardAreas : Areas {
  int64_t keys, values, left, scores;
  int64_t images[4];  // [S, D] each, of bf16 images
  ForwardAreas(const Layout& l, DType dtype) {
    for (auto& area : images) area = take(dtype == DType::bf16 ? l.S * l.D : 0);
    keys = take(panels_floats(l.D, l.S));
    values = take(panels_floats(l.S, l.D));
    left = take(rows_floats(l.T, l.D > l.S ? l.D : l.S));
    scores = take(l.T * l.stride);
  }
};

// Turns a row of scores x into exp(x - max) and returns log Σ exp(x); `sum` receives Σ exp(x - max).
float exponentials(const Layout& l, float* x, float& sum) {
  for (int64_t j = l.S; j < l.width; j++) x[j] = -__builtin_inff();
  Vec top = load(x);
  for (int64_t j = kLanes; j < l.width; j += kLanes) top = max(top, load(x + j));
  float largest = max_lanes(top);
  Vec total = zero();
  for (int64_t j = 0; j < l.width; j += kLanes) {
    Vec e = exp(load(x + j) - splat(largest));
    store(x + j, e);
    total = total + e;
  }
  sum = sum_lanes(total);
  return static_cast<float>(largest + __builtin_log(static_cast<double>(sum)));
}

template <typename T>
void forward_part(const Call& call, const Layout& l, const ForwardAreas& areas, const Part& part, float* scratch) {
  const auto& [y_tensor, log_sum_exp_tensor, q_tensor, k_tensor, v_tensor] = tensors<5>(call);
  const Positions own = positions_of(l, part), all{0, l.S};
  auto read = [&](const Tensor& t, Positions of, int64_t area) {
    return widened(head_of<T>(t, l, part), of, l.D, scratch + area);
  };
  Matrix q = read(q_tensor, own, areas.images[0]);
  Matrix y = to_be_rounded(head_of<T>(y_tensor, l, part), l.D, scratch + areas.images[3]);
  float* log_sum_exp = numbers_of(log_sum_exp_tensor, l, part);
  Panels keys = pack_right_transposed(read(k_tensor, all, areas.images[1]), l.D, l.S, scratch + areas.keys);
  Panels values = pack_right(read(v_tensor, all, areas.images[2]), l.S, l.D, scratch + areas.values);
  Matrix scores{scratch + areas.scores, l.stride};
  for (int64_t tile = part.begin; tile < part.end; tile++) {
    int64_t begin = l.begin(tile), rows = l.rows(tile);
    Matrix out{y.row(begin), y.stride};
    Rows left = pack_left({q.row(begin), q.stride}, rows, l.D, scratch + areas.left);
    multiply(rows, l.width, l.D, l.scale, left, keys, scores);
    float sums[kMostTileRows];
    for (int64_t i = 0; i < rows; i++) log_sum_exp[begin + i] = exponentials(l, scores.row(i), sums[i]);
    left = pack_left(scores, rows, l.S, scratch + areas.left);
    multiply(rows, l.D, l.S, 1, left, values, out);
    for (int64_t i = 0; i < rows; i++) {
      float inverse = 1 / sums[i], *row = out.row(i);
      for (int64_t d = 0; d < l.D; d++) row[d] *= inverse;
    }
  }
  write_rounded(y, head_of<T>(y_tensor, l, part), own, l.D);
}

// --- Backward.

struct BackwardAreas : Areas {
  int64_t transposed[2], straight[2];  // panels of [D, S] and [S, D]
  int64_t tile;                        // panels of [T, D]
  int64_t left, left_transposed;       // rows of [T, D] or [T, S]; of [S, T]
  int64_t p, dx;                       // scores [T, S]
  int64_t log_sum_exp, delta;          // [S]
  int64_t images[8];                   // [S, D] each, of bf16 images
  BackwardAreas(const Layout& l, DType dtype) {
    for (auto& area : images) area = take(dtype == DType::bf16 ? l.S * l.D : 0);
    for (auto& area : transposed) area = take(panels_floats(l.D, l.S));
    for (auto& area : straight) area = take(panels_floats(l.S, l.D));
    tile = take(panels_floats(l.T, l.D));
    left = take(rows_floats(l.T, l.D > l.S ? l.D : l.S));
    left_transposed = take(rows_floats(l.S, l.T));
    p = take(l.T * l.stride);
    dx = take(l.T * l.stride);
    log_sum_exp = take(l.width);
    delta = take(l.width);
  }
};

struct Head {
  Matrix dq, dk, dv, dy, y, q, k, v;
  const float* log_sum_exp;
};
template <typename T>
Head head_at(const Call& call, const Layout& l, const Part& part, Positions queries, Positions keys,
             const BackwardAreas& areas, float* scratch) {
  const auto& [dq, dk, dv, dy, y, log_sum_exp, q, k, v] = tensors<9>(call);
  int next = 0;
  auto read = [&](const Tensor& t, Positions of) {
    return widened(head_of<T>(t, l, part), of, l.D, scratch + areas.images[next++]);
  };
  auto write = [&](const Tensor& t) {
    return to_be_rounded(head_of<T>(t, l, part), l.D, scratch + areas.images[next++]);
  };
  Head head{};
  head.dq = write(dq), head.dk = write(dk), head.dv = write(dv);
  head.dy = read(dy, queries), head.y = read(y, queries), head.q = read(q, queries);
  head.k = read(k, keys), head.v = read(v, keys);
  head.log_sum_exp = numbers_of(log_sum_exp, l, part);
  return head;
}

// One row: p = exp(x - L) in place of x, dx = p (dp - δ) in place of dp; statistics(j, L, δ) gives both for the columns
// from j.
template <typename Statistics>
DIFFUSE_INLINE void gradient_row(const Layout& l, float* p, float* dx, Statistics&& statistics) {
  for (int64_t j = 0; j < l.width; j += kLanes) {
    Vec log_sum_exp, delta;
    statistics(j, log_sum_exp, delta);
    Vec e = exp(load(p + j) - log_sum_exp);
    store(p + j, e);
    store(dx + j, e * (load(dx + j) - delta));
  }
}

// dq for the part's tiles of queries; with `whole`, where the part is the whole head, dk and dv too.
void backward_queries(const Head& head, const Layout& l, const BackwardAreas& areas, const Part& part, float* scratch,
                      bool whole) {
  Panels keys_transposed = pack_right_transposed(head.k, l.D, l.S, scratch + areas.transposed[0]);
  Panels values_transposed = pack_right_transposed(head.v, l.D, l.S, scratch + areas.transposed[1]);
  Panels keys = pack_right(head.k, l.S, l.D, scratch + areas.straight[0]);
  Matrix p{scratch + areas.p, l.stride}, dx{scratch + areas.dx, l.stride};
  for (int64_t tile = part.begin; tile < part.end; tile++) {
    int64_t begin = l.begin(tile), rows = l.rows(tile);
    Matrix q{head.q.row(begin), head.q.stride}, dy{head.dy.row(begin), head.dy.stride};
    multiply(rows, l.width, l.D, l.scale, pack_left(q, rows, l.D, scratch + areas.left), keys_transposed, p);
    multiply(rows, l.width, l.D, 1, pack_left(dy, rows, l.D, scratch + areas.left), values_transposed, dx);
    for (int64_t i = 0; i < rows; i++) {
      Vec log_sum_exp = splat(head.log_sum_exp[begin + i]);
      Vec delta = splat(dot(dy.row(i), head.y.row(begin + i), l.D));
      gradient_row(l, p.row(i), dx.row(i), [&](int64_t, Vec& of_row, Vec& delta_of_row) {
        of_row = log_sum_exp;
        delta_of_row = delta;
      });
    }
    Rows left = pack_left(dx, rows, l.S, scratch + areas.left);
    multiply(rows, l.D, l.S, l.scale, left, keys, {head.dq.row(begin), head.dq.stride});
    if (!whole) continue;
    left = pack_left_transposed(p, l.S, rows, scratch + areas.left_transposed);
    multiply(l.S, l.D, rows, 1, left, pack_right(dy, rows, l.D, scratch + areas.tile), head.dv, tile > 0);
    left = pack_left_transposed(dx, l.S, rows, scratch + areas.left_transposed);
    multiply(l.S, l.D, rows, l.scale, left, pack_right(q, rows, l.D, scratch + areas.tile), head.dk, tile > 0);
  }
}

// dk and dv for the part's tiles of keys, from the transposed matrix. Every product and sum has the order that
// backward_queries() gives it, tile of queries by tile of queries, so the bits are the same.
void backward_keys(const Head& head, const Layout& l, const BackwardAreas& areas, const Part& part, float* scratch) {
  Panels queries_transposed = pack_right_transposed(head.q, l.D, l.S, scratch + areas.transposed[0]);
  Panels dy_transposed = pack_right_transposed(head.dy, l.D, l.S, scratch + areas.transposed[1]);
  Panels queries = pack_right(head.q, l.S, l.D, scratch + areas.straight[0]);
  Panels dy = pack_right(head.dy, l.S, l.D, scratch + areas.straight[1]);
  float *log_sum_exp = scratch + areas.log_sum_exp, *delta = scratch + areas.delta;
  for (int64_t i = 0; i < l.width; i++) {
    log_sum_exp[i] = i < l.S ? head.log_sum_exp[i] : 0;
    delta[i] = i < l.S ? dot(head.dy.row(i), head.y.row(i), l.D) : 0;
  }
  Matrix p{scratch + areas.p, l.stride}, dx{scratch + areas.dx, l.stride};
  for (int64_t tile = part.begin; tile < part.end; tile++) {
    int64_t begin = l.begin(tile), rows = l.rows(tile);
    Matrix k{head.k.row(begin), head.k.stride}, v{head.v.row(begin), head.v.stride};
    multiply(rows, l.width, l.D, l.scale, pack_left(k, rows, l.D, scratch + areas.left), queries_transposed, p);
    multiply(rows, l.width, l.D, 1, pack_left(v, rows, l.D, scratch + areas.left), dy_transposed, dx);
    for (int64_t i = 0; i < rows; i++) {
      gradient_row(l, p.row(i), dx.row(i), [&](int64_t j, Vec& of_columns, Vec& delta_of_columns) {
        of_columns = load(log_sum_exp + j);
        delta_of_columns = load(delta + j);
      });
    }
    auto multiply_by_tiles = [&](float alpha, Matrix a, Panels b, Matrix c) {
      Rows left = pack_left(a, rows, l.S, scratch + areas.left);
      for (int64_t t = 0; t < l.tiles; t++) {
        int64_t first = l.begin(t);
        multiply(rows, l.D, l.rows(t), alpha, left.from_depth(first), b.from_depth(first), c, t > 0);
      }
    };
    multiply_by_tiles(1, p, dy, {head.dv.row(begin), head.dv.stride});
    multiply_by_tiles(l.scale, dx, queries, {head.dk.row(begin), head.dk.stride});
  }
}

}  // namespace

size_t attention_forward_prepare(const Call& call) {
  const auto& [y, log_sum_exp, q, k, v] = tensors<5>(call);
  const auto& [heads, scale] = attributes<2>(call);
  check("attention_forward", q, log_sum_exp, heads, scale);
  expect_same_shape("attention_forward", "k", k, q);
  expect_same_shape("attention_forward", "v", v, q);
  expect_same_shape("attention_forward", "y", y, q);
  return sizeof(float) * thread_count(call.workers) * ForwardAreas(layout_of(q, heads, scale), q.dtype).floats;
}

void attention_forward(const Call& call) {
  const auto& [heads, scale] = attributes<2>(call);
  const Tensor& q = tensors<5>(call)[2];
  Layout l = layout_of(q, heads, scale);
  ForwardAreas areas(l, q.dtype);
  int64_t parts = parts_of(l, thread_count(call.workers));
  with_images(q, [&](auto element) {
    parallel_for(call, l.N * l.H * parts, [&](int64_t index, int thread) {
      float* scratch = reinterpret_cast<float*>(call.scratch) + thread * areas.floats;
      forward_part<decltype(element)>(call, l, areas, part_at(l, parts, index), scratch);
    });
  });
}

size_t attention_backward_prepare(const Call& call) {
  const auto& [dq, dk, dv, dy, y, log_sum_exp, q, k, v] = tensors<9>(call);
  const auto& [heads, scale] = attributes<2>(call);
  const char* kernel = "attention_backward";
  check(kernel, q, log_sum_exp, heads, scale);
  expect_same_shape(kernel, "k", k, q);
  expect_same_shape(kernel, "v", v, q);
  expect_same_shape(kernel, "y", y, q);
  expect_same_shape(kernel, "dy", dy, q);
  expect_same_shape(kernel, "dq", dq, q);
  expect_same_shape(kernel, "dk", dk, q);
  expect_same_shape(kernel, "dv", dv, q);
  return sizeof(float) * thread_count(call.workers) * BackwardAreas(layout_of(q, heads, scale), q.dtype).floats;
}

template <typename T>
static void backward(const Call& call) {
  const auto& [attribute_heads, scale] = attributes<2>(call);
  const auto& [dq, dk, dv, dy, y, log_sum_exp, q, k, v] = tensors<9>(call);
  Layout l = layout_of(q, attribute_heads, scale);
  BackwardAreas areas(l, q.dtype);
  auto scratch_of = [&](int thread) { return reinterpret_cast<float*>(call.scratch) + thread * areas.floats; };
  auto write = [&](Matrix from, const Tensor& t, const Part& part, Positions of) {
    write_rounded(from, head_of<T>(t, l, part), of, l.D);
  };
  const Positions all{0, l.S};
  // A whole head in one task takes five products. Where that would leave threads idle, heads are cut into tiles of
  // queries for dq and tiles of keys for dk and dv, which takes seven.
  int threads = thread_count(call.workers);
  int64_t heads = l.N * l.H, rounds = (heads + threads - 1) / threads;
  if (rounds * threads * 5 <= heads * 7) {
    parallel_for(call, heads, [&](int64_t index, int thread) {
      Part part = part_at(l, 1, index);
      Head head = head_at<T>(call, l, part, all, all, areas, scratch_of(thread));
      backward_queries(head, l, areas, part, scratch_of(thread), true);
      write(head.dq, dq, part, all), write(head.dk, dk, part, all), write(head.dv, dv, part, all);
    });
    return;
  }
  int64_t parts = parts_of(l, threads);
  parallel_for(call, 2 * heads * parts, [&](int64_t index, int thread) {
    Part part = part_at(l, parts, index / 2);
    Positions own = positions_of(l, part);
    if (index % 2 == 0) {
      Head head = head_at<T>(call, l, part, own, all, areas, scratch_of(thread));
      backward_queries(head, l, areas, part, scratch_of(thread), false);
      write(head.dq, dq, part, own);
    } else {
      Head head = head_at<T>(call, l, part, all, own, areas, scratch_of(thread));
      backward_keys(head, l, areas, part, scratch_of(thread));
      write(head.dk, dk, part, own), write(head.dv, dv, part, own);
    }
  });
}

void attention_backward(const Call& call) {
  with_images(tensors<9>(call)[6], [&](auto element) { backward<decltype(element)>(call); });
}

}  // namespace diffuse::DIFFUSE_ISA
