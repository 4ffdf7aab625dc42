// Multi-head attention on the CPU (ops/attention.h has the formulas). A task takes a tile of queries of one head at a
// time and holds its rows of the S x S matrix in cache: scores, exponentials and both products before the next tile.
//
// Legend: N samples, S positions, H heads, D channels a head, T rows of a tile.
#include "ops/attention.h"

#include "cpu/parallel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// --- Small dense products: C[m, n] = A[m, k] B[k, n], with B packed into panels of kPanel columns, [n /
// kPanel][k][kPanel]. Every element of C is one chain of madd() over k in order, whatever the blocking; so two ways to
// compute it agree bit for bit.

constexpr int kPanel = 2 * kLanes;
constexpr int kMaxRows = (kRegisters - 4) / 2;  // two vectors of accumulators a row, two of B, one of A

// A matrix whose element (i, j) is data[i * row + j * column].
struct View {
  const float* data;
  int64_t row, column;
};

template <int Rows, int Vectors>
void multiply_block(int64_t k, View a, const float* b, float* c, int64_t c_row, int64_t width, bool accumulate) {
  Vec sum[Rows][Vectors];
  DIFFUSE_UNROLL for (int i = 0; i < Rows; i++) {
    DIFFUSE_UNROLL for (int j = 0; j < Vectors; j++) {
      int64_t left = width - j * kLanes;
      const float* from = c + i * c_row + j * kLanes;
      sum[i][j] = !accumulate ? zero() : left >= kLanes ? load(from) : load_first(from, left);
    }
  }
  for (int64_t p = 0; p < k; p++) {
    Vec right[Vectors];
    DIFFUSE_UNROLL for (int j = 0; j < Vectors; j++) right[j] = load(b + p * kPanel + j * kLanes);
    const float* left = a.data + p * a.column;
    DIFFUSE_UNROLL for (int i = 0; i < Rows; i++) {
      Vec x = splat(left[i * a.row]);
      DIFFUSE_UNROLL for (int j = 0; j < Vectors; j++) sum[i][j] = madd(x, right[j], sum[i][j]);
    }
  }
  DIFFUSE_UNROLL for (int i = 0; i < Rows; i++) {
    DIFFUSE_UNROLL for (int j = 0; j < Vectors; j++) {
      int64_t left = width - j * kLanes;
      float* to = c + i * c_row + j * kLanes;
      if (left >= kLanes) {
        store(to, sum[i][j]);
      } else {
        store_first(to, sum[i][j], left);
      }
    }
  }
}

template <int Rows>
DIFFUSE_INLINE void multiply_rows(int rows, int64_t k, View a, const float* b, float* c, int64_t c_row, int64_t width,
                                  bool accumulate) {
  if constexpr (Rows > 0) {
    if (rows < Rows) return multiply_rows<Rows - 1>(rows, k, a, b, c, c_row, width, accumulate);
    if (width > kLanes) return multiply_block<Rows, 2>(k, a, b, c, c_row, width, accumulate);
    multiply_block<Rows, 1>(k, a, b, c, c_row, width, accumulate);
  }
}

// C[m, n] = A[m, k] B[k, n], or C += with `accumulate`.
void multiply(int64_t m, int64_t n, int64_t k, View a, const float* b, float* c, int64_t c_row,
              bool accumulate = false) {
  int64_t blocks = (m + kMaxRows - 1) / kMaxRows;
  for (int64_t j = 0; j < n; j += kPanel, b += k * kPanel) {
    int64_t width = n - j < kPanel ? n - j : kPanel;
    for (int64_t block = 0; block < blocks; block++) {
      int64_t i = m * block / blocks, end = m * (block + 1) / blocks;
      View part{a.data + i * a.row, a.row, a.column};
      multiply_rows<kMaxRows>(static_cast<int>(end - i), k, part, b, c + i * c_row + j, c_row, width, accumulate);
    }
  }
}

// Packs B[k, n], given by its rows `stride` apart. Columns beyond n are zero.
void pack_rows(int64_t k, int64_t n, const float* b, int64_t stride, float* packed) {
  for (int64_t j = 0; j < n; j += kPanel) {
    int64_t width = n - j < kPanel ? n - j : kPanel;
    int64_t first = width < kLanes ? width : kLanes, second = width - first;
    for (int64_t p = 0; p < k; p++, packed += kPanel) {
      const float* from = b + p * stride + j;
      store(packed, first == kLanes ? load(from) : load_first(from, first));
      store(packed + kLanes, second == kLanes ? load(from + kLanes) : load_first(from + kLanes, second));
    }
  }
}

// Swaps the off-diagonal blocks of `Half` lanes: with Half = kLanes / 2, …, 2, 1 in turn this transposes.
template <int Half>
DIFFUSE_INLINE void transpose_lanes(Vec (&r)[kLanes]) {
  if constexpr (Half > 0) {
    VecInt low, high;
    for (int i = 0; i < kLanes; i++) {
      low[i] = i & Half ? kLanes + i - Half : i;
      high[i] = i & Half ? kLanes + i : i + Half;
    }
    DIFFUSE_UNROLL for (int i = 0; i < kLanes; i++) {
      if (i & Half) continue;
      Vec a = r[i], b = r[i + Half];
      r[i] = __builtin_shuffle(a, b, low);
      r[i + Half] = __builtin_shuffle(a, b, high);
    }
    transpose_lanes<Half / 2>(r);
  }
}

// Packs B[k, n], given by its columns `stride` apart (the rows of its transpose). Columns beyond n are zero.
void pack_columns(int64_t k, int64_t n, const float* columns, int64_t stride, float* packed) {
  for (int64_t j = 0; j < n; j += kPanel, packed += k * kPanel) {
    for (int64_t half = 0; half < kPanel; half += kLanes) {
      int64_t width = n - j - half < kLanes ? n - j - half : kLanes;
      const float* from = columns + (j + half) * stride;
      for (int64_t p = 0; p < k; p += kLanes) {
        int64_t depth = k - p < kLanes ? k - p : kLanes;
        Vec r[kLanes];
        DIFFUSE_UNROLL for (int i = 0; i < kLanes; i++) {
          r[i] = i >= width        ? zero()
                 : depth == kLanes ? load(from + i * stride + p)
                                   : load_first(from + i * stride + p, depth);
        }
        transpose_lanes<kLanes / 2>(r);
        for (int64_t i = 0; i < depth; i++) store(packed + (p + i) * kPanel + half, r[i]);
      }
    }
  }
}

// --- Shapes, tiles and scratch.

constexpr int64_t kMaxTile = 64;
constexpr int64_t kTileFloats = 1 << 17;  // of the S x S matrix that a tile may hold: 512 KiB

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

struct Sizes {
  int64_t samples, positions, heads, depth;
  int64_t tile_rows, tiles;                // T at most, and tiles a head
  int64_t width, stride;                   // columns of a tile's scores, padded to panels; distance of its rows
  int64_t packed_positions, packed_depth;  // floats of a packed [D, S] and a packed [S, D]
  float scale;

  int64_t tile_begin(int64_t tile) const { return positions * tile / tiles; }
};

Sizes sizes_of(const Tensor& q, double heads, double scale) {
  Sizes s{};
  s.samples = q.shape[0];
  s.positions = q.shape[1];
  s.heads = static_cast<int64_t>(heads);
  s.depth = q.shape[2] / s.heads;
  int64_t rows = kTileFloats / s.positions;
  s.tile_rows = rows > kMaxTile ? kMaxTile : rows < 16 ? 16 : rows;
  s.tiles = (s.positions + s.tile_rows - 1) / s.tile_rows;
  s.width = round_up(s.positions, kPanel);
  s.stride = s.width + kLanes;  // rows a power of two apart would share cache sets
  s.packed_positions = round_up(s.width * s.depth, 16);
  s.packed_depth = round_up(s.positions * round_up(s.depth, kPanel), 16);
  s.scale = static_cast<float>(scale);
  return s;
}

// Which part of a task's work is where: head `head` of sample `sample`, tiles [begin, end).
struct Part {
  int64_t sample, head, begin, end;
};

// Tasks a head: one, unless there are too few heads to occupy the threads. Only the packing is done anew in each.
int64_t parts_of(const Sizes& s, int threads) {
  int64_t heads = s.samples * s.heads, wanted = (4 * threads + heads - 1) / heads;
  if (heads >= 2 * threads) wanted = 1;
  return wanted < s.tiles ? wanted : s.tiles;
}
Part part_at(const Sizes& s, int64_t parts, int64_t index) {
  int64_t head = index / parts, part = index % parts;
  return {head / s.heads, head % s.heads, s.tiles * part / parts, s.tiles * (part + 1) / parts};
}

// One head of one sample as a matrix [S, D].
struct Head {
  float* data;
  int64_t stride;
  float* row(int64_t i) const { return data + i * stride; }
  View view(int64_t i) const { return {row(i), stride, 1}; }
};
Head head_of(const Tensor& t, const Sizes& s, const Part& part) {
  return {f32(t) + part.sample * s.positions * t.row_stride + part.head * s.depth, t.row_stride};
}

void check(const char* kernel, const Tensor* const* like_q, const char* const* names, int count,
           const Tensor& log_sum_exp, double heads, double scale) {
  const Tensor& q = *like_q[0];
  if (q.rank != 3) fail("ERR_SHAPE", kernel, "%s must have rank 3 [N, S, C], got rank %d", names[0], q.rank);
  if (elements(q) < 1) fail("ERR_SHAPE", kernel, "%s must not be empty", names[0]);
  for (int i = 1; i < count; i++) {
    if (!same_shape(q, *like_q[i])) fail("ERR_SHAPE", kernel, "%s must have the shape of %s", names[i], names[0]);
  }
  if (!(heads >= 1) || heads != static_cast<double>(static_cast<int64_t>(heads)))
    fail("ERR_ARGUMENT", kernel, "heads must be a positive integer, got %g", heads);
  int64_t count_of_heads = static_cast<int64_t>(heads);
  if (q.shape[2] % count_of_heads != 0)
    fail("ERR_SHAPE", kernel, "heads must divide the channels: %lld channels, %lld heads",
         static_cast<long long>(q.shape[2]), static_cast<long long>(count_of_heads));
  if (!(scale - scale == 0)) fail("ERR_ARGUMENT", kernel, "scale must be finite, got %g", scale);
  const Tensor& l = log_sum_exp;
  if (l.rank != 3 || l.shape[0] != q.shape[0] || l.shape[1] != count_of_heads || l.shape[2] != q.shape[1] ||
      !is_contiguous(l))
    fail("ERR_SHAPE", kernel, "logSumExp must be contiguous [N, H, S] = [%lld, %lld, %lld]",
         static_cast<long long>(q.shape[0]), static_cast<long long>(count_of_heads),
         static_cast<long long>(q.shape[1]));
}

// --- Forward.

// Turns a row of dot products into exp(x - max) with x = scale · dot, and returns log Σ exp(x); `sum` receives Σ exp(x
// - max).
float exponentials(float* row, const Sizes& s, float& sum) {
  Vec factor = splat(s.scale), top = splat(-__FLT_MAX__);
  // The padding must not win: the smallest float leaves nothing after exp().
  for (int64_t j = s.positions; j < s.width; j++) row[j] = 0;
  for (int64_t j = 0; j < s.width; j += kLanes) store(row + j, load(row + j) * factor);
  for (int64_t j = s.positions; j < s.width; j++) row[j] = -__FLT_MAX__;
  for (int64_t j = 0; j < s.width; j += kLanes) top = max(top, load(row + j));
  float largest = max_lanes(top);
  Vec total = zero();
  for (int64_t j = 0; j < s.width; j += kLanes) {
    Vec e = exp(load(row + j) - splat(largest));
    store(row + j, e);
    total = total + e;
  }
  sum = sum_lanes(total);
  return static_cast<float>(largest + __builtin_log(static_cast<double>(sum)));
}

struct ForwardScratch {
  float *keys, *values, *scores;  // kᵀ [D, S] and v [S, D], packed; a tile's scores [T, S]
};
int64_t forward_floats(const Sizes& s) {
  return s.packed_positions + s.packed_depth + round_up(s.tile_rows * s.stride, 16);
}

void forward_part(const Call& call, const Sizes& s, const Part& part, const ForwardScratch& scratch) {
  using At = AttentionForward;
  Head y = head_of(call.tensors[At::y], s, part), q = head_of(call.tensors[At::q], s, part);
  Head k = head_of(call.tensors[At::k], s, part), v = head_of(call.tensors[At::v], s, part);
  float* log_sum_exp = f32(call.tensors[At::logSumExp]) + (part.sample * s.heads + part.head) * s.positions;
  pack_columns(s.depth, s.positions, k.data, k.stride, scratch.keys);
  pack_rows(s.positions, s.depth, v.data, v.stride, scratch.values);
  for (int64_t tile = part.begin; tile < part.end; tile++) {
    int64_t begin = s.tile_begin(tile), rows = s.tile_begin(tile + 1) - begin;
    multiply(rows, s.width, s.depth, q.view(begin), scratch.keys, scratch.scores, s.stride);
    float sums[kMaxTile];
    for (int64_t i = 0; i < rows; i++) log_sum_exp[begin + i] = exponentials(scratch.scores + i * s.stride, s, sums[i]);
    multiply(rows, s.depth, s.positions, {scratch.scores, s.stride, 1}, scratch.values, y.row(begin), y.stride);
    for (int64_t i = 0; i < rows; i++) {
      float inverse = 1 / sums[i], *row = y.row(begin + i);
      for (int64_t d = 0; d < s.depth; d++) row[d] *= inverse;
    }
  }
}

// --- Backward.

// p = exp(scale · p - L) and dx · scale = p (dx - δ) scale, for one row; L and δ differ from column to column where the
// row belongs to a key, and are the same for all of them where it belongs to a query.
template <typename AtColumn>
DIFFUSE_INLINE void gradient_row(float* p, float* dx, const Sizes& s, AtColumn&& at_column) {
  Vec factor = splat(s.scale);
  for (int64_t j = 0; j < s.width; j += kLanes) {
    Vec log_sum_exp, delta;
    at_column(j, log_sum_exp, delta);
    Vec e = exp(load(p + j) * factor - log_sum_exp);
    store(p + j, e);
    store(dx + j, e * (load(dx + j) - delta) * factor);
  }
}

// Packed operands ([D, S] for products with a transpose, [S, D] else), the tile's p and dx, its packed rows.
struct BackwardScratch {
  float *transposed[2], *straight[2], *p, *dx, *tile[2];
  float *log_sum_exp, *delta;  // [S], padded with zeros
};

int64_t tile_floats(const Sizes& s) { return round_up(s.tile_rows * s.stride, 16); }
int64_t tile_pack_floats(const Sizes& s) { return round_up(s.tile_rows * round_up(s.depth, kPanel), 16); }
int64_t backward_floats(const Sizes& s) {
  return 2 * (s.packed_positions + s.packed_depth + tile_floats(s) + tile_pack_floats(s) + round_up(s.width, 16));
}
BackwardScratch backward_scratch(float* at, const Sizes& s) {
  auto take = [&at](int64_t floats) {
    float* here = at;
    at += floats;
    return here;
  };
  BackwardScratch b;
  for (auto& area : b.transposed) area = take(s.packed_positions);
  for (auto& area : b.straight) area = take(s.packed_depth);
  for (auto& area : b.tile) area = take(tile_pack_floats(s));
  b.p = take(tile_floats(s));
  b.dx = take(tile_floats(s));
  b.log_sum_exp = take(round_up(s.width, 16));
  b.delta = take(round_up(s.width, 16));
  return b;
}

struct Gradients {
  Head dq, dk, dv, dy, y, q, k, v;
  const float* log_sum_exp;
};
Gradients gradients_of(const Call& call, const Sizes& s, const Part& part) {
  using At = AttentionBackward;
  auto head = [&](int index) { return head_of(call.tensors[index], s, part); };
  return {
      head(At::dq), head(At::dk), head(At::dv),
      head(At::dy), head(At::y),  head(At::q),
      head(At::k),  head(At::v),  f32(call.tensors[At::logSumExp]) + (part.sample * s.heads + part.head) * s.positions};
}

float dot(const float* a, const float* b, int64_t n) {
  Vec sum = zero();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = madd(load(a + i), load(b + i), sum);
  return sum_lanes(madd(load_first(a + i, n - i), load_first(b + i, n - i), sum));
}

// dq of the part's query tiles and, with `all`, dk and dv, which then needs the part to be the whole head.
void backward_queries(const Gradients& g, const Sizes& s, const Part& part, const BackwardScratch& scratch, bool all) {
  pack_columns(s.depth, s.positions, g.k.data, g.k.stride, scratch.transposed[0]);
  pack_columns(s.depth, s.positions, g.v.data, g.v.stride, scratch.transposed[1]);
  pack_rows(s.positions, s.depth, g.k.data, g.k.stride, scratch.straight[0]);
  for (int64_t tile = part.begin; tile < part.end; tile++) {
    int64_t begin = s.tile_begin(tile), rows = s.tile_begin(tile + 1) - begin;
    multiply(rows, s.width, s.depth, g.q.view(begin), scratch.transposed[0], scratch.p, s.stride);
    multiply(rows, s.width, s.depth, g.dy.view(begin), scratch.transposed[1], scratch.dx, s.stride);
    for (int64_t i = 0; i < rows; i++) {
      Vec log_sum_exp = splat(g.log_sum_exp[begin + i]);
      Vec delta = splat(dot(g.dy.row(begin + i), g.y.row(begin + i), s.depth));
      gradient_row(scratch.p + i * s.stride, scratch.dx + i * s.stride, s, [&](int64_t, Vec& l, Vec& d) {
        l = log_sum_exp;
        d = delta;
      });
    }
    multiply(rows, s.depth, s.positions, {scratch.dx, s.stride, 1}, scratch.straight[0], g.dq.row(begin), g.dq.stride);
    if (!all) continue;
    pack_rows(rows, s.depth, g.dy.row(begin), g.dy.stride, scratch.tile[0]);
    multiply(s.positions, s.depth, rows, {scratch.p, 1, s.stride}, scratch.tile[0], g.dv.data, g.dv.stride, begin > 0);
    pack_rows(rows, s.depth, g.q.row(begin), g.q.stride, scratch.tile[1]);
    multiply(s.positions, s.depth, rows, {scratch.dx, 1, s.stride}, scratch.tile[1], g.dk.data, g.dk.stride, begin > 0);
  }
}

// dk and dv of the part's key tiles: the same numbers as above, from the transposed matrix.
void backward_keys(const Gradients& g, const Sizes& s, const Part& part, const BackwardScratch& scratch) {
  pack_columns(s.depth, s.positions, g.q.data, g.q.stride, scratch.transposed[0]);
  pack_columns(s.depth, s.positions, g.dy.data, g.dy.stride, scratch.transposed[1]);
  pack_rows(s.positions, s.depth, g.q.data, g.q.stride, scratch.straight[0]);
  pack_rows(s.positions, s.depth, g.dy.data, g.dy.stride, scratch.straight[1]);
  for (int64_t i = 0; i < s.width; i++) {
    bool inside = i < s.positions;
    scratch.log_sum_exp[i] = inside ? g.log_sum_exp[i] : 0;
    scratch.delta[i] = inside ? dot(g.dy.row(i), g.y.row(i), s.depth) : 0;
  }
  for (int64_t tile = part.begin; tile < part.end; tile++) {
    int64_t begin = s.tile_begin(tile), rows = s.tile_begin(tile + 1) - begin;
    multiply(rows, s.width, s.depth, g.k.view(begin), scratch.transposed[0], scratch.p, s.stride);
    multiply(rows, s.width, s.depth, g.v.view(begin), scratch.transposed[1], scratch.dx, s.stride);
    for (int64_t i = 0; i < rows; i++) {
      gradient_row(scratch.p + i * s.stride, scratch.dx + i * s.stride, s, [&](int64_t j, Vec& l, Vec& d) {
        l = load(scratch.log_sum_exp + j);
        d = load(scratch.delta + j);
      });
    }
    multiply(rows, s.depth, s.positions, {scratch.p, s.stride, 1}, scratch.straight[1], g.dv.row(begin), g.dv.stride);
    multiply(rows, s.depth, s.positions, {scratch.dx, s.stride, 1}, scratch.straight[0], g.dk.row(begin), g.dk.stride);
  }
}

}  // namespace

size_t attention_forward_prepare(const Call& call) {
  using At = AttentionForward;
  const Tensor* t = call.tensors;
  const Tensor* like_q[] = {t + At::q, t + At::k, t + At::v, t + At::y};
  const char* names[] = {"q", "k", "v", "y"};
  double heads = call.attributes[At::heads], scale = call.attributes[At::scale];
  check("attention_forward", like_q, names, 4, t[At::logSumExp], heads, scale);
  return sizeof(float) * thread_count(call.workers) * forward_floats(sizes_of(t[At::q], heads, scale));
}

void attention_forward(const Call& call) {
  using At = AttentionForward;
  Sizes s = sizes_of(call.tensors[At::q], call.attributes[At::heads], call.attributes[At::scale]);
  int64_t parts = parts_of(s, thread_count(call.workers));
  parallel_for(call, s.samples * s.heads * parts, [&](int64_t index, int thread) {
    float* keys = reinterpret_cast<float*>(call.scratch) + thread * forward_floats(s);
    float* values = keys + s.packed_positions;
    forward_part(call, s, part_at(s, parts, index), {keys, values, values + s.packed_depth});
  });
}

size_t attention_backward_prepare(const Call& call) {
  using At = AttentionBackward;
  const Tensor* t = call.tensors;
  const Tensor* like_q[] = {t + At::q, t + At::k, t + At::v, t + At::y, t + At::dy, t + At::dq, t + At::dk, t + At::dv};
  const char* names[] = {"q", "k", "v", "y", "dy", "dq", "dk", "dv"};
  double heads = call.attributes[At::heads], scale = call.attributes[At::scale];
  check("attention_backward", like_q, names, 8, t[At::logSumExp], heads, scale);
  return sizeof(float) * thread_count(call.workers) * backward_floats(sizes_of(t[At::q], heads, scale));
}

void attention_backward(const Call& call) {
  using At = AttentionBackward;
  Sizes s = sizes_of(call.tensors[At::q], call.attributes[At::heads], call.attributes[At::scale]);
  int threads = thread_count(call.workers);
  auto scratch = [&](int thread) {
    return backward_scratch(reinterpret_cast<float*>(call.scratch) + thread * backward_floats(s), s);
  };
  // A head in one task costs five products. Where that leaves threads idle, heads are cut into tiles of queries for dq
  // and tiles of keys for dk and dv, which costs seven. Both ways give the same bits.
  int64_t heads = s.samples * s.heads;
  if ((heads + threads - 1) / threads * threads * 5 <= heads * 7) {
    parallel_for(call, heads, [&](int64_t index, int thread) {
      Part part = part_at(s, 1, index);
      backward_queries(gradients_of(call, s, part), s, part, scratch(thread), true);
    });
    return;
  }
  int64_t parts = parts_of(s, threads);
  parallel_for(call, 2 * heads * parts, [&](int64_t index, int thread) {
    Part part = part_at(s, parts, index / 2);
    Gradients g = gradients_of(call, s, part);
    if (index % 2 == 0) {
      backward_queries(g, s, part, scratch(thread), false);
    } else {
      backward_keys(g, s, part, scratch(thread));
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
