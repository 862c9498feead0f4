// SPDX-License-Identifier: Apache-2.0
#include "src/core/check.h"

#include <cmath>
#include <cstring>

#include "src/core/layout.h"

namespace addnorm {
namespace {

// Checks operand after operand against one reference shape; remembers the first fault and then does nothing.
class Checker {
 public:
  Checker(const char* api, std::span<const ArgName> names) : api_(api), names_(names) {}

  // The operand that says what [rows, cols] is.
  void Reference(const char* field, const TensorView& view, int normalized_rank) {
    reference_ = NameOfField(field);
    if (!view) return Fail(Status::Error(Code::kNullArg, "%s: argument '%s' is absent, expected a tensor", api_, reference_));
    shape_ = view.shape;
    wide_ = view.dtype == DType::kF64;
    if (shape_.empty()) {
      return Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has shape [], expected at least one dimension", api_, reference_));
    }
    if (normalized_rank < 1 || static_cast<size_t>(normalized_rank) > shape_.size()) {
      return Fail(Status::Error(Code::kBadShape, "%s: normalized_rank is %d, expected 1 to %zu, the rank of '%s'", api_, normalized_rank,
                                shape_.size(), reference_));
    }
    leading_ = shape_.first(shape_.size() - static_cast<size_t>(normalized_rank));
    trailing_ = shape_.last(static_cast<size_t>(normalized_rank));
    const auto total = Numel(shape_);
    if (!total) {
      return Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has shape %s, expected dimensions >= 0 whose product fits in memory",
                                api_, reference_, ShapeText(shape_).c_str()));
    }
    const auto rows = Numel(leading_), cols = Numel(trailing_);
    if (!rows || !cols) {
      return Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has shape %s, expected dimensions >= 0 whose product fits in memory",
                                api_, reference_, ShapeText(shape_).c_str()));
    }
    rows_ = *rows;
    cols_ = *cols;
  }

  Shape shape() const { return {rows_, cols_}; }
  bool wide() const { return wide_; }
  const Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }

  In Rows(const char* field, const TensorView& view) { return AsIn(Full(field, view, false)); }
  Out RowsOut(const char* field, const TensorView& view) { return AsOut(Full(field, view, true)); }
  In Columns(const char* field, const TensorView& view) { return AsIn(Column(field, view, false)); }
  Out ColumnsOut(const char* field, const TensorView& view) { return AsOut(Column(field, view, true)); }
  In Scalars(const char* field, const TensorView& view) { return AsIn(Scalar(field, view, false)); }
  Out ScalarsOut(const char* field, const TensorView& view) { return AsOut(Scalar(field, view, true)); }
  // A per-column vector, or a full operand.
  In ColumnsOrRows(const char* field, const TensorView& view) {
    return view && view.shape.size() == shape_.size() && !leading_.empty() ? Rows(field, view) : Columns(field, view);
  }
  Out Keep(const TensorView& view) {
    if (view && ok() && view.dtype != DType::kBool) {
      Fail(Status::Error(Code::kBadDType, "%s: argument '%s' is %s, expected bool", api_, NameOfField("keep"), NameOf(view.dtype)));
    }
    return AsOut(Full("keep", view, true));
  }

  void Require(const char* field, const TensorView& view, const char* why) {
    if (ok() && !view)
      Fail(Status::Error(Code::kNullArg, "%s: argument '%s' is absent, expected a tensor: %s", api_, NameOfField(field), why));
  }
  void Norm(const NormSpec& norm) {
    if (ok() && norm.kind != NormKind::kLayer && norm.kind != NormKind::kRms) {
      Fail(Status::Error(Code::kBadValue, "%s: argument 'kind' is %d, expected NormKind::kLayer or NormKind::kRms", api_,
                         static_cast<int>(norm.kind)));
    }
    if (ok() && !(std::isfinite(norm.eps) && norm.eps >= 0)) {
      Fail(Status::Error(Code::kBadValue, "%s: argument '%s' is %g, expected a finite number >= 0", api_, NameOfField("eps"), norm.eps));
    }
  }
  DropoutStage DropoutOf(const Dropout& dropout) {
    DropoutStage stage;
    if (!ok()) return stage;
    if (!(dropout.p >= 0 && dropout.p <= 1)) {
      Fail(Status::Error(Code::kBadValue, "%s: argument '%s' is %g, expected a probability in [0, 1]", api_, NameOfField("p"), dropout.p));
      return stage;
    }
    const uint64_t total = dropout.cols_total ? dropout.cols_total : cols_;
    if (dropout.col_base > total || total - dropout.col_base < cols_) {
      Fail(Status::Error(Code::kBadValue, "%s: argument 'cols_total' is %llu, expected at least col_base + columns = %llu + %zu", api_,
                         static_cast<unsigned long long>(total), static_cast<unsigned long long>(dropout.col_base), cols_));
      return stage;
    }
    const double kept = std::round((1.0 - dropout.p) * 0x1p32);
    if (kept >= 0x1p32) return stage;
    stage.mode = kept == 0 ? DropoutStage::Mode::kDropAll : DropoutStage::Mode::kDraw;
    stage.scale = kept == 0 ? 0.0 : 1.0 / (1.0 - dropout.p);
    stage.threshold = static_cast<uint32_t>(kept);
    stage.seed = dropout.seed;
    stage.offset = dropout.offset;
    stage.row_base = dropout.row_base;
    stage.col_base = dropout.col_base;
    stage.blocks_per_row = (total + 3) / 4;
    return stage;
  }
  void StoredType(DType dtype) {
    if (!ok() || (wide_ ? dtype == DType::kF64 : dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16)) return;
    Fail(Status::Error(Code::kBadDType, "%s: argument 'prenorm_dtype' is %s, expected %s", api_, NameOf(dtype), Accepted()));
  }

  // No output may touch another operand, save that a row output may be a row input exactly.
  void Overlaps() {
    for (size_t i = 0; ok() && i < count_; ++i) {
      const Operand& out = operands_[i];
      if (!out.is_output) continue;
      if (OverlapsItself(out.extent)) {
        return Fail(Status::Error(Code::kBadShape,
                                  "%s: output '%s' overlaps itself: its rows are %td elements apart, expected at least %zu", api_, out.name,
                                  out.view.row_stride, out.extent.width_bytes / SizeOf(out.view.dtype)));
      }
      for (size_t j = 0; ok() && j < count_; ++j) {
        const Operand& other = operands_[j];
        if (j == i || (other.is_output && j < i) || !Overlap(out.extent, other.extent)) continue;
        const bool same = !other.is_output && out.is_rows && other.is_rows && out.view.data == other.view.data &&
                          out.view.dtype == other.view.dtype && (out.view.row_stride == other.view.row_stride || rows_ < 2);
        if (!same) {
          Fail(Status::Error(Code::kBadShape, "%s: output '%s' overlaps '%s' in memory, expected separate memory%s", api_, out.name,
                             other.name, other.is_output ? "" : ", or exactly the same elements and type"));
        }
      }
    }
  }

 private:
  struct Operand {
    const char* name = nullptr;
    In view;
    Extent extent;
    bool is_output = false, is_rows = false;
  };

  static In AsIn(const Operand* operand) { return operand ? operand->view : In{}; }
  static Out AsOut(const Operand* operand) {
    return operand ? Out{const_cast<void*>(operand->view.data), operand->view.row_stride, operand->view.dtype} : Out{};
  }

  // The first fault is the one to tell.
  void Fail(const Status& status) {
    if (ok() && !status.ok()) status_ = status;
  }
  const char* NameOfField(const char* field) const { return addnorm::NameOfField(names_, field); }
  const char* Accepted() const { return wide_ ? "float64, the type of the others" : "float32, float16 or bfloat16"; }

  // What holds for every operand, whatever its role. `want` is the shape it must have.
  bool Common(const char* name, const TensorView& view, Dims want, bool is_bool) {
    if (!is_bool &&
        !(wide_ ? view.dtype == DType::kF64 : view.dtype == DType::kF32 || view.dtype == DType::kF16 || view.dtype == DType::kBF16)) {
      Fail(Status::Error(Code::kBadDType, "%s: argument '%s' is %s, expected %s", api_, name, NameOf(view.dtype), Accepted()));
    } else if (view.shape.size() != want.size() || !std::equal(want.begin(), want.end(), view.shape.begin())) {
      // A vector where a row belongs, or the other way round: the two conventions of argument order meet here.
      const bool is_weight = std::strcmp(name, NameOfField("weight")) == 0, is_residual = std::strcmp(name, NameOfField("residual")) == 0;
      const bool swapped = shape_.size() > trailing_.size() &&
                           ((is_weight && view.shape.size() == shape_.size()) || (is_residual && view.shape.size() == trailing_.size()));
      const bool of_reference = !swapped && want.data() == shape_.data() && want.size() == shape_.size();
      Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has shape %s, expected %s%s%s%s%s", api_, name, ShapeText(view.shape).c_str(),
                         ShapeText(want).c_str(), swapped ? " (are weight and residual swapped?)" : "",
                         of_reference ? ", the shape of '" : "", of_reference ? reference_ : "", of_reference ? "'" : ""));
    } else {
      Fail(CheckMemory(api_, name, view, *Numel(want)));
    }
    return ok();
  }

  Operand* Add(const char* name, const TensorView& view, ptrdiff_t row_stride, size_t rows, size_t cols, bool is_output, bool is_rows) {
    if (count_ == kMaxOperands) {
      Fail(Status::Error(Code::kInternal, "%s: more operands than the checker holds", api_));
      return nullptr;
    }
    const size_t size = SizeOf(view.dtype);
    ptrdiff_t stride_bytes = 0, span = 0;
    if (__builtin_mul_overflow(row_stride, static_cast<ptrdiff_t>(size), &stride_bytes) ||
        __builtin_mul_overflow(stride_bytes, static_cast<ptrdiff_t>(rows), &span)) {
      Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has a row stride of %td elements, expected its extent to fit in memory", api_,
                         name, row_stride));
      return nullptr;
    }
    Operand& operand = operands_[count_++];
    operand = {name,
               {view.data, row_stride, view.dtype},
               {static_cast<const char*>(view.data), rows, cols * size, stride_bytes},
               is_output,
               is_rows};
    return &operand;
  }

  Operand* Full(const char* field, const TensorView& view, bool is_output) {
    const char* name = NameOfField(field);
    if (!ok() || !view || !Common(name, view, shape_, view.dtype == DType::kBool && is_output && std::strcmp(field, "keep") == 0))
      return nullptr;
    const size_t lead = leading_.size();
    const Dims strides = view.strides;
    const auto row = CollapsedStride(leading_, strides.empty() ? strides : strides.first(lead), static_cast<ptrdiff_t>(cols_));
    const auto col = CollapsedStride(trailing_, strides.empty() ? strides : strides.last(trailing_.size()), 1);
    if (rows_ * cols_ != 0 && (!row || !col || (*col != 1 && cols_ > 1))) {
      Fail(Status::Error(Code::kBadShape,
                         "%s: argument '%s' has strides %s for shape %s, expected a contiguous row and one stride between rows", api_, name,
                         ShapeText(strides).c_str(), ShapeText(shape_).c_str()));
      return nullptr;
    }
    return Add(name, view, rows_ > 1 && row ? *row : 0, rows_, cols_, is_output, true);
  }
  Operand* Column(const char* field, const TensorView& view, bool is_output) {
    const char* name = NameOfField(field);
    if (!ok() || !view || !Common(name, view, trailing_, false)) return nullptr;
    const auto col = CollapsedStride(trailing_, view.strides, 1);
    if (cols_ > 1 && (!col || *col != 1)) {
      Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has strides %s, expected contiguous", api_, name,
                         ShapeText(view.strides).c_str()));
      return nullptr;
    }
    return Add(name, view, 0, 1, cols_, is_output, false);
  }
  Operand* Scalar(const char* field, const TensorView& view, bool is_output) {
    const char* name = NameOfField(field);
    if (!ok() || !view) return nullptr;
    // [A..], or [A.., 1..] as keepdim reductions give it.
    const bool keepdim = view.shape.size() == shape_.size();
    bool ones = keepdim;
    for (size_t i = leading_.size(); keepdim && i < view.shape.size(); ++i) ones = ones && view.shape[i] == 1;
    TensorView flat = view;
    if (ones) {
      flat.shape = view.shape.first(leading_.size());
      if (view.strides.size() == view.shape.size()) flat.strides = view.strides.first(leading_.size());
    }
    if (!Common(name, flat, leading_, false)) return nullptr;
    const auto stride = CollapsedStride(leading_, flat.strides, 1);
    if (rows_ > 1 && !stride) {
      Fail(Status::Error(Code::kBadShape, "%s: argument '%s' has strides %s, expected one stride between rows", api_, name,
                         ShapeText(view.strides).c_str()));
      return nullptr;
    }
    return Add(name, flat, stride ? *stride : 1, rows_, 1, is_output, false);
  }

  static constexpr size_t kMaxOperands = 24;
  const char* api_;
  std::span<const ArgName> names_;
  const char* reference_ = "";
  Dims shape_, leading_, trailing_;
  size_t rows_ = 0, cols_ = 0, count_ = 0;
  bool wide_ = false;
  Operand operands_[kMaxOperands];
  Status status_;
};

PreNorm PreNormOf(Checker& check, const PreNormTensors& tensors) {
  PreNorm pre;
  pre.x = check.Rows("x0", tensors.x0);
  pre.residual = check.Rows("residual", tensors.residual);
  pre.row_scale = check.Scalars("rowscale", tensors.rowscale);
  pre.col_scale = check.Columns("layerscale", tensors.layerscale);
  pre.bias = check.ColumnsOrRows("prebias", tensors.prebias);
  pre.dropout = check.DropoutOf(tensors.dropout);
  return pre;
}

}  // namespace

Status Check(const ForwardProblem& p, ForwardArgs* args) {
  Checker check(p.api, p.names);
  check.Reference("x0", p.pre.x0, p.normalized_rank);
  ForwardArgs a;
  a.shape = check.shape();
  a.wide = check.wide();
  a.norm = p.norm;
  check.Norm(p.norm);
  a.pre = PreNormOf(check, p.pre);
  a.weight = check.Columns("weight", p.weight);
  a.bias = check.Columns("bias", p.bias);
  a.y = check.RowsOut("y", p.y);
  a.sum = check.RowsOut("prenorm", p.prenorm);
  a.keep = check.Keep(p.keep);
  a.mean = check.ScalarsOut("mean", p.mean);
  a.mean_lo = check.ScalarsOut("mean_lo", p.mean_lo);
  a.rstd = check.ScalarsOut("rstd", p.rstd);
  a.stored = p.prenorm ? p.prenorm.dtype : a.wide ? DType::kF64 : p.prenorm_dtype;
  check.StoredType(a.stored);
  check.Overlaps();
  if (check.ok()) *args = a;
  return check.status();
}

Status Check(const BackwardProblem& p, BackwardArgs* args) {
  using Statistics = BackwardProblem::Statistics;
  Checker check(p.api, p.names);
  check.Reference("dy", p.dy, p.normalized_rank);
  BackwardArgs a;
  a.shape = check.shape();
  a.wide = check.wide();
  a.norm = p.norm;
  check.Norm(p.norm);
  a.dy = check.Rows("dy", p.dy);
  a.sum = check.Rows("prenorm", p.prenorm);
  a.pre = PreNormOf(check, p.pre);
  if (!p.prenorm) check.Require("x0", p.pre.x0, "h is formed again from it where 'prenorm' is absent");
  if (p.drowscale) check.Require("x0", p.pre.x0, "the gradient of rowscale needs it");
  if (p.dlayerscale) check.Require("x0", p.pre.x0, "the gradient of layerscale needs it");
  a.mean = check.Scalars("mean", p.mean);
  a.mean_lo = check.Scalars("mean_lo", p.mean_lo);
  a.rstd = check.Scalars("rstd", p.rstd);
  const bool layer = p.norm.kind == NormKind::kLayer;
  if (p.statistics != Statistics::kOurs) check.Require("rstd", p.rstd, "the statistics are given by the caller");
  if (layer && (p.rstd || p.statistics != Statistics::kOurs)) check.Require("mean", p.mean, "LayerNorm needs it beside 'rstd'");
  if (!layer) a.mean = a.mean_lo = In{};
  a.stat = p.statistics == Statistics::kOurs ? Stat::kOurs : p.statistics == Statistics::kGiven ? Stat::kGiven : Stat::kVariance;
  a.weight = check.Columns("weight", p.weight);
  a.dsum = check.Rows("dsum", p.dsum);
  a.dx = check.RowsOut("dx0", p.dx0);
  a.dresidual = check.RowsOut("dresidual", p.dresidual);
  a.xhat = check.RowsOut("xhat", p.xhat);
  a.drow_scale = check.ScalarsOut("drowscale", p.drowscale);
  a.dweight = check.ColumnsOut("dweight", p.dweight);
  a.dbias = check.ColumnsOut("dbias", p.dbias);
  a.dcol_scale = check.ColumnsOut("dlayerscale", p.dlayerscale);
  a.stored = a.wide ? DType::kF64 : p.prenorm_dtype;
  check.StoredType(a.stored);
  check.Overlaps();
  if (check.ok()) *args = a;
  return check.status();
}

}  // namespace addnorm
