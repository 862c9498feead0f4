// SPDX-License-Identifier: Apache-2.0
// Drives the matmul kernels: rows of x1 are packed once per group of rows, the result is cut into strips of columns, and a task
// computes one strip for (a part of) the group, chunk of k by chunk of k. Every element is computed by one task in one order of k.
#include "src/core/matmul.h"

#include <algorithm>
#include <cstring>

#include "src/base/fp_mode.h"
#include "src/cpu/matmul_plan.h"

namespace addnorm {
namespace {

constexpr size_t kStripCols = 128;           // of a task: running sums and x1's chunk share the L2 cache with one chunk of weights
constexpr size_t kSerial = size_t{1} << 18;  // products that are not worth waking a thread

MatmulForm FormOf(const MatmulDots& dots, const MatmulArgs& args) {
  if (args.x1.dtype == DType::kI8) return dots.int8 != nullptr && args.k <= kExactInt32 ? MatmulForm::kInt8 : MatmulForm::kInt16;
  if (dots.bf16 == nullptr || args.x1.dtype != DType::kBF16) return MatmulForm::kFloat;
  if (args.x2.dtype == DType::kBF16) return MatmulForm::kBF16;
  const size_t group = args.antiquant.group;
  const bool whole_pairs = group >= args.k || group % 2 == 0;
  return args.x2.dtype == DType::kI8 && whole_pairs ? MatmulForm::kBF16 : MatmulForm::kFloat;
}

void PackFloatRow(const MatmulGroup& g, const void* row, size_t height, uint32_t* to) {
  float wide[256];
  const DType dtype = g.args.x1.dtype;
  for (size_t k = 0; k < g.args.k; k += std::size(wide)) {
    const size_t n = std::min(std::size(wide), g.args.k - k);
    g.plan.kernels.widen_row(static_cast<const std::byte*>(row) + k * SizeOf(dtype), dtype, n, wide);
    for (size_t i = 0; i < n; ++i) std::memcpy(to + (k + i) * height, &wide[i], 4);
  }
}

// Words as they are in memory, the last one filled up with zeros; flip: bits to change in each.
void PackWordRow(const void* row, size_t bytes, uint32_t flip, size_t height, uint32_t* to) {
  const auto* from = static_cast<const std::byte*>(row);
  for (; bytes >= 4; bytes -= 4, from += 4, to += height) {
    uint32_t word;
    std::memcpy(&word, from, 4);
    *to = word ^ flip;
  }
  if (bytes == 0) return;
  uint32_t word = 0;
  std::memcpy(&word, from, bytes);
  *to = word ^ flip;
}

void PackInt16Row(const void* row, size_t k, size_t height, uint32_t* to) {
  const auto pair = [](int8_t low, int8_t high) {
    return uint32_t{static_cast<uint16_t>(low)} | uint32_t{static_cast<uint16_t>(high)} << 16;
  };
  for (size_t i = 0; i < k; i += 4, to += 2 * height) {
    int8_t q[4] = {};
    std::memcpy(q, static_cast<const std::byte*>(row) + i, std::min<size_t>(4, k - i));
    to[0] = pair(q[0], q[2]);
    to[height] = pair(q[1], q[3]);
  }
}

void PackX1(void* arg, size_t begin, size_t end) {
  const MatmulGroup& g = *static_cast<const MatmulGroup*>(arg);
  const In& x1 = g.args.x1;
  const auto size = static_cast<ptrdiff_t>(SizeOf(x1.dtype));
  for (size_t tile = begin; tile < end; ++tile) {
    const size_t first = g.tiles.Begin(tile), height = g.tiles.Rows(tile);
    uint32_t* const words = g.x1 + first * g.plan.x1_words;
    for (size_t r = 0; r < height; ++r) {
      const void* row = static_cast<const std::byte*>(x1.data) + static_cast<ptrdiff_t>(g.rows.begin + first + r) * x1.row_stride * size;
      switch (g.plan.form) {
        case MatmulForm::kFloat:
          PackFloatRow(g, row, height, words + r);
          break;
        case MatmulForm::kBF16:
          PackWordRow(row, 2 * g.args.k, 0, height, words + r);
          break;
        case MatmulForm::kInt8:
          PackWordRow(row, g.args.k, 0x80808080u, height, words + r);
          break;
        case MatmulForm::kInt16:
          PackInt16Row(row, g.args.k, height, words + r);
      }
    }
    if (g.plan.form == MatmulForm::kBF16) g.tile_smallest[tile] = g.plan.kernels.smallest_bf16(words, height * g.plan.x1_words);
  }
}

void RunSlices(void* arg, size_t begin, size_t end) {
  const MatmulGroup& g = *static_cast<const MatmulGroup*>(arg);
  const ScopedFpMode mode(g.fp_mode);
  for (size_t slice = begin; slice < end; ++slice) {
    for (size_t task = g.tasks * slice / g.slices; task < g.tasks * (slice + 1) / g.slices; ++task)
      RunMatmulTask(g, task, g.scratch + slice * g.plan.slice_bytes);
  }
}

struct PackJob {
  const MatmulArgs& args;
  const MatmulPlan& plan;
  uint32_t* packed;
};
void PackStrips(void* arg, size_t begin, size_t end) {
  const PackJob& job = *static_cast<const PackJob*>(arg);
  const MatmulPlan& plan = job.plan;
  for (size_t strip = begin; strip < end; ++strip) {
    const size_t first = plan.FirstPanel(strip), last = plan.FirstPanel(strip + 1), cols = plan.kernels.cols;
    uint32_t* const words = job.packed + first * plan.panel_words + plan.header_words;
    const size_t count = std::min(last * cols, job.args.n) - first * cols;
    plan.kernels.pack(PartOf(job.args, first * cols, count, {0, job.args.k}), words, plan.panel_words);
    for (size_t panel = first; panel < last; ++panel) {
      const uint32_t* const rows = words + (panel - first) * plan.panel_words;
      const PanelFacts facts = FactsOf(plan, rows, plan.k_words);
      std::memcpy(job.packed + panel * plan.panel_words, &facts, sizeof(facts));
    }
  }
}

const Executor& For(size_t products, const Executor& executor) { return products < kSerial ? SerialExecutor() : executor; }

}  // namespace

MatmulPlan::MatmulPlan(const Target& target, const MatmulArgs& args, size_t rows, const Executor& executor)
    : kernels(MatmulKernelsOf(target.name)), dots(MatmulDotsOf(target.name)), form(FormOf(dots, args)) {
  per_word = 4 / SizeOf(args.x2.dtype);
  k_words = RoundUp(args.k, per_word) / per_word;
  panels = RoundUp(args.n, kernels.cols) / kernels.cols;
  header_words = sizeof(PanelFacts) / 4;
  panel_words = header_words + RoundUp(k_words * kernels.cols, 16);
  // Rows of words of a panel that lie in the L1 cache while all tiles pass over them: 32 KiB on the widest target.
  chunk = kChunkRows * (form == MatmulForm::kFloat ? 1 : form == MatmulForm::kInt8 ? 4 : 2);
  x1_words = form == MatmulForm::kFloat  ? args.k
             : form == MatmulForm::kBF16 ? (args.k + 1) / 2
             : form == MatmulForm::kInt8 ? k_words
                                         : 2 * k_words;
  // The group's packed x1 should stay in the last-level cache, but each group reads all weights again.
  most_rows = std::min(rows, args.k <= 8192 ? 18 * kernels.max_rows : 6 * kernels.max_rows);
  strip_panels = std::max<size_t>(1, kStripCols / kernels.cols);
  strips = RoundUp(panels, strip_panels) / strip_panels;
  slices = 4 * executor.concurrency(executor.context);
  const size_t sums = strip_panels * most_rows * kernels.cols;
  sums_bytes = RoundUp(sums * 4, 64);
  wide_bytes = integer() && args.k > kExactInt32 ? RoundUp(sums * 8, 64) : 0;
  chunk_words = (chunk / per_word + 2) * kernels.cols;
  words_bytes = RoundUp(strip_panels * chunk_words * 4, 64);
  b_bytes = RoundUp(chunk * kernels.cols * (integer() ? 2 : 4), 64);
  columns_bytes = RoundUp(strip_panels * kernels.cols * 4, 64);
  slice_bytes = sums_bytes + wide_bytes + words_bytes + b_bytes + columns_bytes;
}

WeightPart PartOf(const MatmulArgs& args, size_t column, size_t cols, RowRange k) {
  const size_t bytes = SizeOf(args.x2.dtype);
  WeightPart part = {static_cast<const std::byte*>(args.x2.data), args.x2.k_stride, args.x2.n_stride, bytes, k.begin, k.end, cols};
  part.data += static_cast<ptrdiff_t>(column) * args.x2.n_stride * static_cast<ptrdiff_t>(bytes);
  return part;
}

PanelFacts FactsOf(const MatmulPlan& plan, const uint32_t* words, size_t count) {
  PanelFacts facts = {};
  if (plan.form == MatmulForm::kInt8) plan.dots.column_sums(words, count, facts.values);
  if (plan.form == MatmulForm::kBF16 && plan.per_word == 2)
    facts.values[0] = static_cast<int32_t>(plan.kernels.smallest_bf16(words, count * plan.kernels.cols));
  return facts;
}

size_t PackedWeightBytes(const Target& target, const MatmulArgs& args) {
  if (args.n == 0 || args.k == 0) return 0;
  const MatmulPlan plan(target, args, 1, SerialExecutor());
  return plan.panels * plan.panel_words * 4;
}

void PackWeights(const Target& target, const MatmulArgs& args, std::byte* packed, const Executor& executor) {
  if (args.n == 0 || args.k == 0) return;
  const MatmulPlan plan(target, args, 1, SerialExecutor());
  PackJob job = {args, plan, reinterpret_cast<uint32_t*>(packed)};
  const Executor& used = For(args.n * args.k, executor);
  used.parallel_for(used.context, plan.strips, PackStrips, &job);
}

size_t MatmulWorkspaceBytes(const Target& target, const MatmulArgs& args, bool, const Executor& executor) {
  if (args.m == 0 || args.n == 0) return 0;
  return MatmulPlan(target, args, args.m, executor).workspace_bytes();
}

void RunMatmul(const Target& target, const MatmulArgs& args, const std::byte* packed, RowRange rows, float* out, size_t out_stride,
               std::span<std::byte> workspace, const Executor& executor) {
  const size_t m = rows.end - rows.begin;
  if (m == 0 || args.n == 0) return;
  const MatmulPlan plan(target, args, m, executor);
  const Executor& used = For(m * args.n * args.k, executor);
  const size_t threads = used.concurrency(used.context);
  for (size_t begin = rows.begin; begin < rows.end; begin += plan.most_rows) {
    const RowRange range = {begin, std::min(begin + plan.most_rows, rows.end)};
    const RowTiles tiles(range.end - range.begin, plan.kernels.max_rows);
    std::byte* const facts = workspace.data() + plan.x1_bytes();
    MatmulGroup group = {args,
                         plan,
                         reinterpret_cast<const uint32_t*>(packed),
                         range,
                         out + (begin - rows.begin) * out_stride,
                         out_stride,
                         tiles,
                         reinterpret_cast<uint32_t*>(workspace.data()),
                         reinterpret_cast<uint32_t*>(facts),
                         facts + plan.tiles_bytes(),
                         FpMode(),
                         1,
                         0,
                         0};
    // Few strips: several tasks share one, each for some of the rows.
    if (plan.strips < 2 * threads) group.row_parts = std::min(tiles.count, RoundUp(2 * threads, plan.strips) / plan.strips);
    group.tasks = plan.strips * group.row_parts;
    group.slices = std::min(group.tasks, plan.slices);
    used.parallel_for(used.context, tiles.count, PackX1, &group);
    used.parallel_for(used.context, group.slices, RunSlices, &group);
  }
}

}  // namespace addnorm
