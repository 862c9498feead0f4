// SPDX-License-Identifier: Apache-2.0
// Prints how far fp32 results are from the exact ones, over what is hard: large means, constant rows, few and many columns, tiny and huge
// magnitudes; forward and backward, LayerNorm and RMSNorm. Exits with 1 if anything is outside the published bounds.
//   addnorm_accuracy [SIMD target]
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "addnorm/addnorm.h"
#include "tests/compare.h"
#include "tests/numbers.h"
#include "tests/reference.h"

namespace addnorm::test {
namespace {

struct Data {
  std::string name;
  double offset = 0, magnitude = 1;
};

// What one line prints of one output: the error in units of u * scale (the bound's `units`), in bounds, and as a number.
struct Cell {
  double units = 0, ratio = 0, error = 0;
};

class Line {
 public:
  Line(NormKind kind, const Data& data, size_t cols)
      : kind_(kind),
        name_(data.name),
        shape_{static_cast<int64_t>(cols > 10000 ? 2 : 40), static_cast<int64_t>(cols)},
        column_{shape_[1]},
        row_{shape_[0]} {
    const size_t rows = static_cast<size_t>(shape_[0]), count = rows * cols;
    Random random(cols * 7 + static_cast<size_t>(kind));
    for (std::vector<float>* each : {&x_, &y_, &dy_, &dx_}) each->resize(count);
    for (std::vector<float>* each : {&weight_, &bias_, &dweight_}) each->resize(cols);
    for (std::vector<float>* each : {&mean_, &mean_lo_, &rstd_}) each->resize(rows);
    for (size_t r = 0; r < rows; ++r) {
      const double centre = data.magnitude == 0 ? 3000 * random.Normal() : data.offset;
      for (size_t j = 0; j < cols; ++j) x_[r * cols + j] = static_cast<float>(centre + data.magnitude * random.Normal());
    }
    for (float& value : dy_) value = static_cast<float>(random.Normal());
    for (float& value : weight_) value = static_cast<float>(1 + 0.25 * random.Normal());
    for (float& value : bias_) value = static_cast<float>(0.25 * random.Normal());
  }

  // False if something was out of bounds.
  bool Print() {
    const NormSpec norm{kind_, 1e-5, false};
    const bool layer = kind_ == NormKind::kLayer;
    ForwardProblem forward{.norm = norm,
                           .pre = {.x0 = View(x_, shape_)},
                           .weight = View(weight_, column_),
                           .bias = View(bias_, column_),
                           .y = View(y_, shape_),
                           .rstd = View(rstd_, row_)};
    if (layer) forward.mean = View(mean_, row_), forward.mean_lo = View(mean_lo_, row_);
    BackwardProblem backward{.norm = norm,
                             .dy = View(dy_, shape_),
                             .prenorm = View(x_, shape_),
                             .mean = forward.mean,
                             .mean_lo = forward.mean_lo,
                             .rstd = forward.rstd,
                             .weight = forward.weight,
                             .dx0 = View(dx_, shape_),
                             .dweight = View(dweight_, column_)};
    for (const Status& status : {Forward(forward), Backward(backward)}) {
      if (status.ok()) continue;
      std::printf("%s\n", status.message());
      return false;
    }
    const ForwardExpected want = Reference(forward);
    const BackwardExpected gradients = Reference(backward);
    std::printf("%-9s  %-18s %6lld ", layer ? "LayerNorm" : "RMSNorm", name_.c_str(), static_cast<long long>(shape_[1]));
    bool fine = Show(forward.rstd, want.rstd);
    fine = Show(forward.y, want.y) && fine;
    fine = Show(backward.dx0, gradients.dx0) && fine;
    fine = Show(backward.dweight, gradients.dweight) && fine;
    std::printf("%s\n", fine ? "" : "  OUT OF BOUNDS");
    return fine;
  }

 private:
  static TensorView View(std::vector<float>& data, const std::vector<int64_t>& shape) { return {data.data(), DType::kF32, shape, {}}; }
  static bool Show(const TensorView& got, const Expected& want) {
    Comparator comparator;
    const Verdict verdict = comparator.Check(got, want, "");
    const Tally& tally = comparator.tallies().begin()->second;
    std::printf(" | %6.2f %5.2f %9.2e", tally.worst_units, verdict.ratio, tally.worst_error);
    return verdict.ok;
  }

  const NormKind kind_;
  const std::string name_;
  const std::vector<int64_t> shape_, column_, row_;
  std::vector<float> x_, y_, dy_, dx_, weight_, bias_, dweight_, mean_, mean_lo_, rstd_;
};

bool PrintTable() {
  std::vector<Data> all = {{"offset 0"}, {"offset 1e4", 1e4}, {"offset 1e6", 1e6}, {"constant rows", 0, 0}};
  for (const int exponent : {-30, -20, -10, 10, 18, 20, 30, 38}) {
    char name[32];
    std::snprintf(name, sizeof(name), "magnitude 1e%d", exponent);
    all.push_back({name, 0, exponent == 38 ? 5e37 : std::pow(10.0, exponent)});
  }
  std::printf("fp32 on %s. Each cell: error beyond 1/2 ulp in u*scale (bound: rstd 4, y 5, dx 6, dweight 16), |error|/bound, max |error|\n",
              CurrentTarget());
  std::printf("%-9s  %-18s %6s  | %-22s | %-22s | %-22s | %-22s\n", "norm", "data", "cols", "rstd", "y", "dx", "dweight");
  bool fine = true;
  for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
    for (const Data& data : all) {
      for (const size_t cols : {1, 2, 3, 7, 64, 768, 4096, 65536}) fine = Line(kind, data, cols).Print() && fine;
    }
  }
  std::printf(fine ? "all within bounds\n" : "NOT all within bounds\n");
  return fine;
}

}  // namespace
}  // namespace addnorm::test

int main(int argc, char** argv) {
  if (argc > 1) {
    const addnorm::Status status = addnorm::SetThreadTarget(argv[1]);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.message());
      return 2;
    }
  }
  return addnorm::test::PrintTable() ? 0 : 1;
}
