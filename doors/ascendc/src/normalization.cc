// SPDX-License-Identifier: Apache-2.0
// The tile calls: checks first, then addnorm's row kernels on local memory, then the pads.
#include "addnorm/ascendc/normalization.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "addnorm/addnorm.h"
#include "doors/ascendc/src/elements.h"
#include "tiling/tiling_api.h"

namespace addnorm::ascendc {
namespace {

using ull = unsigned long long;  // for %llu

struct TileOperand {
  const char* name;
  LocalView view;
  uint64_t bytes;
  Access access;
  bool rows = false;  // [B, S, H]
};

struct TilingShape {
  uint32_t b, s, h, original_h;
};

// The sizes of a tile, checked.
struct Tile {
  const char* api;
  Here here;
  Type type;
  uint32_t size;       // of an element
  uint64_t rows;       // B * S
  uint64_t cols;       // stored
  uint64_t real_cols;  // meant
  uint64_t tile_bytes() const { return rows * cols * size; }
  uint64_t row_bytes() const { return cols * size; }
  uint64_t statistic_bytes() const { return rows * size; }
  DType dtype() const { return type == Type::kF32 ? DType::kF32 : DType::kF16; }
};

Tile MakeTile(const char* api, Type type, const TilingShape& shape, Here here) {
  Tile tile{api, here, type, SizeOf(type), uint64_t{shape.b} * shape.s, shape.h, shape.original_h};
  if (shape.b == 0 || shape.s == 0 || shape.h == 0) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' shape is [%u, %u, %u], expected sizes of at least 1 (was the tiling filled?)", api,
         shape.b, shape.s, shape.h);
  }
  if (shape.original_h == 0 || shape.original_h > shape.h) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' originalHLength is %u, expected 1 to hLength = %u", api, shape.original_h, shape.h);
  }
  if (tile.row_bytes() % kBlockBytes != 0) {
    Fail(Rule::kTailAxis, here, "%s: argument 'tiling' hLength is %u (%llu bytes), expected a multiple of 32 bytes", api, shape.h,
         ull{tile.row_bytes()});
  }
  if (uint64_t{shape.s} * tile.size % kBlockBytes != 0) {
    Fail(Rule::kTailAxis, here,
         "%s: argument 'tiling' sLength is %u (%llu bytes, the last axis of mean and variance), expected a multiple of 32 bytes", api,
         shape.s, ull{uint64_t{shape.s} * tile.size});
  }
  return tile;
}

void CheckOperands(const Tile& tile, std::initializer_list<TileOperand> operands) {
  for (const TileOperand& operand : operands) {
    const Use use{tile.api, operand.name, tile.here};
    Core::Current().CheckOperand(operand.view, operand.bytes, operand.access, use);
    Core::Current().Work(operand.view, 0, operand.bytes, Engine::kVector, use, operand.access);
  }
}

bool Overlap(const LocalView& a, uint64_t a_bytes, const LocalView& b, uint64_t b_bytes) {
  return a.data < b.data + b_bytes && b.data < a.data + a_bytes;
}

// Outputs may be exactly an input of their own size, and nothing else; two outputs never meet.
void CheckOverlaps(const Tile& tile, std::initializer_list<TileOperand> operands) {
  for (const TileOperand& out : operands) {
    if (out.access != Access::kWrite) continue;
    for (const TileOperand& other : operands) {
      if (&other == &out || !Overlap(out.view, out.bytes, other.view, other.bytes)) continue;
      if (out.rows && other.rows && other.access == Access::kRead && out.view.data == other.view.data) continue;
      Fail(Rule::kOverlap, tile.here, "%s: argument '%s' overlaps '%s', expected disjoint memory%s", tile.api, out.name, other.name,
           other.access == Access::kRead ? " or exactly inputX or inputDy" : "");
    }
  }
}

struct Tmp {
  LocalView view;
  bool shared;
  uint64_t need_bytes;
  const char* reason;
};

// The temporary memory that the device would use. Its content is undefined afterwards.
void CheckTmp(const Tile& tile, const Tmp& tmp, std::initializer_list<TileOperand> operands) {
  Core& core = Core::Current();
  LocalView view = tmp.view;
  if (tmp.shared) {
    core.CheckOperand(view, 0, Access::kWrite, {tile.api, "sharedTmpBuffer", tile.here});
  } else {
    view = core.Rest(tile.here);
  }
  if (view.bytes < tmp.need_bytes) {
    Fail(Rule::kTmpSize, tile.here, "%s: argument '%s' is %u bytes, expected at least %llu (%s)", tile.api,
         tmp.shared ? "sharedTmpBuffer" : "UB left for sharedTmpBuffer", view.bytes, ull{tmp.need_bytes}, tmp.reason);
  }
  if (!tmp.shared) return;
  core.CheckOperand(view, tmp.need_bytes, Access::kWrite, {tile.api, "sharedTmpBuffer", tile.here});
  core.Work(view, 0, tmp.need_bytes, Engine::kVector, {tile.api, "sharedTmpBuffer", tile.here}, Access::kWrite);
  for (const TileOperand& operand : operands) {
    if (!Overlap(view, tmp.need_bytes, operand.view, operand.bytes)) continue;
    Fail(Rule::kOverlap, tile.here, "%s: argument 'sharedTmpBuffer' overlaps '%s', expected disjoint memory", tile.api, operand.name);
  }
  core.MemoryOf(view.data).Forget(view.data, tmp.need_bytes);
}

// Real columns of each row only: the pads are never read.
void RequireRows(const Tile& tile, const char* name, const LocalView& view) {
  for (uint64_t row = 0; row < tile.rows; ++row) {
    Core::Current().RequireWritten(view, row * tile.row_bytes(), tile.real_cols * tile.size, {tile.api, name, tile.here});
  }
}
void RequireAll(const Tile& tile, const char* name, const LocalView& view, uint64_t bytes) {
  Core::Current().RequireWritten(view, 0, bytes, {tile.api, name, tile.here});
}

void Forget(const Tile& tile, const LocalView& source) { Core::Current().MemoryOf(source.data).Forget(source.data, tile.tile_bytes()); }

void FinishRows(const Tile& tile, const LocalView& view, uint64_t rows) {
  const uint64_t real = tile.real_cols * tile.size;
  for (uint64_t row = 0; row < rows; ++row) std::memset(view.data + row * tile.row_bytes() + real, 0, tile.row_bytes() - real);
  Core::Current().SetWritten(view.data, rows * tile.row_bytes());
}

// Shape arrays that views point to; they live as long as the problem.
struct Views {
  explicit Views(const Tile& tile)
      : dtype(tile.dtype()),
        tile_shape{static_cast<int64_t>(tile.rows), static_cast<int64_t>(tile.real_cols)},
        tile_strides{static_cast<int64_t>(tile.cols), 1} {}
  TensorView Rows(const LocalView& view) const { return {view.data, dtype, tile_shape, tile_strides}; }
  TensorView Statistic(const LocalView& view) const { return {view.data, dtype, std::span(tile_shape).first(1), {}}; }
  TensorView Column(const LocalView& view) const { return {view.data, dtype, std::span(tile_shape).last(1), {}}; }
  TensorView Floats(std::vector<float>& values) const { return {values.data(), DType::kF32, std::span(tile_shape).first(1), {}}; }
  DType dtype;
  int64_t tile_shape[2];
  int64_t tile_strides[2];
};

void Check(const Tile& tile, const Status& status) {
  if (status.ok()) return;
  // The core's text starts with the name of the call.
  Fail(status.code() == Code::kBadValue ? Rule::kParameter : Rule::kLaunch, tile.here, "%s", status.message());
}

// Bytes up to the end of the last temporary tensor: the vendor rounds rows up, so this may exceed stackBufferSize.
uint64_t GradLayoutBytes(uint64_t one, const Tile& tile, uint64_t tensors) {
  return ((tensors - 1) * one + std::min(one, tile.rows * tile.cols)) * sizeof(float);
}

}  // namespace

void RunLayerNormGrad(const LayerNormGradCall& call, const LayerNormGradTiling& tiling, Here here) {
  const char* api = "LayerNormGrad";
  if (call.format != AscendC::DataFormat::ND) {
    Fail(Rule::kFormat, here, "%s: argument 'shapeInfo' dataFormat is %d, expected ND = 0", api, static_cast<int>(call.format));
  }
  const Tile tile = MakeTile(api, call.type, {tiling.bLength, tiling.sLength, tiling.hLength, tiling.originalHLength}, here);
  const bool in_place = call.reuse_source && call.type == Type::kF32;
  const bool narrow = call.type == Type::kF16;
  if (tiling.oneCalSize == 0 || tiling.stackBufferSize == 0) {
    // A group of rows is what the vendor rounds up to.
    const uint64_t group = (narrow ? 16 : 8) * tile.cols;
    const uint64_t need = GradLayoutBytes(group, tile, narrow ? 9 : in_place ? 4 : 6);
    Fail(Rule::kTmpSize, here, "%s: argument 'tiling' %s is 0, expected the tiling of a stackBufferSize of %llu bytes or more", api,
         tiling.oneCalSize == 0 ? "oneCalSize" : "stackBufferSize", ull{need});
  }
  if (narrow != (tiling.tmpTensorPos != 0)) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' was made for typeSize %d, expected %d", api, narrow ? 4 : 2, narrow ? 2 : 4);
  }
  if (!in_place && tiling.x1TensorPos == 0) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' was made for isReuseSource = true with float, expected one for this call", api);
  }
  // With isReuseSource a tiling made without it works too, in the larger layout.
  const uint64_t tensors = narrow ? 9 : tiling.x1TensorPos == 0 ? 4 : 6;
  const std::initializer_list<TileOperand> operands = {{"outputPdX", call.dx, tile.tile_bytes(), Access::kWrite, true},
                                                       {"resForGamma", call.xhat, tile.tile_bytes(), Access::kWrite, true},
                                                       {"inputDy", call.dy, tile.tile_bytes(), Access::kRead, true},
                                                       {"inputX", call.x, tile.tile_bytes(), Access::kRead, true},
                                                       {"inputVariance", call.variance, tile.statistic_bytes(), Access::kRead},
                                                       {"inputMean", call.mean, tile.statistic_bytes(), Access::kRead},
                                                       {"inputGamma", call.gamma, tile.row_bytes(), Access::kRead}};
  CheckOperands(tile, operands);
  CheckOverlaps(tile, operands);
  const uint64_t layout = GradLayoutBytes(tiling.oneCalSize, tile, tensors);
  CheckTmp(tile,
           {call.tmp, call.shared_tmp, std::max<uint64_t>(tiling.stackBufferSize, layout),
            layout > tiling.stackBufferSize ? "the layout of the tiling exceeds its stackBufferSize" : "the tiling's stackBufferSize"},
           operands);
  RequireRows(tile, "inputDy", call.dy);
  RequireRows(tile, "inputX", call.x);
  RequireAll(tile, "inputVariance", call.variance, tile.statistic_bytes());
  RequireAll(tile, "inputMean", call.mean, tile.statistic_bytes());
  RequireAll(tile, "inputGamma", call.gamma, tile.real_cols * tile.size);

  const Views views(tile);
  BackwardProblem problem;
  problem.api = api;
  problem.norm.eps = call.epsilon;
  problem.statistics = BackwardProblem::Statistics::kVariance;
  problem.dy = views.Rows(call.dy);
  problem.prenorm = views.Rows(call.x);
  problem.rstd = views.Statistic(call.variance);
  problem.mean = views.Statistic(call.mean);
  problem.weight = views.Column(call.gamma);
  problem.dx0 = views.Rows(call.dx);
  problem.xhat = views.Rows(call.xhat);
  Check(tile, Backward(problem, SerialExecutor()));
  FinishRows(tile, call.dx, tile.rows);
  FinishRows(tile, call.xhat, tile.rows);
  if (!in_place) return;
  // The device computes in these; what a kernel reads from them afterwards would not be its input.
  for (const LocalView& source : {call.dy, call.x}) {
    if (source.data != call.dx.data && source.data != call.xhat.data) Forget(tile, source);
  }
}

void RunLayerNormGradBeta(const LayerNormGradBetaCall& call, const LayerNormGradBetaTiling& tiling, Here here) {
  const char* api = "LayerNormGradBeta";
  const Tile tile = MakeTile(api, call.type, {tiling.bLength, tiling.sLength, tiling.hLength, tiling.originalHLength}, here);
  const bool narrow = call.type == Type::kF16;
  if (tiling.oneCalSize == 0 || tiling.stackBufferSize == 0) {
    Fail(Rule::kTmpSize, here, "%s: argument 'tiling' %s is 0, expected the tiling of a stackBufferSize of %llu bytes or more", api,
         tiling.oneCalSize == 0 ? "oneCalSize" : "stackBufferSize", ull{(narrow ? 4 : 2) * tile.cols * sizeof(float)});
  }
  if (tiling.numberOfTmpBuf != (narrow ? 2u : 1u)) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' was made for typeSize %d, expected %d", api, narrow ? 4 : 2, narrow ? 2 : 4);
  }
  const std::initializer_list<TileOperand> operands = {{"outputPdGamma", call.dgamma, tile.row_bytes(), Access::kWrite},
                                                       {"outputPdBeta", call.dbeta, tile.row_bytes(), Access::kWrite},
                                                       {"resForGamma", call.xhat, tile.tile_bytes(), Access::kRead, true},
                                                       {"inputDy", call.dy, tile.tile_bytes(), Access::kRead, true}};
  CheckOperands(tile, operands);
  CheckOverlaps(tile, operands);
  CheckTmp(tile, {call.tmp, call.shared_tmp, uint64_t{tiling.stackBufferSize} * sizeof(float), "the tiling's stackBufferSize"}, operands);
  RequireRows(tile, "resForGamma", call.xhat);
  RequireRows(tile, "inputDy", call.dy);

  // xhat is the norm of itself under mean 0 and rstd 1.
  const Views views(tile);
  std::vector<float> zeros(tile.rows, 0.0f);
  std::vector<float> ones(tile.rows, 1.0f);
  BackwardProblem problem;
  problem.api = api;
  problem.statistics = BackwardProblem::Statistics::kGiven;
  problem.dy = views.Rows(call.dy);
  problem.prenorm = views.Rows(call.xhat);
  problem.mean = views.Floats(zeros);
  problem.rstd = views.Floats(ones);
  problem.dweight = views.Column(call.dgamma);
  problem.dbias = views.Column(call.dbeta);
  Check(tile, Backward(problem, SerialExecutor()));
  FinishRows(tile, call.dgamma, 1);
  FinishRows(tile, call.dbeta, 1);
}

void RunLayerNorm(const LayerNormCall& call, const LayerNormTiling& tiling, Here here) {
  const char* api = "LayerNorm";
  const Tile tile = MakeTile(api, call.type, {tiling.bLength, tiling.sLength, tiling.hLength, tiling.originalHLength}, here);
  const bool narrow = call.type == Type::kF16;
  if (tiling.oneTmpSize == 0 || tiling.tmpBufSize == 0) {
    const TileShape shape{tiling.bLength, tiling.sLength, tiling.hLength, tiling.originalHLength};
    Fail(Rule::kTmpSize, here, "%s: argument 'tiling' %s is 0, expected the tiling of a stackBufferSize of %u bytes or more", api,
         tiling.oneTmpSize == 0 ? "oneTmpSize" : "tmpBufSize", LayerNormTmpSize(shape, tile.size, call.reuse_source).min);
  }
  if (narrow != (tiling.meanTmpTensorSize != 0)) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' was made for typeSize %d, expected %d", api, narrow ? 4 : 2, narrow ? 2 : 4);
  }
  if (tiling.numberOfTmpBuf == 2 && !call.reuse_source) {
    Fail(Rule::kShape, here, "%s: argument 'tiling' was made for isReuseSource = true with float, expected one for this call", api);
  }
  const std::initializer_list<TileOperand> operands = {{"output", call.y, tile.tile_bytes(), Access::kWrite, true},
                                                       {"outputMean", call.mean, tile.statistic_bytes(), Access::kWrite},
                                                       {"outputVariance", call.variance, tile.statistic_bytes(), Access::kWrite},
                                                       {"inputX", call.x, tile.tile_bytes(), Access::kRead, true},
                                                       {"gamma", call.gamma, tile.row_bytes(), Access::kRead},
                                                       {"beta", call.beta, tile.row_bytes(), Access::kRead}};
  CheckOperands(tile, operands);
  CheckOverlaps(tile, operands);
  CheckTmp(tile, {call.tmp, call.shared_tmp, uint64_t{tiling.tmpBufSize} * sizeof(float), "the tiling's tmpBufSize"}, operands);
  RequireRows(tile, "inputX", call.x);
  RequireAll(tile, "gamma", call.gamma, tile.real_cols * tile.size);
  RequireAll(tile, "beta", call.beta, tile.real_cols * tile.size);

  // The biased variance by its definition, in fp64, before y may overwrite x.
  std::vector<double> variance(tile.rows);
  for (uint64_t row = 0; row < tile.rows; ++row) {
    const uint8_t* x = call.x.data + row * tile.row_bytes();
    double mean = 0, sum = 0;
    for (uint64_t i = 0; i < tile.real_cols; ++i) mean += static_cast<double>(Load(tile.type, x + i * tile.size));
    mean /= static_cast<double>(tile.real_cols);
    for (uint64_t i = 0; i < tile.real_cols; ++i) {
      const double d = static_cast<double>(Load(tile.type, x + i * tile.size)) - mean;
      sum += d * d;
    }
    variance[row] = sum / static_cast<double>(tile.real_cols);
  }
  const Views views(tile);
  ForwardProblem problem =
      addnorm::LayerNorm(views.Rows(call.x), views.Column(call.gamma), views.Column(call.beta), call.epsilon, views.Rows(call.y));
  problem.api = api;
  problem.mean = views.Statistic(call.mean);
  Check(tile, Forward(problem, SerialExecutor()));
  for (uint64_t row = 0; row < tile.rows; ++row) StoreElement(tile.type, call.variance.data + row * tile.size, variance[row]);
  FinishRows(tile, call.y, tile.rows);
  // As LayerNormGrad does.
  if (call.reuse_source && !narrow && call.x.data != call.y.data) Forget(tile, call.x);
  Core::Current().SetWritten(call.mean.data, tile.statistic_bytes());
  Core::Current().SetWritten(call.variance.data, tile.statistic_bytes());
}

}  // namespace addnorm::ascendc
