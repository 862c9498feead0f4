// SPDX-License-Identifier: Apache-2.0
// Values of all operators against the reference, in the contract's bounds: random ranks, types, masks, presences and views (permuted,
// sliced, with offsets, broadcast inputs, byte-misaligned memory, outputs on top of inputs). What lies between the elements of an output,
// and every input, must stay as it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "doors/aclnn/tests/calls.h"
#include "doors/aclnn/tests/dense.h"
#include "tests/compare.h"
#include "tests/numbers.h"
#include "tests/reference.h"

namespace addnorm::aclnn_test {
namespace {

using test::Comparator;
using test::Mix;
using test::Random;

constexpr aclDataType kTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int kCases = 12000;

// A view of `shape`: a permutation of a larger block, perhaps with steps, an offset and repeated elements.
void RandomView(Random& random, TestTensor* t, bool output) {
  const size_t rank = t->shape.size();
  std::vector<size_t> order(rank);
  for (size_t i = 0; i < rank; ++i) order[i] = i;
  const uint64_t kind = random.Below(6);  // 0, 1: contiguous
  if (kind >= 3) {
    for (size_t i = rank; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  }
  int64_t next = 1;
  for (size_t i = rank; i-- > 0;) {
    const size_t d = order[i];
    const int64_t step = kind >= 4 && random.OneIn(3) ? 2 : 1,
                  slack = kind >= 2 && random.OneIn(3) ? static_cast<int64_t>(random.Below(4)) : 0;
    t->strides[d] = next * step;
    next *= std::max<int64_t>(1, t->shape[d]) * step + slack;
    if (!output && kind == 5 && random.OneIn(4)) t->strides[d] = 0;
  }
  t->offset = kind >= 2 ? static_cast<int64_t>(random.Below(5)) : 0;
  if (kind >= 4 && random.OneIn(4)) t->misalign = 1;
  t->Allocate();
}

void RandomValues(Random& random, TestTensor* t, double mean, double sigma) {
  const TensorView view = t->View();
  const auto span = static_cast<ptrdiff_t>(t->memory->size() / BytesOf(t->type));
  std::byte* base = t->Address();
  // Store writes whole elements wherever they are.
  for (ptrdiff_t i = 0; i < span; ++i) {
    std::byte element[8];
    test::Store(view.dtype, element, 0, static_cast<long double>(mean + sigma * random.Normal()));
    std::memcpy(base + i * static_cast<ptrdiff_t>(BytesOf(t->type)), element, BytesOf(t->type));
  }
}

struct Shape {
  Dims leading, normalized;
};

Shape RandomShape(Random& random) {
  const size_t rank = 1 + random.Below(8), normalized = 1 + random.Below(rank);
  static constexpr int64_t kSizes[] = {1, 1, 2, 3, 4, 5};
  Shape s;
  for (size_t i = 0; i < rank; ++i) (i < rank - normalized ? s.leading : s.normalized).push_back(random.Pick(kSizes));
  if (rank <= 3 && random.OneIn(6)) {
    (s.leading.empty() || random.OneIn(2) ? s.normalized : s.leading).back() = 1 + static_cast<int64_t>(random.Below(150));
  }
  // The reference is slow; small problems say as much.
  const auto largest = [](Dims& dims) { return std::max_element(dims.begin(), dims.end()); };
  while (Product(s.leading) > 150) *largest(s.leading) = 1;
  while (Product(s.normalized) > 150) *largest(s.normalized) = 1;
  if (random.OneIn(25)) (s.leading.empty() ? s.normalized : s.leading).back() = 0;
  return s;
}

class Case {
 public:
  Case(Op op, uint64_t seed) : random_(seed), seed_(seed) {
    const Shape shape = RandomShape(random_);
    leading_ = shape.leading;
    normalized_ = shape.normalized;
    call_ = MakeCall(op, leading_, normalized_, random_.Pick(kTypes));
    static constexpr double kEps[] = {1e-12, 1e-5, 1e-5, 1e-3, 0.1, 2};
    call_.eps = random_.Pick(kEps);
    if (op == Op::kLayerNorm && random_.OneIn(4)) call_.impl_mode = static_cast<int32_t>(random_.Below(3));
    ChooseTypes();
    ChoosePresence();
    for (auto& [name, tensor] : call_.tensors) {
      const bool output = IsOutput(name);
      RandomView(random_, &tensor, output);
      const bool rstd = name == "rstd", weight = name == "gamma" || name == "weightOptional";
      RandomValues(random_, &tensor, rstd ? 1.5 : weight ? 1.0 : 0.3, rstd ? 0.2 : 1.0);
    }
    ShareMemory();
  }

  void Run(Comparator* comparator) {
    std::map<std::string, std::vector<std::byte>> before, outside;
    std::map<std::string, TestTensor> dense;
    for (auto& [name, tensor] : call_.tensors) {
      dense.emplace(name, Dense(tensor, TwoDims(name)));
      if (IsWritten(name)) {
        outside[name] = Outside(tensor);
      } else {
        before[name] = *tensor.memory;
      }
    }
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(call_.Phase1(&size, &executor), ACLNN_SUCCESS) << Text() << RecentText();
    // Exactly what was asked for, at any address.
    const size_t shift = random_.Below(64);
    std::vector<std::byte> workspace(size + shift, std::byte{0xAB});
    ASSERT_EQ(call_.Phase2(size == 0 ? nullptr : workspace.data() + shift, size, executor, nullptr), ACLNN_SUCCESS)
        << Text() << RecentText();
    for (auto& [name, bytes] : before) {
      if (shared_.count(name) != 0) continue;
      EXPECT_TRUE(bytes == *call_.tensors[name].memory) << Text() << name << " has changed";
    }
    for (auto& [name, bytes] : outside)
      EXPECT_TRUE(bytes == Outside(call_.tensors[name])) << Text() << name << ": written outside of the view";
    Compare(comparator, dense);
  }

 private:
  bool Has(const char* name) const { return call_.tensors.count(name) != 0; }
  bool IsOutput(const std::string& name) const {
    for (const char* output : InfoOf(call_.op).outputs) {
      if (name == output) return true;
    }
    return false;
  }
  bool IsWritten(const std::string& name) const {
    if (call_.op == Op::kLayerNormBackward) {
      for (size_t i = 0; i < 3; ++i) {
        if (name == InfoOf(call_.op).outputs[i]) return call_.mask[i];
      }
    }
    return IsOutput(name) && (name != "xOut" || call_.additional_output || call_.op != Op::kAddLayerNorm);
  }
  bool IsStat(const std::string& name) const { return name.rfind("mean", 0) == 0 || name.rfind("rstd", 0) == 0; }
  Dims TwoDims(const std::string& name) {
    const int64_t rows = Product(leading_), cols = Product(normalized_);
    if (IsStat(name)) return {rows};
    const Dims& shape = call_.tensors[name].shape;
    return shape.size() > normalized_.size() || (leading_.empty() && name != "gamma" && name != "weightOptional") ? Dims{rows, cols}
                                                                                                                  : Dims{cols};
  }
  std::string Text() const { return std::string(InfoOf(call_.op).api) + " seed " + std::to_string(seed_) + ": "; }

  void SetType(const char* name, aclDataType type) {
    if (Has(name)) call_.tensors[name].type = type;
  }
  void ChooseTypes() {
    switch (call_.op) {
      case Op::kLayerNormBackward:
        for (const char* name : {"mean", "rstd", "gradInputOut", "gradWeightOut", "gradBiasOut", "biasOptional"})
          SetType(name, random_.Pick(kTypes));
        if (random_.OneIn(2)) SetType("weightOptional", ACL_FLOAT);
        for (size_t i = 0; i < 3; ++i) call_.mask[i] = !random_.OneIn(3);
        break;
      case Op::kAddLayerNormGrad:
      case Op::kRmsNorm:
        if (random_.OneIn(2)) SetType("gamma", ACL_FLOAT);
        break;
      case Op::kLayerNorm:
        for (const char* name : {"out", "meanOutOptional", "rstdOutOptional"}) SetType(name, random_.Pick(kTypes));
        if (random_.OneIn(2)) SetType("weightOptional", ACL_FLOAT), SetType("biasOptional", ACL_FLOAT);
        break;
      case Op::kAddLayerNorm:
        if (random_.OneIn(3)) {  // one of the inputs FLOAT, the other as it is: the rest FLOAT
          SetType(random_.OneIn(2) ? "x1" : "x2", ACL_FLOAT);
          for (const char* name : {"gamma", "beta", "biasOptional", "yOut", "xOut"}) SetType(name, ACL_FLOAT);
        } else if (random_.OneIn(2)) {
          SetType("gamma", ACL_FLOAT), SetType("beta", ACL_FLOAT);
        }
        call_.additional_output = random_.OneIn(2);
        break;
      default:
        break;
    }
  }
  void ChoosePresence() {
    for (const char* name : {"weightOptional", "biasOptional", "dsumOptional", "meanOutOptional", "rstdOutOptional"}) {
      if (random_.OneIn(3)) call_.tensors.erase(name);
    }
    if (call_.op == Op::kAddLayerNormGrad && random_.OneIn(4)) call_.tensors.erase("gamma");
    if (call_.op == Op::kAddRmsNorm && random_.OneIn(3)) {
      call_.tensors.erase("rstdOut");
      if (random_.OneIn(2)) call_.tensors.erase("xOut");
    }
    if (call_.op == Op::kAddLayerNorm && Has("biasOptional") && random_.OneIn(2)) {
      call_.tensors["biasOptional"] = TestTensor(call_.tensors["biasOptional"].type, normalized_);
    }
    if (call_.op == Op::kLayerNormBackward && random_.OneIn(3)) {  // any shape with the right number of elements
      for (const char* name : {"gradWeightOut", "gradBiasOut"})
        call_.tensors[name] = TestTensor(call_.tensors[name].type, {Product(normalized_)});
    }
    const bool short_stat = call_.op != Op::kLayerNorm && random_.OneIn(3);
    for (const char* name : {"mean", "rstd", "meanOut", "rstdOut"}) {
      if (short_stat && Has(name)) call_.tensors[name] = TestTensor(call_.tensors[name].type, leading_);
    }
  }
  // An output exactly on top of an input of its type and shape.
  void ShareMemory() {
    if (!random_.OneIn(4)) return;
    const std::vector<const char*> inputs = InfoOf(call_.op).inputs, outputs = InfoOf(call_.op).outputs;
    const char *input = inputs[random_.Below(inputs.size())], *output = outputs[random_.Below(outputs.size())];
    if (!Has(input) || !Has(output) || !IsWritten(output)) return;
    TestTensor &in = call_.tensors[input], &out = call_.tensors[output];
    bool repeats = false;
    for (size_t d = 0; d < in.shape.size(); ++d) repeats = repeats || (in.strides[d] == 0 && in.shape[d] > 1);
    if (in.type != out.type || in.shape != out.shape || repeats) return;
    out = in;
    shared_.insert(input);
  }

  void Judge(Comparator* comparator, const char* name, const test::Expected& want) {
    if (!Has(name) || !IsWritten(name)) return;
    TestTensor got = Dense(call_.tensors[name], TwoDims(name));
    const test::Verdict verdict = comparator->Check(got.View(), want, Text() + name);
    EXPECT_TRUE(verdict.ok) << verdict.message;
  }
  // What the statistics of an empty row are.
  void JudgeEmpty(const char* name, double want) {
    if (!Has(name)) return;
    TestTensor got = Dense(call_.tensors[name], TwoDims(name));
    for (int64_t i = 0; i < Product(got.shape); ++i) {
      const auto value = static_cast<double>(test::Load(CoreType(got.type), got.memory->data(), i));
      EXPECT_TRUE(want == 0 ? value == 0 : value != value) << Text() << name << "[" << i << "] is " << value;
    }
  }

  void Compare(Comparator* comparator, std::map<std::string, TestTensor>& dense) {
    const auto in = [&](const char* name) { return Has(name) ? dense[name].View() : TensorView{}; };
    const auto out = [&](const char* name) { return Has(name) && IsWritten(name) ? dense[name].View() : TensorView{}; };
    if (Product(normalized_) == 0) {
      JudgeEmpty("meanOutOptional", 0), JudgeEmpty("meanOut", kNan), JudgeEmpty("rstdOutOptional", kNan), JudgeEmpty("rstdOut", kNan);
      return;
    }
    if (call_.op == Op::kLayerNormBackward || call_.op == Op::kAddLayerNormGrad) {
      const bool plain = call_.op == Op::kLayerNormBackward;
      BackwardProblem p;
      p.statistics = BackwardProblem::Statistics::kGiven;
      p.dy = in(plain ? "gradOut" : "dy");
      p.prenorm = plain ? in("input") : TensorView{};
      p.pre.x0 = plain ? TensorView{} : in("x1");
      p.pre.residual = plain ? TensorView{} : in("x2");
      p.mean = in("mean"), p.rstd = in("rstd");
      p.weight = in(plain ? "weightOptional" : "gamma");
      p.dsum = plain ? TensorView{} : in("dsumOptional");
      const char *dx = plain ? "gradInputOut" : "dxOut", *dw = plain ? "gradWeightOut" : "dgammaOut",
                 *db = plain ? "gradBiasOut" : "dbetaOut";
      p.dresidual = out(dx), p.dweight = out(dw), p.dbias = out(db);
      const test::BackwardExpected want = test::Reference(p);
      Judge(comparator, dx, want.dresidual), Judge(comparator, dw, want.dweight), Judge(comparator, db, want.dbias);
      return;
    }
    const bool rms = call_.op == Op::kAddRmsNorm || call_.op == Op::kRmsNorm, plain = call_.op == Op::kLayerNorm;
    ForwardProblem p;
    p.norm.kind = rms ? NormKind::kRms : NormKind::kLayer;
    p.norm.eps = call_.eps;
    p.pre.x0 = in(plain ? "input" : call_.op == Op::kRmsNorm ? "x" : "x1");
    p.pre.residual = in("x2");
    p.pre.prebias = plain ? TensorView{} : in("biasOptional");
    p.weight = in(plain ? "weightOptional" : "gamma");
    p.bias = plain ? in("biasOptional") : in("beta");
    const char *y = plain ? "out" : "yOut", *mean = plain ? "meanOutOptional" : "meanOut", *rstd = plain ? "rstdOutOptional" : "rstdOut";
    p.y = out(y), p.prenorm = out("xOut"), p.mean = out(mean), p.rstd = out(rstd);
    test::ForwardExpected want = test::Reference(p);
    // The rule of rstd is about an fp32 value; this operator also stores it in 16 bits.
    static constexpr test::Rule kStoredRstd{"rstd stored", test::kRstdRule.units, true};
    if (want.rstd.rule != nullptr && p.rstd.dtype != DType::kF32) want.rstd.rule = &kStoredRstd;
    Judge(comparator, y, want.y), Judge(comparator, "xOut", want.stored), Judge(comparator, mean, want.mean),
        Judge(comparator, rstd, want.rstd);
  }

  Random random_;
  uint64_t seed_;
  Dims leading_, normalized_;
  OpCall call_;
  std::set<std::string> shared_;
};

// Large enough for threads, in the operator and in the copies: the same bits as for contiguous tensors.
TEST(LargeValues, TransposedAsContiguous) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  Random random(3);
  for (const Op op : kAllOps) {
    OpCall dense = MakeCall(op, {7, 60}, {9, 64}, op == Op::kLayerNorm ? ACL_BF16 : ACL_FLOAT);
    for (auto& [name, tensor] : dense.tensors) {
      tensor.Allocate();
      RandomValues(random, &tensor, 1, 0.5);
    }
    OpCall strided = dense;
    for (auto& [name, tensor] : strided.tensors) {
      TestTensor& from = dense.tensors[name];
      tensor.memory = nullptr;
      int64_t next = 1;  // columns first
      for (size_t d = 0; d < tensor.shape.size(); next *= tensor.shape[d++]) tensor.strides[d] = next;
      const size_t bytes = BytesOf(tensor.type);
      ForEachElement(tensor, [&](size_t i, std::byte* element) { std::memcpy(element, from.memory->data() + i * bytes, bytes); });
    }
    ASSERT_EQ(dense.Run(), ACLNN_SUCCESS) << RecentText();
    ASSERT_EQ(strided.Run(), ACLNN_SUCCESS) << RecentText();
    for (const char* name : InfoOf(op).outputs) {
      TestTensor got = Dense(strided.tensors[name], strided.tensors[name].shape);
      EXPECT_TRUE(*got.memory == *dense.tensors[name].memory) << InfoOf(op).api << " " << name;
    }
  }
}

class Values : public ::testing::TestWithParam<Op> {};

TEST_P(Values, RandomViews) {
  ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
  Comparator comparator;
  const int cases = GetParam() == Op::kLayerNormBackward || GetParam() == Op::kAddLayerNormGrad ? kCases / 3 : kCases / 12;
  for (int i = 0; i < cases; ++i) {
    Case(GetParam(), Mix(static_cast<uint64_t>(GetParam()) + 1, static_cast<uint64_t>(i))).Run(&comparator);
    if (HasFatalFailure() || ::testing::Test::HasNonfatalFailure()) break;  // the first failure says enough
  }
  std::printf("%d cases\n%s", cases, comparator.Report().c_str());
}

INSTANTIATE_TEST_SUITE_P(Ops, Values, ::testing::ValuesIn(kAllOps), [](const auto& op) { return std::string(InfoOf(op.param).api); });

}  // namespace
}  // namespace addnorm::aclnn_test
