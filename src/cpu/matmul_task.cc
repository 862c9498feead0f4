// SPDX-License-Identifier: Apache-2.0
// One task of a matmul: a strip of columns for some tiles of rows, all of k.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "src/base/fp_mode.h"
#include "src/cpu/matmul_plan.h"

namespace addnorm {
namespace {

constexpr size_t kMostBlocks = 64;  // of a chunk: short groups of scales
constexpr size_t kMostRows = 14;    // of a tile, on any target

// The dot-product instructions round to nearest whatever the mode says.
bool RoundsToNearest() {
#if defined(__x86_64__)
  return (FpMode() & 0x6000u) == 0;
#else
  return true;
#endif
}

class Task {
 public:
  Task(const MatmulGroup& group, size_t index, std::byte* scratch) : g_(group), plan_(group.plan), cols_(plan_.kernels.cols) {
    const size_t strip = index / g_.row_parts, part = index % g_.row_parts;
    first_panel_ = plan_.FirstPanel(strip), last_panel_ = plan_.FirstPanel(strip + 1);
    first_tile_ = part * g_.tiles.count / g_.row_parts, last_tile_ = (part + 1) * g_.tiles.count / g_.row_parts;
    first_row_ = g_.tiles.Begin(first_tile_), rows_ = g_.tiles.Begin(last_tile_) - first_row_;
    sums_ = reinterpret_cast<uint32_t*>(scratch), scratch += plan_.sums_bytes;
    wide_ = reinterpret_cast<int64_t*>(scratch), scratch += plan_.wide_bytes;
    words_ = reinterpret_cast<uint32_t*>(scratch), scratch += plan_.words_bytes;
    b_ = reinterpret_cast<uint32_t*>(scratch), scratch += plan_.b_bytes;
    column_sums_ = reinterpret_cast<uint32_t*>(scratch);
    if (plan_.form == MatmulForm::kBF16 && RoundsToNearest())
      x1_smallest_ = *std::min_element(g_.tile_smallest + first_tile_, g_.tile_smallest + last_tile_);
  }

  void Run() {
    if (plan_.wide_bytes != 0) std::memset(wide_, 0, SumCount() * 8);
    if (plan_.integer()) std::memset(column_sums_, 0, plan_.columns_bytes);
    size_t k = 0;
    do {  // k = 0 is a chunk, too: the sums of nothing
      k = plan_.integer() ? IntChunk(k) : FloatChunk(k);
    } while (k < g_.args.k);
    for (size_t panel = first_panel_; plan_.wide_bytes != 0 && panel < last_panel_; ++panel) FinishWide(panel);
  }

 private:
  size_t ColsOf(size_t panel) const { return std::min(cols_, g_.args.n - panel * cols_); }
  uint32_t* ColumnSums(size_t panel) const { return column_sums_ + (panel - first_panel_) * cols_; }
  size_t SumCount() const { return (last_panel_ - first_panel_) * rows_ * cols_; }
  // Where all of k is one chunk, all tiles use the same few lines.
  uint32_t* SumsOf(size_t panel, size_t row) const {
    const bool keep = chunk_.begin != 0 || chunk_.end != g_.args.k;
    return keep ? sums_ + ((panel - first_panel_) * rows_ + row - first_row_) * cols_ : sums_;
  }

  // Makes [k.begin, k.end) of the strip's weights ready.
  void BeginChunk(RowRange k) {
    chunk_ = k, origin_ = k.begin / plan_.per_word * plan_.per_word;
    if (g_.packed != nullptr) return;
    const size_t first = first_panel_ * cols_, count = std::min(last_panel_ * cols_, g_.args.n) - first;
    plan_.kernels.pack(PartOf(g_.args, first, count, {origin_, k.end}), words_, plan_.chunk_words);
  }
  // The rows of words of a panel; the first one begins with k = origin_.
  const uint32_t* Words(size_t panel) const {
    if (g_.packed != nullptr) return g_.packed + panel * plan_.panel_words + plan_.header_words + origin_ / plan_.per_word * cols_;
    return words_ + (panel - first_panel_) * plan_.chunk_words;
  }
  // packed: of all k; else of this chunk.
  PanelFacts Facts(size_t panel) const {
    if (g_.packed == nullptr) return FactsOf(plan_, Words(panel), RoundUp(chunk_.end - origin_, plan_.per_word) / plan_.per_word);
    PanelFacts facts;
    std::memcpy(&facts, g_.packed + panel * plan_.panel_words, sizeof(facts));
    return facts;
  }

  struct Fetch {
    uintptr_t at;
    ptrdiff_t step;
  };
  // What comes after this panel of this chunk, for the strip's `tile`-th tile to fetch; two tiles fetch all of it.
  Fetch Next(size_t panel, size_t tile) const {
    const Fetch none = {reinterpret_cast<uintptr_t>(sums_), 0};
    const bool strip_ends = chunk_.end == g_.args.k;
    if (tile >= 2 || (strip_ends && last_panel_ == plan_.panels)) return none;
    const size_t k_step = plan_.form == MatmulForm::kFloat ? 1 : plan_.form == MatmulForm::kInt8 ? 4 : 2;  // of one row of words
    const size_t bytes = 4 / plan_.per_word, next_k = strip_ends ? 0 : chunk_.end;
    if (g_.packed != nullptr) {
      const bool inside = panel + 1 < last_panel_;
      const size_t next_panel = inside || strip_ends ? panel + 1 : first_panel_, k = inside ? chunk_.begin : next_k;
      const uint32_t* words = g_.packed + next_panel * plan_.panel_words + plan_.header_words + k / plan_.per_word * cols_;
      return {reinterpret_cast<uintptr_t>(words) + 64 * tile, static_cast<ptrdiff_t>(k_step * cols_ * bytes)};
    }
    if (g_.args.x2.n_stride != 1) return none;
    // Rows of x2: each of the strip's tiles takes one line of them.
    const size_t lines = std::max<size_t>(1, (last_panel_ - first_panel_) * cols_ * bytes / 64), index = 2 * (panel - first_panel_) + tile;
    if (index >= lines * k_step) return none;
    const WeightPart part = PartOf(g_.args, (strip_ends ? last_panel_ : first_panel_) * cols_, 0, {});
    const ptrdiff_t stride = part.k_stride * static_cast<ptrdiff_t>(bytes);
    const auto row = reinterpret_cast<uintptr_t>(part.data) + (next_k + index / lines) * static_cast<uintptr_t>(stride);
    return {row + index % lines * 64, static_cast<ptrdiff_t>(k_step) * stride};
  }

  // x1 of a tile as fp32, where it lies in pairs of bf16 that cannot be used so.
  const uint32_t* Unpair(const uint32_t* pairs, size_t height, uint32_t* wide) const {
    for (size_t i = 0; i < chunk_.end - chunk_.begin; ++i) {
      for (size_t r = 0; r < height; ++r) {
        const uint32_t pair = pairs[i / 2 * height + r];
        wide[i * height + r] = i % 2 == 0 ? pair << 16 : pair & 0xFFFF0000u;
      }
    }
    return wide;
  }

  // One panel, one chunk. x1_word: the chunk's first in a packed row. Sums begin and end here, while they are in the L1 cache.
  void RunTiles(TileKernel kernel, size_t panel, size_t x1_word, const void* b, std::span<const MatmulBlock> blocks) {
    const bool unpair = plan_.form == MatmulForm::kBF16 && kernel != plan_.dots.bf16;
    const bool finish = chunk_.end == g_.args.k && plan_.wide_bytes == 0;
    if (finish) BeginFinish(panel);
    alignas(64) uint32_t wide[2 * kChunkRows * kMostRows];
    for (size_t tile = first_tile_; tile < last_tile_; ++tile) {
      const size_t row = g_.tiles.Begin(tile), height = g_.tiles.Rows(tile);
      const uint32_t* x1 = g_.x1 + row * plan_.x1_words + x1_word * height;
      uint32_t* const sums = SumsOf(panel, row);
      if (chunk_.begin == 0) std::memset(sums, 0, height * cols_ * 4);
      const Fetch next = Next(panel, tile - first_tile_);
      kernel(height, {unpair ? Unpair(x1, height, wide) : x1, b, sums, blocks, next.at, next.step});
      if (!finish) continue;
      finish_.c = sums, finish_.rows = height, finish_.out = g_.out + row * g_.out_stride + panel * cols_;
      plan_.integer() ? plan_.kernels.finish_int32(finish_) : plan_.kernels.finish_f32(finish_);
    }
  }

  size_t IntChunk(size_t k) {
    BeginChunk({k, std::min(k + plan_.chunk, g_.args.k)});
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) IntPanel(panel);
    const size_t flush = kExactInt32 / plan_.chunk * plan_.chunk;
    if (plan_.wide_bytes != 0 && (chunk_.end % flush == 0 || chunk_.end == g_.args.k)) Flush(SumCount());
    return chunk_.end;
  }
  void IntPanel(size_t panel) {
    const size_t count = RoundUp(chunk_.end - chunk_.begin, 4) / 4;
    if (plan_.form == MatmulForm::kInt16) {
      plan_.kernels.split(Words(panel), count, b_);
      const MatmulBlock block = {0, 2 * count, nullptr};
      return RunTiles(plan_.kernels.int16, panel, chunk_.begin / 2, b_, {&block, 1});
    }
    if (g_.packed == nullptr) {
      const PanelFacts facts = Facts(panel);
      for (size_t j = 0; j < cols_; ++j) ColumnSums(panel)[j] += static_cast<uint32_t>(facts.values[j]);
    }
    const MatmulBlock block = {0, count, nullptr};
    RunTiles(plan_.dots.int8, panel, chunk_.begin / 4, Words(panel), {&block, 1});
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
  // One value per column of a panel; zero beyond the last one. offset, n_stride: in elements.
  void PerColumn(const void* data, DType dtype, ptrdiff_t offset, ptrdiff_t n_stride, size_t panel, float* to) const {
    const size_t cols = ColsOf(panel);
    const ptrdiff_t first = offset + static_cast<ptrdiff_t>(panel * cols_) * n_stride;
    if (n_stride == 0) {
      std::fill_n(to, cols, static_cast<float>(LoadElement(data, dtype, static_cast<size_t>(first))));
    } else if (n_stride == 1) {
      plan_.kernels.widen_row(static_cast<const std::byte*>(data) + first * static_cast<ptrdiff_t>(SizeOf(dtype)), dtype, cols, to);
    } else {
      for (size_t j = 0; j < cols; ++j)
        to[j] = static_cast<float>(LoadElement(data, dtype, static_cast<size_t>(first + static_cast<ptrdiff_t>(j) * n_stride)));
    }
    std::fill(to + cols, to + cols_, 0.0f);
  }

  size_t FloatChunk(size_t k_begin) {
    MatmulBlock blocks[kMostBlocks];
    size_t count = 0, k = k_begin;
    const size_t group = GroupSize();
    while (k < g_.args.k && count < kMostBlocks) {
      const size_t size = std::min({kBlock, g_.args.k - k, group - k % group});
      if (k + size > k_begin + plan_.chunk) break;
      blocks[count++] = {k - k_begin, size, nullptr};
      k += size;
    }
    BeginChunk({k_begin, k});
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) FloatPanel(panel, {blocks, count});
    return k;
  }

  // Scales and offsets of the blocks of a chunk, where weights are int8.
  struct Antiquant {
    alignas(64) float scale[kMostBlocks][kMostPanelCols], offset[kMostBlocks][kMostPanelCols];
    bool has_offset;
    bool exact_bf16;  // all of q + offset are bf16
  };
  void Load(size_t panel, std::span<MatmulBlock> blocks, Antiquant* to) const {
    const MatmulArgs::Antiquant& q = g_.args.antiquant;
    to->has_offset = q.offset != nullptr, to->exact_bf16 = true;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const ptrdiff_t row = static_cast<ptrdiff_t>((chunk_.begin + blocks[i].begin) / GroupSize()) * q.group_stride;
      PerColumn(q.scale, q.dtype, row, q.n_stride, panel, to->scale[i]);
      blocks[i].scale = to->scale[i];
      if (!to->has_offset) continue;
      PerColumn(q.offset, q.dtype, row, q.n_stride, panel, to->offset[i]);
      for (const float offset : std::span(to->offset[i], cols_))
        to->exact_bf16 = to->exact_bf16 && std::fabs(offset) <= 128.0f && std::nearbyint(offset) == offset;
    }
  }

  void FloatPanel(size_t panel, std::span<MatmulBlock> blocks) {
    const DType dtype = g_.args.x2.dtype;
    if (dtype == DType::kI8) return QuantisedPanel(panel, blocks);
    if (plan_.form == MatmulForm::kBF16 && StaysNormal(x1_smallest_, static_cast<uint32_t>(Facts(panel).values[0])))
      return RunPairs(panel, blocks, Words(panel));
    if (dtype == DType::kF32) return RunFloats(panel, blocks, Words(panel));
    plan_.kernels.widen(Words(panel), dtype, chunk_.begin - origin_, chunk_.end - chunk_.begin, nullptr, reinterpret_cast<float*>(b_));
    RunFloats(panel, blocks, b_);
  }
  void QuantisedPanel(size_t panel, std::span<MatmulBlock> blocks) {
    Antiquant q;
    Load(panel, blocks, &q);
    constexpr uint32_t kOne = 0x3F80;  // q + offset is an integer
    const bool pairs = plan_.form == MatmulForm::kBF16 && q.exact_bf16 && StaysNormal(x1_smallest_, kOne);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const MatmulBlock& block = blocks[i];
      const size_t first = chunk_.begin + block.begin - origin_;
      const float* offset = q.has_offset ? q.offset[i] : nullptr;
      if (pairs) {
        plan_.kernels.widen_bf16(Words(panel), first, block.size, offset, b_ + block.begin / 2 * cols_);
      } else {
        plan_.kernels.widen(Words(panel), DType::kI8, first, block.size, offset, reinterpret_cast<float*>(b_) + block.begin * cols_);
      }
    }
    pairs ? RunPairs(panel, blocks, b_) : RunFloats(panel, blocks, b_);
  }

  void RunPairs(size_t panel, std::span<const MatmulBlock> blocks, const uint32_t* b) {
    MatmulBlock pairs[kMostBlocks];
    for (size_t i = 0; i < blocks.size(); ++i) pairs[i] = {blocks[i].begin / 2, (blocks[i].size + 1) / 2, blocks[i].scale};
    RunTiles(plan_.dots.bf16, panel, chunk_.begin / 2, b, {pairs, blocks.size()});
  }
  void RunFloats(size_t panel, std::span<const MatmulBlock> blocks, const void* b) {
    RunTiles(plan_.kernels.f32, panel, plan_.form == MatmulForm::kFloat ? chunk_.begin : chunk_.begin / 2, b, blocks);
  }

  void BeginFinish(size_t panel) {
    const In& bias = g_.args.bias;
    finish_ = {.cols = ColsOf(panel), .shift = shift_, .wide_bias = wide_bias_, .wide_scale = wide_scale_, .out_stride = g_.out_stride};
    if (!plan_.integer()) {
      if (bias) PerColumn(bias.data, bias.dtype, 0, 1, panel, bias_), finish_.bias = bias_;
      return;
    }
    if (plan_.form == MatmulForm::kInt8) {  // x1 was 128 too much
      const uint32_t* sums = g_.packed != nullptr ? g_.packed + panel * plan_.panel_words : ColumnSums(panel);
      for (size_t j = 0; j < cols_; ++j) shift_[j] = static_cast<int32_t>(sums[j] * 128u);
    }
    for (size_t j = 0; j < finish_.cols; ++j) {
      const size_t column = panel * cols_ + j;
      if (bias) wide_bias_[j] = LoadElement(bias.data, bias.dtype, column);
      wide_scale_[j] = static_cast<double>(g_.args.dequant_scale[column * g_.args.dequant_stride]);
    }
  }
  void FinishWide(size_t panel) {
    BeginFinish(panel);
    const int64_t* sums = wide_ + (panel - first_panel_) * rows_ * cols_;
    for (size_t r = 0; r < rows_; ++r) {
      float* const out = g_.out + (first_row_ + r) * g_.out_stride + panel * cols_;
      for (size_t j = 0; j < finish_.cols; ++j) {
        const int64_t sum = sums[r * cols_ + j] + static_cast<int64_t>(wide_bias_[j]);
        out[j] = static_cast<float>(static_cast<double>(sum) * wide_scale_[j]);
      }
    }
  }

  const MatmulGroup& g_;
  const MatmulPlan& plan_;
  const size_t cols_;
  size_t first_panel_, last_panel_, first_tile_, last_tile_, first_row_, rows_;
  RowRange chunk_;  // of k
  MatmulFinish finish_;
  alignas(64) float bias_[kMostPanelCols] = {};
  alignas(64) int32_t shift_[kMostPanelCols] = {};
  alignas(64) double wide_bias_[kMostPanelCols] = {}, wide_scale_[kMostPanelCols] = {};
  size_t origin_ = 0;         // chunk_.begin, or the k before it that a word begins with
  uint32_t x1_smallest_ = 0;  // 0: no pairs
  uint32_t *sums_, *words_, *b_, *column_sums_;
  int64_t* wide_;
};

}  // namespace

void RunMatmulTask(const MatmulGroup& group, size_t task, std::byte* scratch) { Task(group, task, scratch).Run(); }

}  // namespace addnorm
