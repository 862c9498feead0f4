// SPDX-License-Identifier: Apache-2.0
#include "tests/grid.h"

#include <algorithm>

#include "tests/covering.h"

namespace addnorm::test {
namespace {

constexpr double kPs[] = {0, .1, .37, .9, 1};
constexpr double kEpss[] = {0, 1e-12, 1e-6, 1e-5, .3};
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr size_t kCols[] = {1,   2,    3,    7,    8,    15,   16,   17,   31,   64,   100,  111,   123,   192,   229,    256,   541,
                            768, 1000, 1023, 1024, 1500, 1600, 3000, 4096, 5120, 6144, 8192, 12288, 16384, 65536, 131072, 262144};
constexpr size_t kRows[] = {0, 1, 2, 7, 63, 64, 65, 71, 199, 4096, 4097, 65537};

enum Factor : size_t {
  kColsFactor,
  kRowsFactor,
  kTypesFactor,
  kDataFactor,
  kWeightsFactor,
  kLayoutFactor,
  kSavedFactor,
  kEpsFactor,
  kPFactor,
  // Flags.
  kResidual,
  kBias,
  kRowscale,
  kLayerscale,
  kPrebias,
  kPrenorm,
  kFp32,
  kRms,
  kKeep,
  kRounded,
  kShard,
  kDsum,
  kAgain,
  kSame,
  kFactorCount
};

std::vector<size_t> Levels() {
  std::vector<size_t> levels = {std::size(kCols),
                                std::size(kRows),
                                28,
                                static_cast<size_t>(Data::kCount),
                                static_cast<size_t>(Weights::kCount),
                                static_cast<size_t>(Layout::kCount),
                                static_cast<size_t>(Saved::kCount),
                                std::size(kEpss),
                                std::size(kPs)};
  levels.resize(kFactorCount, 2);
  return levels;
}
bool Allowed(size_t i, size_t a, size_t j, size_t b) {
  if (i > j) return Allowed(j, b, i, a);
  return i != kColsFactor || j != kRowsFactor || kCols[a] * kRows[b] <= kMostElements;
}
const std::vector<std::vector<size_t>>& Rows() {
  static const std::vector<std::vector<size_t>> rows = CoveringArray(Levels(), Allowed);
  return rows;
}

// flash-attention's rule: a residual has a type of its own; without one, fp32 on request and x0's otherwise.
void SetPreNormType(bool in_fp32, Options* o) { o->prenorm = o->has_residual ? o->residual : in_fp32 ? DType::kF32 : o->x0; }

}  // namespace

Options FlagCase(size_t index) {
  const size_t flags = index % 1024;
  Options o = RandomOptions(1000000 + index);
  o.has_residual = flags & 1, o.has_bias = flags & 2, o.has_rowscale = flags & 4, o.has_layerscale = flags & 8, o.has_prenorm = flags & 16;
  o.has_keep = flags & 32, o.rms = flags & 64, o.from_rounded = flags & 128;
  if (flags & 256) {
    o.weights = Weights::kAbsent;
  } else if (o.weights == Weights::kAbsent) {
    o.weights = Weights::kNormal;
  }
  SetPreNormType(flags & 512, &o);
  o.p = kPs[index / 1024 % std::size(kPs)];
  o.has_y = true;
  Settle(&o);
  return o;
}

Options RandomCase(size_t index) { return RandomOptions(2000000 + index); }

std::vector<Options> CoveringCases() {
  std::vector<Options> cases;
  for (const std::vector<size_t>& row : Rows()) {
    Options o;
    o.seed = 3000000 + cases.size();
    const auto flag = [&row](Factor which) { return row[which] != 0; };
    o.cols = kCols[row[kColsFactor]], o.rows = kRows[row[kRowsFactor]];
    const size_t types = row[kTypesFactor];
    o.wide = types == 27;
    o.x0 = kFloats[types % 3], o.residual = kFloats[types / 3 % 3], o.weight = kFloats[types / 9 % 3];
    o.data = static_cast<Data>(row[kDataFactor]), o.weights = static_cast<Weights>(row[kWeightsFactor]);
    o.layout = static_cast<Layout>(row[kLayoutFactor]), o.saved = static_cast<Saved>(row[kSavedFactor]);
    o.eps = kEpss[row[kEpsFactor]], o.p = kPs[row[kPFactor]];
    o.has_residual = flag(kResidual), o.has_bias = flag(kBias), o.has_rowscale = flag(kRowscale), o.has_layerscale = flag(kLayerscale);
    o.has_prebias = flag(kPrebias), o.has_prenorm = flag(kPrenorm), o.rms = flag(kRms), o.has_keep = flag(kKeep);
    o.from_rounded = flag(kRounded), o.shard = flag(kShard), o.has_dsum = flag(kDsum), o.form_again = flag(kAgain),
    o.same_types = flag(kSame);
    SetPreNormType(flag(kFp32), &o);
    Settle(&o);
    cases.push_back(o);
  }
  return cases;
}

size_t CoveringViolations() { return CountViolations(Rows(), Levels(), Allowed); }

}  // namespace addnorm::test
