// SPDX-License-Identifier: Apache-2.0
#include "bench/verify.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace addnorm::bench {
namespace {

constexpr double kU = 0x1p-24;

// Half a unit in the last place of the output for its one rounding, and a few of fp32 for what is behind it.
bool Near(double got, double want, DType dtype, double scale) {
  const double rounding = dtype == DType::kBF16 ? 0x1p-8 : kU;
  return std::fabs(got - want) <= rounding * std::fabs(want) * (1 + 1e-6) + 16 * kU * scale;
}

std::string Wrong(const char* what, size_t index, double got, double want) {
  char text[160];
  std::snprintf(text, sizeof(text), "%s[%zu] is %.9g, expected %.9g", what, index, got, want);
  return text;
}

size_t Rows(const Operands& o) { return static_cast<size_t>(o.x1.shape[0]); }
size_t Cols(const Operands& o) { return static_cast<size_t>(o.x1.shape[1]); }
size_t RowStep(size_t rows) { return std::max<size_t>(1, rows / 64); }

// xhat of one row from h, and rstd.
double Normalise(const std::vector<double>& h, NormKind kind, double eps, std::vector<double>* xhat) {
  const double count = static_cast<double>(h.size());
  double mean = 0, variance = 0;
  if (kind == NormKind::kLayer) {
    for (const double v : h) mean += v;
    mean /= count;
  }
  for (const double v : h) variance += (v - mean) * (v - mean);
  const double rstd = 1 / std::sqrt(variance / count + eps);
  xhat->resize(h.size());
  for (size_t i = 0; i < h.size(); ++i) (*xhat)[i] = (h[i] - mean) * rstd;
  return rstd;
}

// h = x1 * scale + x2 in fp32, step by step; scale 0 where dropped.
void FormRow(const Operands& o, size_t row, const std::vector<uint8_t>& keep, double p, std::vector<double>* h) {
  const size_t cols = Cols(o);
  const float scale = static_cast<float>(1 / (1 - p));
  h->resize(cols);
  for (size_t i = 0; i < cols; ++i) {
    const size_t at = row * cols + i;
    float x = static_cast<float>(o.x1.at(at));
    if (!keep.empty()) x = keep[at] ? x * scale : 0;
    (*h)[i] = static_cast<double>(x + static_cast<float>(o.x2.at(at)));
  }
}

// The mask is an output like any other; whether it is the documented one is the tests' business, here its share must fit.
std::string TakeMask(const Operands& o, NormKind kind, double p, const Executor& executor, std::vector<uint8_t>* keep) {
  keep->resize(o.x1.count());
  ForwardProblem problem = o.Forward(kind, p);
  problem.keep = {keep->data(), DType::kBool, problem.y.shape, {}};
  if (const Status status = Forward(problem, executor); !status.ok()) return status.message();
  double kept = 0;
  for (const uint8_t k : *keep) kept += k;
  const double count = static_cast<double>(keep->size()), spread = std::sqrt(count * p * (1 - p));
  if (std::fabs(kept - count * (1 - p)) > 6 * spread) return Wrong("kept share", 0, kept / count, 1 - p);
  return "";
}

}  // namespace

std::string VerifyForward(const Operands& o, NormKind kind, double p, const Executor& executor) {
  std::vector<uint8_t> keep;
  if (p > 0) {
    if (const std::string wrong = TakeMask(o, kind, p, executor, &keep); !wrong.empty()) return wrong;
  }
  std::fill_n(o.y.data, o.y.bytes(), std::byte{0x5a});
  std::fill_n(o.sum.data, o.sum.bytes(), std::byte{0x5a});
  if (const Status status = Forward(o.Forward(kind, p), executor); !status.ok()) return status.message();
  std::vector<double> h, xhat;
  const size_t cols = Cols(o);
  for (size_t row = 0; row < Rows(o); row += RowStep(Rows(o))) {
    FormRow(o, row, keep, p, &h);
    Normalise(h, kind, o.eps, &xhat);
    for (size_t i = 0; i < cols; ++i) {
      const size_t at = row * cols + i;
      const double w = o.weight.at(i), b = kind == NormKind::kLayer ? o.bias.at(i) : 0, y = xhat[i] * w + b;
      if (!Near(o.sum.at(at), h[i], o.sum.dtype, 0)) return Wrong("sum", at, o.sum.at(at), h[i]);
      if (!Near(o.y.at(at), y, o.y.dtype, std::fabs(w) * (1 + std::fabs(xhat[i])) + std::fabs(b))) return Wrong("y", at, o.y.at(at), y);
    }
  }
  return "";
}

std::string VerifyBackward(const Operands& o, NormKind kind, bool saved_statistics, const Executor& executor) {
  for (const Tensor* out : {&o.dx, &o.dweight, &o.dbias}) std::fill_n(out->data, out->bytes(), std::byte{0x5a});
  if (const Status status = Backward(o.Backward(kind, saved_statistics), executor); !status.ok()) return status.message();
  const size_t rows = Rows(o), cols = Cols(o);
  std::vector<double> h(cols), xhat, dy(cols), dweight(cols), dbias(cols), dweight_scale(cols), dbias_scale(cols);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < cols; ++i) h[i] = o.sum.at(row * cols + i), dy[i] = o.dy.at(row * cols + i);
    const double rstd = Normalise(h, kind, o.eps, &xhat);
    double c1 = 0, c2 = 0, c_scale = 0;
    for (size_t i = 0; i < cols; ++i) {
      const double w = dy[i] * o.weight.at(i);
      c1 += w * xhat[i];
      c2 += kind == NormKind::kLayer ? w : 0;
      c_scale += std::fabs(w) * (1 + std::fabs(xhat[i]));
      dweight[i] += dy[i] * xhat[i];
      dbias[i] += dy[i];
      dweight_scale[i] += std::fabs(dy[i]) * (1 + std::fabs(xhat[i]));
      dbias_scale[i] += std::fabs(dy[i]);
    }
    if (row % RowStep(rows) != 0) continue;
    const double count = static_cast<double>(cols);
    for (size_t i = 0; i < cols; ++i) {
      const size_t at = row * cols + i;
      const double w = dy[i] * o.weight.at(i), want = rstd * (w - c2 / count - xhat[i] * c1 / count);
      const double scale = rstd * (std::fabs(w) + (1 + std::fabs(xhat[i])) * c_scale / count);
      if (!Near(o.dx.at(at), want, o.dx.dtype, scale)) return Wrong("dx", at, o.dx.at(at), want);
    }
  }
  for (size_t i = 0; i < cols; ++i) {
    if (!Near(o.dweight.at(i), dweight[i], o.dweight.dtype, dweight_scale[i])) return Wrong("dweight", i, o.dweight.at(i), dweight[i]);
    if (kind == NormKind::kRms) continue;
    if (!Near(o.dbias.at(i), dbias[i], o.dbias.dtype, dbias_scale[i])) return Wrong("dbias", i, o.dbias.at(i), dbias[i]);
  }
  return "";
}

}  // namespace addnorm::bench
