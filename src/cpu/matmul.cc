// SPDX-License-Identifier: Apache-2.0
// Drives the matmul kernels: rows of x1 are packed once per group of rows, the result is cut into strips of columns, and a task
// computes one strip for (a part of) the group, chunk of k by chunk of k. Every element is computed by one task in one order of k.
#include "src/core/matmul.h"

#include <algorithm>
#include <cstring>

#include "src/base/dtype.h"
#include "src/base/fp_mode.h"
#include "src/cpu/matmul_kernels.h"

namespace addnorm {
namespace {

constexpr size_t kBlock = 64;        // k that are summed from zero: the error bound of docs/numerics.md
constexpr size_t kStripCols = 128;   // of a task: running sums and x1's chunk share the L2 cache with one chunk of weights
constexpr size_t kFloatChunk = 256;  // k whose widened panel fits the L1 cache
constexpr size_t kIntChunk = 512;
constexpr size_t kMostBlocks = 64;      // of a chunk: short groups of scales
constexpr size_t kExactInt32 = 131071;  // k whose int8 products cannot leave int32
constexpr size_t kFlush = 131071 / kIntChunk * kIntChunk;
constexpr size_t kMostCols = 32;             // of a panel, on any target
constexpr size_t kSerial = size_t{1} << 18;  // products that are not worth waking a thread

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }
size_t Padded(size_t bytes) { return RoundUp(bytes, 64); }

// Sizes that follow from the arguments: the same for packing, for the workspace and for running.
struct Layout {
  const MatmulKernels& kernels;
  bool integer;
  size_t per_word, k_words, panels, panel_words;
  size_t chunk, x1_words;  // x1_words: of one packed row
  size_t most_rows;        // of a group
  size_t strip_panels, strips, slices;
  // One slice's scratch.
  size_t sums_bytes, wide_bytes, words_bytes, b_bytes, slice_bytes;

  Layout(const Target& target, const MatmulArgs& args, size_t rows, const Executor& executor)
      : kernels(MatmulKernelsOf(target.name)), integer(args.x1.dtype == DType::kI8) {
    per_word = 4 / SizeOf(args.x2.dtype);
    k_words = RoundUp(args.k, per_word) / per_word;
    panels = RoundUp(args.n, kernels.cols) / kernels.cols;
    panel_words = RoundUp(k_words * kernels.cols, 16);
    chunk = integer ? kIntChunk : kFloatChunk;
    x1_words = integer ? 2 * k_words : args.k;
    // The group's packed x1 should stay in the last-level cache, but each group reads all weights again.
    most_rows = std::min(rows, args.k <= 8192 ? 18 * kernels.max_rows : 6 * kernels.max_rows);
    strip_panels = std::max<size_t>(1, kStripCols / kernels.cols);
    strips = RoundUp(panels, strip_panels) / strip_panels;
    slices = 4 * executor.concurrency(executor.context);
    const size_t tile = strip_panels * most_rows * kernels.cols;
    sums_bytes = Padded(tile * 4);
    wide_bytes = integer && args.k > kExactInt32 ? Padded(tile * 8) : 0;
    words_bytes = Padded((chunk / per_word + 2) * kernels.cols * 4);
    b_bytes = Padded((integer ? chunk / 2 : chunk) * kernels.cols * 4);
    slice_bytes = sums_bytes + wide_bytes + words_bytes + b_bytes;
  }
  size_t x1_bytes() const { return Padded(most_rows * x1_words * 4); }
  size_t bytes() const { return x1_bytes() + slices * slice_bytes; }
};

WeightPart PartOf(const MatmulArgs& args, size_t column, size_t cols, RowRange k) {
  const size_t bytes = SizeOf(args.x2.dtype);
  WeightPart part = {static_cast<const std::byte*>(args.x2.data), args.x2.k_stride, args.x2.n_stride, bytes, k.begin, k.end, cols};
  part.data += static_cast<ptrdiff_t>(column) * args.x2.n_stride * static_cast<ptrdiff_t>(bytes);
  return part;
}

// Rows of x1 in tiles of nearly equal height.
struct Tiles {
  size_t rows, count;
  Tiles(size_t row_count, size_t most) : rows(row_count), count(RoundUp(row_count, most) / most) {}
  size_t Begin(size_t tile) const { return tile * (rows / count) + std::min(tile, rows % count); }
  size_t Rows(size_t tile) const { return Begin(tile + 1) - Begin(tile); }
};

// What all tasks of one group of rows share.
struct Group {
  const MatmulArgs& args;
  const Layout& layout;
  const uint32_t* packed;
  RowRange rows;  // of x1
  float* out;
  size_t out_stride;
  uint32_t* x1;  // packed rows
  std::byte* scratch;
  Tiles tiles;
  size_t row_parts, tasks, slices;
  uint64_t fp_mode;
};

void PackFloatRow(const Group& g, const void* row, size_t height, uint32_t* to) {
  float wide[256];
  const DType dtype = g.args.x1.dtype;
  for (size_t k = 0; k < g.args.k; k += std::size(wide)) {
    const size_t n = std::min(std::size(wide), g.args.k - k);
    g.layout.kernels.widen_row(static_cast<const std::byte*>(row) + k * SizeOf(dtype), dtype, n, wide);
    for (size_t i = 0; i < n; ++i) std::memcpy(to + (k + i) * height, &wide[i], 4);
  }
}

void PackIntRow(const Group& g, const void* row, size_t height, uint32_t* to) {
  for (size_t w = 0; w < g.layout.k_words; ++w) {
    int8_t q[4] = {};
    std::memcpy(q, static_cast<const std::byte*>(row) + 4 * w, std::min<size_t>(4, g.args.k - 4 * w));
    const auto pair = [](int8_t low, int8_t high) {
      return uint32_t{static_cast<uint16_t>(low)} | uint32_t{static_cast<uint16_t>(high)} << 16;
    };
    to[2 * w * height] = pair(q[0], q[2]);
    to[(2 * w + 1) * height] = pair(q[1], q[3]);
  }
}

void PackX1(void* arg, size_t begin, size_t end) {
  const Group& g = *static_cast<const Group*>(arg);
  const In& x1 = g.args.x1;
  for (size_t tile = begin; tile < end; ++tile) {
    const size_t first = g.tiles.Begin(tile), height = g.tiles.Rows(tile);
    for (size_t r = 0; r < height; ++r) {
      const auto offset = static_cast<ptrdiff_t>(g.rows.begin + first + r) * x1.row_stride * static_cast<ptrdiff_t>(SizeOf(x1.dtype));
      const void* row = static_cast<const std::byte*>(x1.data) + offset;
      (g.layout.integer ? PackIntRow : PackFloatRow)(g, row, height, g.x1 + first * g.layout.x1_words + r);
    }
  }
}

// A strip of columns for some tiles of rows.
class Task {
 public:
  Task(const Group& group, size_t index, std::byte* scratch) : g_(group), l_(group.layout), cols_(l_.kernels.cols) {
    const size_t strip = index / g_.row_parts, part = index % g_.row_parts;
    first_panel_ = strip * l_.panels / l_.strips, last_panel_ = (strip + 1) * l_.panels / l_.strips;
    first_tile_ = part * g_.tiles.count / g_.row_parts, last_tile_ = (part + 1) * g_.tiles.count / g_.row_parts;
    first_row_ = g_.tiles.Begin(first_tile_), rows_ = g_.tiles.Begin(last_tile_) - first_row_;
    sums_ = reinterpret_cast<uint32_t*>(scratch);
    wide_ = reinterpret_cast<int64_t*>(scratch + l_.sums_bytes);
    words_ = reinterpret_cast<uint32_t*>(scratch + l_.sums_bytes + l_.wide_bytes);
    b_ = reinterpret_cast<uint32_t*>(scratch + l_.sums_bytes + l_.wide_bytes + l_.words_bytes);
  }

  void Run() {
    const size_t sums = (last_panel_ - first_panel_) * rows_ * cols_;
    std::memset(sums_, 0, sums * 4);
    if (l_.wide_bytes != 0) std::memset(wide_, 0, sums * 8);
    if (l_.integer) {
      for (size_t k = 0; k < g_.args.k; k += kIntChunk) {
        IntChunk({k, std::min(k + kIntChunk, g_.args.k)});
        if (l_.wide_bytes != 0 && (k + kIntChunk) % kFlush == 0) Flush(sums);
      }
      if (l_.wide_bytes != 0) Flush(sums);
    } else {
      for (size_t k = 0; k < g_.args.k;) k = FloatChunk(k);
    }
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) Finish(panel);
  }

 private:
  size_t ColsOf(size_t panel) const { return std::min(cols_, g_.args.n - panel * cols_); }
  uint32_t* SumsOf(size_t panel) const { return sums_ + (panel - first_panel_) * rows_ * cols_; }

  // The words that hold [k.begin, k.end) of a panel, and the k of the first of them.
  const uint32_t* Words(size_t panel, RowRange k, size_t* origin) const {
    *origin = k.begin / l_.per_word * l_.per_word;
    if (g_.packed != nullptr) return g_.packed + panel * l_.panel_words + *origin / l_.per_word * cols_;
    l_.kernels.pack(PartOf(g_.args, panel * cols_, ColsOf(panel), {*origin, k.end}), words_);
    return words_;
  }

  void RunTiles(size_t panel, size_t x1_word, const void* b, std::span<const MatmulBlock> blocks) const {
    const TileKernel kernel = l_.integer ? l_.kernels.int16 : l_.kernels.f32;
    uint32_t* sums = SumsOf(panel);
    for (size_t tile = first_tile_; tile < last_tile_; ++tile) {
      const size_t first = g_.tiles.Begin(tile), height = g_.tiles.Rows(tile);
      kernel(height, {g_.x1 + first * l_.x1_words + x1_word * height, b, sums + (first - first_row_) * cols_, blocks});
    }
  }

  void IntChunk(RowRange k) {
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) {
      size_t origin;
      const uint32_t* words = Words(panel, k, &origin);
      const size_t count = RoundUp(k.end - k.begin, 4) / 4;
      l_.kernels.split(words, count, b_);
      const MatmulBlock block = {0, 2 * count, nullptr};
      RunTiles(panel, k.begin / 2, b_, {&block, 1});
    }
  }
  // int32 sums into int64 ones.
  void Flush(size_t count) {
    for (size_t i = 0; i < count; ++i) wide_[i] += static_cast<int32_t>(sums_[i]);
    std::memset(sums_, 0, count * 4);
  }

  size_t GroupSize() const {
    const size_t group = g_.args.antiquant.group;
    return g_.args.x2.dtype != DType::kI8 || group == 0 ? g_.args.k : group;
  }
  // One value per column of a panel; zero beyond the last one.
  void PerColumn(const void* data, DType dtype, ptrdiff_t offset, ptrdiff_t n_stride, size_t panel, float* to) const {
    const size_t cols = ColsOf(panel);
    for (size_t j = 0; j < cols_; ++j) {
      const ptrdiff_t at = offset + static_cast<ptrdiff_t>(panel * cols_ + j) * n_stride;
      to[j] = j < cols ? static_cast<float>(LoadElement(data, dtype, static_cast<size_t>(at))) : 0.0f;
    }
  }

  size_t FloatChunk(size_t k_begin) {
    MatmulBlock blocks[kMostBlocks];
    size_t count = 0, k = k_begin;
    const size_t group = GroupSize();
    while (k < g_.args.k && count < kMostBlocks) {
      const size_t size = std::min({kBlock, g_.args.k - k, group - k % group});
      if (k + size > k_begin + kFloatChunk) break;
      blocks[count++] = {k - k_begin, size, nullptr};
      k += size;
    }
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) FloatPanel(panel, {k_begin, k}, {blocks, count});
    return k;
  }
  void FloatPanel(size_t panel, RowRange k, std::span<MatmulBlock> blocks) const {
    size_t origin;
    const uint32_t* words = Words(panel, k, &origin);
    if (g_.args.x2.dtype == DType::kF32) return RunTiles(panel, k.begin, words, blocks);
    const MatmulArgs::Antiquant& q = g_.args.antiquant;
    const bool quantised = g_.args.x2.dtype == DType::kI8;
    alignas(64) float scales[kMostBlocks][kMostCols], offset[kMostCols];
    for (size_t i = 0; i < blocks.size(); ++i) {
      MatmulBlock& block = blocks[i];
      if (quantised) {
        const ptrdiff_t row = static_cast<ptrdiff_t>((k.begin + block.begin) / GroupSize()) * q.group_stride;
        PerColumn(q.scale, q.dtype, row, q.n_stride, panel, scales[i]);
        block.scale = scales[i];
        if (q.offset != nullptr) PerColumn(q.offset, q.dtype, row, q.n_stride, panel, offset);
      }
      l_.kernels.widen(words, g_.args.x2.dtype, k.begin + block.begin - origin, block.size,
                       quantised && q.offset != nullptr ? offset : nullptr, reinterpret_cast<float*>(b_) + block.begin * cols_);
    }
    RunTiles(panel, k.begin, b_, blocks);
  }

  void Finish(size_t panel) const {
    const In& bias = g_.args.bias;
    MatmulFinish f = {SumsOf(panel), rows_, ColsOf(panel)};
    f.out = g_.out + first_row_ * g_.out_stride + panel * cols_, f.out_stride = g_.out_stride;
    if (!l_.integer) {
      alignas(64) float values[kMostCols];
      if (bias) PerColumn(bias.data, bias.dtype, 0, 1, panel, values), f.bias = values;
      return l_.kernels.finish_f32(f);
    }
    alignas(64) int32_t shift[kMostCols] = {};
    alignas(64) double wide_bias[kMostCols] = {}, wide_scale[kMostCols] = {};
    for (size_t j = 0; j < f.cols; ++j) {
      const size_t column = panel * cols_ + j;
      if (bias) wide_bias[j] = LoadElement(bias.data, bias.dtype, column);
      wide_scale[j] = static_cast<double>(g_.args.dequant_scale[column * g_.args.dequant_stride]);
    }
    f.shift = shift, f.wide_bias = wide_bias, f.wide_scale = wide_scale;
    if (l_.wide_bytes == 0) return l_.kernels.finish_int32(f);
    const int64_t* sums = wide_ + (panel - first_panel_) * rows_ * cols_;
    for (size_t r = 0; r < rows_; ++r) {
      for (size_t j = 0; j < f.cols; ++j) {
        const int64_t sum = sums[r * cols_ + j] + static_cast<int64_t>(wide_bias[j]);
        f.out[r * f.out_stride + j] = static_cast<float>(static_cast<double>(sum) * wide_scale[j]);
      }
    }
  }

  const Group& g_;
  const Layout& l_;
  const size_t cols_;
  size_t first_panel_, last_panel_, first_tile_, last_tile_, first_row_, rows_;
  uint32_t *sums_, *words_, *b_;
  int64_t* wide_;
};

void RunSlices(void* arg, size_t begin, size_t end) {
  const Group& g = *static_cast<const Group*>(arg);
  const ScopedFpMode mode(g.fp_mode);
  for (size_t slice = begin; slice < end; ++slice) {
    for (size_t task = g.tasks * slice / g.slices; task < g.tasks * (slice + 1) / g.slices; ++task)
      Task(g, task, g.scratch + slice * g.layout.slice_bytes).Run();
  }
}

struct PackJob {
  const MatmulArgs& args;
  const Layout& layout;
  uint32_t* packed;
};
void PackPanels(void* arg, size_t begin, size_t end) {
  const PackJob& job = *static_cast<const PackJob*>(arg);
  const size_t cols = job.layout.kernels.cols;
  for (size_t panel = begin; panel < end; ++panel) {
    const WeightPart part = PartOf(job.args, panel * cols, std::min(cols, job.args.n - panel * cols), {0, job.args.k});
    job.layout.kernels.pack(part, job.packed + panel * job.layout.panel_words);
  }
}

const Executor& For(size_t work, const Executor& executor) { return work < kSerial ? SerialExecutor() : executor; }

}  // namespace

size_t PackedWeightBytes(const Target& target, const MatmulArgs& args) {
  if (args.n == 0 || args.k == 0) return 0;
  const Layout layout(target, args, 1, SerialExecutor());
  return layout.panels * layout.panel_words * 4;
}

void PackWeights(const Target& target, const MatmulArgs& args, std::byte* packed, const Executor& executor) {
  if (args.n == 0 || args.k == 0) return;
  const Layout layout(target, args, 1, SerialExecutor());
  PackJob job = {args, layout, reinterpret_cast<uint32_t*>(packed)};
  const Executor& used = For(args.n * args.k, executor);
  used.parallel_for(used.context, layout.panels, PackPanels, &job);
}

size_t MatmulWorkspaceBytes(const Target& target, const MatmulArgs& args, bool, const Executor& executor) {
  if (args.m == 0 || args.n == 0) return 0;
  return Layout(target, args, args.m, executor).bytes();
}

void RunMatmul(const Target& target, const MatmulArgs& args, const std::byte* packed, RowRange rows, float* out, size_t out_stride,
               std::span<std::byte> workspace, const Executor& executor) {
  const size_t m = rows.end - rows.begin;
  if (m == 0 || args.n == 0) return;
  const Layout layout(target, args, m, executor);
  const Executor& used = For(m * args.n * args.k, executor);
  const size_t threads = used.concurrency(used.context);
  for (size_t begin = rows.begin; begin < rows.end; begin += layout.most_rows) {
    const RowRange range = {begin, std::min(begin + layout.most_rows, rows.end)};
    Group group = {args,
                   layout,
                   reinterpret_cast<const uint32_t*>(packed),
                   range,
                   out + (begin - rows.begin) * out_stride,
                   out_stride,
                   reinterpret_cast<uint32_t*>(workspace.data()),
                   workspace.data() + layout.x1_bytes(),
                   Tiles(range.end - range.begin, layout.kernels.max_rows),
                   1,
                   0,
                   0,
                   FpMode()};
    // Few strips: several tasks share one, each for some of the rows.
    if (layout.strips < 2 * threads) group.row_parts = std::min(group.tiles.count, RoundUp(2 * threads, layout.strips) / layout.strips);
    group.tasks = layout.strips * group.row_parts;
    group.slices = std::min(group.tasks, layout.slices);
    used.parallel_for(used.context, group.tiles.count, PackX1, &group);
    used.parallel_for(used.context, group.slices, RunSlices, &group);
  }
}

}  // namespace addnorm
