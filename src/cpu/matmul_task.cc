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
    first_panel_ = strip * plan_.panels / plan_.strips, last_panel_ = (strip + 1) * plan_.panels / plan_.strips;
    first_tile_ = part * g_.tiles.count / g_.row_parts, last_tile_ = (part + 1) * g_.tiles.count / g_.row_parts;
    first_row_ = g_.tiles.Begin(first_tile_), rows_ = g_.tiles.Begin(last_tile_) - first_row_;
    sums_ = reinterpret_cast<uint32_t*>(scratch), scratch += plan_.sums_bytes;
    wide_ = reinterpret_cast<int64_t*>(scratch), scratch += plan_.wide_bytes;
    words_ = reinterpret_cast<uint32_t*>(scratch), scratch += plan_.words_bytes;
    b_ = reinterpret_cast<uint32_t*>(scratch);
    if (plan_.form == MatmulForm::kBF16 && RoundsToNearest())
      x1_smallest_ = *std::min_element(g_.tile_smallest + first_tile_, g_.tile_smallest + last_tile_);
  }

  void Run() {
    const size_t sums = (last_panel_ - first_panel_) * rows_ * cols_;
    std::memset(sums_, 0, sums * 4);
    if (plan_.wide_bytes != 0) std::memset(wide_, 0, sums * 8);
    if (plan_.integer()) {
      const size_t flush = kExactInt32 / plan_.chunk * plan_.chunk;
      for (size_t k = 0; k < g_.args.k; k += plan_.chunk) {
        for (size_t panel = first_panel_; panel < last_panel_; ++panel) IntPanel(panel, {k, std::min(k + plan_.chunk, g_.args.k)});
        if (plan_.wide_bytes != 0 && (k + plan_.chunk) % flush == 0) Flush(sums);
      }
      if (plan_.wide_bytes != 0) Flush(sums);
    } else {
      for (size_t k = 0; k < g_.args.k;) k = FloatChunk(k);
    }
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) plan_.integer() ? FinishInt(panel) : FinishFloat(panel);
  }

 private:
  size_t ColsOf(size_t panel) const { return std::min(cols_, g_.args.n - panel * cols_); }
  uint32_t* SumsOf(size_t panel) const { return sums_ + (panel - first_panel_) * rows_ * cols_; }

  // The words that hold [k.begin, k.end) of a panel. origin: the k of the first of them. facts: of at least these.
  const uint32_t* Words(size_t panel, RowRange k, size_t* origin, PanelFacts* facts) const {
    *origin = k.begin / plan_.per_word * plan_.per_word;
    if (g_.packed != nullptr) {
      const uint32_t* words = g_.packed + panel * plan_.panel_words;
      std::memcpy(facts, words, sizeof(*facts));
      return words + plan_.header_words + *origin / plan_.per_word * cols_;
    }
    PackPart(plan_, PartOf(g_.args, panel * cols_, ColsOf(panel), {*origin, k.end}), words_, facts);
    return words_;
  }

  void RunTiles(TileKernel kernel, size_t panel, size_t x1_word, const void* b, std::span<const MatmulBlock> blocks) const {
    for (size_t tile = first_tile_; tile < last_tile_; ++tile) {
      const size_t first = g_.tiles.Begin(tile), height = g_.tiles.Rows(tile);
      kernel(height, {g_.x1 + first * plan_.x1_words + x1_word * height, b, SumsOf(panel) + (first - first_row_) * cols_, blocks});
    }
  }

  void IntPanel(size_t panel, RowRange k) {
    size_t origin;
    PanelFacts facts;
    const uint32_t* words = Words(panel, k, &origin, &facts);
    const size_t count = RoundUp(k.end - k.begin, 4) / 4;
    if (plan_.form == MatmulForm::kInt16) {
      plan_.kernels.split(words, count, b_);
      const MatmulBlock block = {0, 2 * count, nullptr};
      return RunTiles(plan_.kernels.int16, panel, k.begin / 2, b_, {&block, 1});
    }
    const MatmulBlock block = {0, count, nullptr};
    RunTiles(plan_.dots.int8, panel, k.begin / 4, words, {&block, 1});
    if (g_.packed == nullptr) Shift(panel, facts);
  }
  // x1 was 128 too much: takes 128 times the column sums off.
  void Shift(size_t panel, const PanelFacts& facts) const {
    uint32_t* sums = SumsOf(panel);
    for (size_t r = 0; r < rows_; ++r) {
      for (size_t j = 0; j < cols_; ++j) sums[r * cols_ + j] -= static_cast<uint32_t>(facts.values[j]) * 128u;
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
      if (k + size > k_begin + plan_.chunk) break;
      blocks[count++] = {k - k_begin, size, nullptr};
      k += size;
    }
    for (size_t panel = first_panel_; panel < last_panel_; ++panel) FloatPanel(panel, {k_begin, k}, {blocks, count});
    return k;
  }

  // Scales and offsets of the blocks of a chunk, where weights are int8.
  struct Antiquant {
    alignas(64) float scale[kMostBlocks][kMostPanelCols], offset[kMostBlocks][kMostPanelCols];
    bool has_offset;
    bool exact_bf16;  // all of q + offset are bf16
  };
  void Load(size_t panel, size_t k_begin, std::span<MatmulBlock> blocks, Antiquant* to) const {
    const MatmulArgs::Antiquant& q = g_.args.antiquant;
    to->has_offset = q.offset != nullptr, to->exact_bf16 = true;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const ptrdiff_t row = static_cast<ptrdiff_t>((k_begin + blocks[i].begin) / GroupSize()) * q.group_stride;
      PerColumn(q.scale, q.dtype, row, q.n_stride, panel, to->scale[i]);
      blocks[i].scale = to->scale[i];
      if (!to->has_offset) continue;
      PerColumn(q.offset, q.dtype, row, q.n_stride, panel, to->offset[i]);
      for (const float offset : std::span(to->offset[i], cols_))
        to->exact_bf16 = to->exact_bf16 && std::fabs(offset) <= 128.0f && std::nearbyint(offset) == offset;
    }
  }

  void FloatPanel(size_t panel, RowRange k, std::span<MatmulBlock> blocks) const {
    size_t origin;
    PanelFacts facts;
    const uint32_t* words = Words(panel, k, &origin, &facts);
    const DType dtype = g_.args.x2.dtype;
    if (dtype == DType::kI8) return QuantisedPanel(panel, k, blocks, words, origin);
    if (plan_.form == MatmulForm::kBF16 && StaysNormal(x1_smallest_, static_cast<uint32_t>(facts.values[0])))
      return RunPairs(panel, k, blocks, words);
    if (dtype == DType::kF32) return RunFloats(panel, k, blocks, words);
    plan_.kernels.widen(words, dtype, k.begin - origin, k.end - k.begin, nullptr, reinterpret_cast<float*>(b_));
    RunFloats(panel, k, blocks, b_);
  }
  void QuantisedPanel(size_t panel, RowRange k, std::span<MatmulBlock> blocks, const uint32_t* words, size_t origin) const {
    Antiquant q;
    Load(panel, k.begin, blocks, &q);
    constexpr uint32_t kOne = 0x3F80;  // q + offset is an integer
    const bool pairs = plan_.form == MatmulForm::kBF16 && q.exact_bf16 && StaysNormal(x1_smallest_, kOne);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const MatmulBlock& block = blocks[i];
      const size_t first = k.begin + block.begin - origin;
      const float* offset = q.has_offset ? q.offset[i] : nullptr;
      if (pairs) {
        plan_.kernels.widen_bf16(words, first, block.size, offset, b_ + block.begin / 2 * cols_);
      } else {
        plan_.kernels.widen(words, DType::kI8, first, block.size, offset, reinterpret_cast<float*>(b_) + block.begin * cols_);
      }
    }
    pairs ? RunPairs(panel, k, blocks, b_) : RunFloats(panel, k, blocks, b_);
  }

  void RunPairs(size_t panel, RowRange k, std::span<const MatmulBlock> blocks, const uint32_t* b) const {
    MatmulBlock pairs[kMostBlocks];
    for (size_t i = 0; i < blocks.size(); ++i) pairs[i] = {blocks[i].begin / 2, (blocks[i].size + 1) / 2, blocks[i].scale};
    RunTiles(plan_.dots.bf16, panel, k.begin / 2, b, {pairs, blocks.size()});
  }
  void RunFloats(size_t panel, RowRange k, std::span<const MatmulBlock> blocks, const void* b) const {
    if (plan_.form == MatmulForm::kFloat) return RunTiles(plan_.kernels.f32, panel, k.begin, b, blocks);
    // x1 lies in pairs of bf16, and cannot be used so.
    alignas(64) uint32_t wide[256 * kMostRows];
    for (size_t tile = first_tile_; tile < last_tile_; ++tile) {
      const size_t first = g_.tiles.Begin(tile), height = g_.tiles.Rows(tile);
      const uint32_t* pairs = g_.x1 + first * plan_.x1_words + k.begin / 2 * height;
      for (size_t i = 0; i < k.end - k.begin; ++i) {
        for (size_t r = 0; r < height; ++r) {
          const uint32_t pair = pairs[i / 2 * height + r];
          wide[i * height + r] = i % 2 == 0 ? pair << 16 : pair & 0xFFFF0000u;
        }
      }
      plan_.kernels.f32(height, {wide, b, SumsOf(panel) + (first - first_row_) * cols_, blocks});
    }
  }

  MatmulFinish FinishOf(size_t panel) const {
    MatmulFinish f = {SumsOf(panel), rows_, ColsOf(panel)};
    f.out = g_.out + first_row_ * g_.out_stride + panel * cols_, f.out_stride = g_.out_stride;
    return f;
  }
  void FinishFloat(size_t panel) const {
    MatmulFinish f = FinishOf(panel);
    const In& bias = g_.args.bias;
    alignas(64) float values[kMostPanelCols];
    if (bias) PerColumn(bias.data, bias.dtype, 0, 1, panel, values), f.bias = values;
    plan_.kernels.finish_f32(f);
  }
  void FinishInt(size_t panel) const {
    MatmulFinish f = FinishOf(panel);
    alignas(64) int32_t shift[kMostPanelCols] = {};
    alignas(64) double wide_bias[kMostPanelCols] = {}, wide_scale[kMostPanelCols] = {};
    if (plan_.form == MatmulForm::kInt8 && g_.packed != nullptr) {
      std::memcpy(shift, g_.packed + panel * plan_.panel_words, cols_ * 4);
      for (int32_t& s : shift) s = static_cast<int32_t>(static_cast<uint32_t>(s) * 128u);
    }
    for (size_t j = 0; j < f.cols; ++j) {
      const size_t column = panel * cols_ + j;
      if (g_.args.bias) wide_bias[j] = LoadElement(g_.args.bias.data, g_.args.bias.dtype, column);
      wide_scale[j] = static_cast<double>(g_.args.dequant_scale[column * g_.args.dequant_stride]);
    }
    f.shift = shift, f.wide_bias = wide_bias, f.wide_scale = wide_scale;
    if (plan_.wide_bytes == 0) return plan_.kernels.finish_int32(f);
    const int64_t* sums = wide_ + (panel - first_panel_) * rows_ * cols_;
    for (size_t r = 0; r < rows_; ++r) {
      for (size_t j = 0; j < f.cols; ++j) {
        const int64_t sum = sums[r * cols_ + j] + static_cast<int64_t>(wide_bias[j]);
        f.out[r * f.out_stride + j] = static_cast<float>(static_cast<double>(sum) * wide_scale[j]);
      }
    }
  }

  const MatmulGroup& g_;
  const MatmulPlan& plan_;
  const size_t cols_;
  size_t first_panel_, last_panel_, first_tile_, last_tile_, first_row_, rows_;
  uint32_t x1_smallest_ = 0;  // 0: no pairs
  uint32_t *sums_, *words_, *b_;
  int64_t* wide_;
};

}  // namespace

void RunMatmulTask(const MatmulGroup& group, size_t task, std::byte* scratch) { Task(group, task, scratch).Run(); }

}  // namespace addnorm
