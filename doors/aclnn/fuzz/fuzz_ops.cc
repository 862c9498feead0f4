// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/fuzz/fuzz_ops.h"

#include <algorithm>
#include <limits>

#include "doors/aclnn/fuzz/bytes.h"
#include "doors/aclnn/fuzz/validity.h"
#include "doors/aclnn/tests/dense.h"

namespace addnorm::aclnn_test {
namespace {

constexpr aclDataType kFloatTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};
constexpr aclDataType kAnyTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32, ACL_DOUBLE, static_cast<aclDataType>(99)};
constexpr int64_t kOddSizes[] = {
    0, 1, 2, 3, -1, 7, int64_t{1} << 32, int64_t{1} << 40, int64_t{1} << 46, std::numeric_limits<int64_t>::max()};
constexpr int64_t kOddStrides[] = {
    0, 1, 2, 3, 5, -1, 100, int64_t{1} << 45, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
constexpr aclFormat kFormats[] = {ACL_FORMAT_NCHW,  ACL_FORMAT_NHWC,       ACL_FORMAT_NCL,       ACL_FORMAT_NCDHW,
                                  ACL_FORMAT_NDHWC, ACL_FORMAT_FRACTAL_NZ, ACL_FORMAT_UNDEFINED, static_cast<aclFormat>(31)};
constexpr int64_t kOddOffsets[] = {1, 2, 7, -1, int64_t{1} << 45, std::numeric_limits<int64_t>::max()};

class Run {
 public:
  Run(const uint8_t* data, size_t size) : bytes_(data, size) {}

  Finding Check() {
    Decode();
    for (auto& [name, tensor] : call_.tensors) {
      if (!bytes_.OneIn(3)) Arrange(&tensor, IsOutput(name));
      tensor.Allocate();
      Fill(&tensor);
    }
    const uint32_t changes = bytes_.Below(3);
    for (uint32_t i = 0; i < changes; ++i) Change();
    const std::set<int> broken = BrokenRules(call_);
    finding_.valid = broken.empty();
    Phases(broken);
    aclDestroyTensor(destroyed_);
    return finding_;
  }

 private:
  bool IsOutput(const std::string& name) const {
    const auto& outputs = InfoOf(call_.op).outputs;
    return std::find(outputs.begin(), outputs.end(), name) != outputs.end();
  }
  void Report(const std::string& text) {
    if (!finding_.found) finding_.text = std::string(call_.api()) + ": " + text + "\n" + Describe();
    finding_.found = true;
  }
  std::string Describe() {
    std::string text;
    const auto list = [](const Dims& dims) {
      std::string out = "[";
      for (const int64_t n : dims) out += std::to_string(n) + " ";
      return out + "]";
    };
    for (auto& [name, t] : call_.tensors) {
      text += "  " + name + " type " + std::to_string(t.type) + " shape " + list(t.shape) + " strides " + list(t.strides) + " offset " +
              std::to_string(t.offset) + " storage " + list(t.storage) + (call_.raw.count(name) ? " bad handle" : "") +
              (t.no_data ? " no data" : "") + " at " +
              std::to_string(reinterpret_cast<uintptr_t>(t.memory == nullptr ? nullptr : t.memory->data())) + "+" +
              std::to_string(t.memory_begin + t.misalign) + "\n";
    }
    text += "  normalizedShape " + list(call_.normalized_shape) + " mask of " + std::to_string(call_.mask.size()) + " eps " +
            std::to_string(call_.eps);
    return text;
  }

  // A valid call: shapes of up to 8 dimensions and a few hundred elements, any types that go together, optional tensors or not.
  void Decode() {
    const Op op = kAllOps[bytes_.Below(6)];
    const uint32_t rank = 1 + bytes_.Below(bytes_.OneIn(4) ? 8 : 4), normalized = 1 + bytes_.Below(rank);
    Dims leading, trailing;
    for (uint32_t i = 0; i < rank; ++i)
      (i < rank - normalized ? leading : trailing).push_back(bytes_.OneIn(16) ? 0 : 1 + bytes_.Below(rank > 4 ? 2 : 4));
    call_ = MakeCall(op, leading, trailing, bytes_.Pick(kFloatTypes));
    const auto set = [this](const char* name, aclDataType type) {
      if (call_.tensors.count(name) != 0) call_.tensors[name].type = type;
    };
    if (op == Op::kLayerNormBackward) {
      for (const char* name : {"mean", "rstd", "gradInputOut", "gradWeightOut", "gradBiasOut", "biasOptional"})
        set(name, bytes_.Pick(kFloatTypes));
      for (size_t i = 0; i < 3; ++i) call_.mask[i] = !bytes_.OneIn(4);
    }
    if (op == Op::kLayerNorm) {
      for (const char* name : {"out", "meanOutOptional", "rstdOutOptional"}) set(name, bytes_.Pick(kFloatTypes));
    }
    if (op == Op::kAddLayerNorm && bytes_.OneIn(3)) {  // a mixed sum
      set(bytes_.OneIn(2) ? "x1" : "x2", ACL_FLOAT);
      for (const char* name : {"gamma", "beta", "biasOptional", "yOut", "xOut"}) set(name, ACL_FLOAT);
    }
    if (bytes_.OneIn(3)) {
      set("weightOptional", ACL_FLOAT), set("beta", ACL_FLOAT);
      if (op != Op::kAddRmsNorm) set("gamma", ACL_FLOAT);
      if (op == Op::kLayerNorm) set("biasOptional", ACL_FLOAT);
    }
    for (const char* name : {"weightOptional", "biasOptional", "dsumOptional", "meanOutOptional", "rstdOutOptional"}) {
      if (bytes_.OneIn(4)) call_.tensors.erase(name);
    }
    if (op == Op::kAddLayerNormGrad && bytes_.OneIn(4)) call_.tensors.erase("gamma");
    if (op == Op::kAddRmsNorm && bytes_.OneIn(4)) call_.tensors.erase("rstdOut");
    call_.additional_output = !bytes_.OneIn(4);
    if (op == Op::kLayerNorm && bytes_.OneIn(4)) call_.impl_mode = static_cast<int32_t>(bytes_.Below(3));
  }

  // Permuted, spread or repeated, somewhere in its memory.
  void Arrange(TestTensor* t, bool output) {
    std::vector<size_t> order(t->shape.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[bytes_.Below(i)]);
    int64_t next = 1;
    for (size_t i = order.size(); i-- > 0;) {
      const size_t d = order[i];
      t->strides[d] = next;
      next = next * std::max<int64_t>(1, t->shape[d]) + (next < 1000 ? bytes_.Below(3) : 0);
      if (!output && bytes_.OneIn(8)) t->strides[d] = 0;
    }
    t->offset = bytes_.Below(4);
    if (bytes_.OneIn(8)) t->misalign = 1;
  }

  void Fill(TestTensor* t) {
    for (size_t i = 0; i < t->memory->size(); ++i) (*t->memory)[i] = static_cast<std::byte>((i * 37 + 11) & 0x3f);
  }

  TestTensor* AnyTensor(std::string* name = nullptr) {
    auto it = call_.tensors.begin();
    std::advance(it, bytes_.Below(call_.tensors.size()));
    if (name != nullptr) *name = it->first;
    return &it->second;
  }

  void Change() {
    std::string name;
    TestTensor* t = AnyTensor(&name);
    const size_t d = t->shape.empty() ? 0 : bytes_.Below(t->shape.size());
    switch (bytes_.Below(21)) {
      case 0:
        if (!t->shape.empty()) t->shape[d] = bytes_.Pick(kOddSizes);
        return;
      case 1:
        if (!t->shape.empty()) t->strides[d] = bytes_.Pick(kOddStrides);
        return;
      case 2:
        t->offset = bytes_.Pick(kOddOffsets);
        return;
      case 3:
        t->type = bytes_.Pick(kAnyTypes);
        return Shrink(t);
      case 4:  // one dimension more
        t->shape.insert(t->shape.begin(), bytes_.OneIn(2) ? 2 : 1);
        t->strides.insert(t->strides.begin(), bytes_.Below(2));
        return;
      case 5:  // one less
        if (t->shape.empty()) return;
        t->shape.erase(t->shape.begin() + static_cast<ptrdiff_t>(d));
        t->strides.erase(t->strides.begin() + static_cast<ptrdiff_t>(d));
        return;
      case 6:
        if (t->shape.size() > 1) std::swap(t->shape[d], t->shape[(d + 1) % t->shape.size()]);
        return;
      case 7:
        if (t->storage[0] > 0) --t->storage[0];
        return;
      case 8:
        t->format = bytes_.Pick(kFormats);
        return;
      case 9:
        call_.tensors.erase(name);
        return;
      case 10:
        return BadHandle(name);
      case 11:
        t->no_data = true;
        return;
      case 12:
        return Share(t, AnyTensor());
      case 13:
        return ChangeNormalizedShape();
      case 14:
        bytes_.OneIn(2) ? call_.mask.push_back(true) : call_.mask.pop_back();
        return;
      case 15:
        if (call_.impl_mode) call_.impl_mode = bytes_.OneIn(2) ? 3 : -1;
        call_.eps = bytes_.OneIn(4) ? 0.1 : bytes_.OneIn(3) ? 0.0 : bytes_.OneIn(2) ? -1e-30 : std::numeric_limits<double>::quiet_NaN();
        return;
      case 16:
        (bytes_.OneIn(2) ? call_.null_mask : call_.null_normalized_shape) = true;
        return;
      case 17:
        (bytes_.OneIn(2) ? call_.null_workspace_size : call_.null_executor) = true;
        return;
      case 18: {  // the same change of shape for all tensors of this shape
        const Dims before = t->shape;
        if (before.empty()) return;
        const int64_t size = bytes_.Pick(kOddSizes);
        for (auto& [other_name, other] : call_.tensors) {
          if (other.shape == before) other.shape[d] = size, other.strides[d] = 0;
        }
        return;
      }
      case 19: {  // another type of the same size for all tensors of this type
        const aclDataType before = t->type;
        for (auto& [other_name, other] : call_.tensors) {
          if (other.type == before) other.type = before == ACL_FLOAT ? ACL_INT32 : ACL_INT16;
        }
        return;
      }
      default: {  // a dimension of 1 in front of all of them: up to and beyond 8
        const uint32_t more = 1 + bytes_.Below(6);
        for (auto& [other_name, other] : call_.tensors) {
          if (other.shape.size() <= call_.normalized_shape.size()) continue;
          other.shape.insert(other.shape.begin(), more, 1);
          other.strides.insert(other.strides.begin(), more, 1);
        }
      }
    }
  }

  // The memory of a tensor whose type has changed holds fewer elements, or more.
  static void Shrink(TestTensor* t) {
    t->storage = {static_cast<int64_t>((t->memory->size() - t->memory_begin - t->misalign) / BytesOf(t->type))};
  }

  void BadHandle(const std::string& name) {
    if (destroyed_ == nullptr) {
      const int64_t one = 1;
      destroyed_ = aclCreateTensor(&one, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &one, 1, nullptr);
      aclDestroyTensor(destroyed_);
    }
    void* const handles[] = {destroyed_, &bytes_, reinterpret_cast<void*>(uintptr_t{8}), reinterpret_cast<void*>(~uintptr_t{0})};
    call_.raw[name] = bytes_.Pick(handles);
  }

  void Share(TestTensor* t, TestTensor* owner) {
    if (t == owner || owner->memory->size() < BytesOf(t->type) * 4) return;
    t->memory = owner->memory;
    t->misalign = owner->misalign;
    t->memory_begin = bytes_.OneIn(2) ? owner->memory_begin : bytes_.Below(8);
    if (t->memory->size() < t->memory_begin + t->misalign) t->memory_begin = 0;
    if (bytes_.OneIn(2) && t->shape.size() == owner->shape.size()) t->strides = owner->strides, t->offset = owner->offset;
    Shrink(t);
  }

  void ChangeNormalizedShape() {
    Dims& norm = call_.normalized_shape;
    switch (bytes_.Below(5)) {
      case 0:
        norm.push_back(1 + bytes_.Below(3));
        return;
      case 1:
        if (!norm.empty()) norm.pop_back();
        return;
      case 2:
        if (!norm.empty()) norm.erase(norm.begin());
        return;
      case 3:
        if (norm.size() > 1) std::swap(norm.front(), norm.back());
        return;
      default:
        if (!norm.empty()) norm[bytes_.Below(norm.size())] = bytes_.Pick(kOddSizes);
    }
  }

  std::vector<std::vector<std::byte>> Memories() {
    std::vector<std::vector<std::byte>> all;
    for (auto& [name, tensor] : call_.tensors) all.push_back(*tensor.memory);
    return all;
  }

  void Phases(const std::set<int>& broken) {
    const auto before = Memories();
    uint64_t size = 99;
    aclOpExecutor* executor = nullptr;
    const aclnnStatus status = call_.Phase1(&size, &executor);
    const std::string text = RecentText();
    if (broken.empty() ? status != 0 : broken.count(status) == 0) {
      std::string wanted;
      for (const int code : broken) wanted += " " + std::to_string(code);
      Report("phase 1 gave " + std::to_string(status) + " (" + text + "), expected" + (broken.empty() ? " 0" : wanted));
    }
    if (status != 0) {
      if (size != 99 || executor != nullptr) Report("an out-parameter has changed");
      if (text.rfind(std::string(call_.api()) + ": rule " + std::to_string(status) + "-", 0) != 0) Report("poor text: " + text);
    }
    if (Memories() != before) Report("phase 1 has touched memory");
    if (status == 0 && !finding_.found && IsSmall(size)) return Phase2(size, executor);
    if (executor != nullptr && aclDestroyAclOpExecutor(executor) != 0) Report("the executor cannot be destroyed");
  }

  bool IsSmall(uint64_t size) {
    for (auto& [name, t] : call_.tensors) {
      double count = 1;
      for (const int64_t n : t.shape) count *= static_cast<double>(n);
      if (count > 5000) return false;
    }
    return size < (1 << 20);
  }

  void Phase2(uint64_t size, aclOpExecutor* executor) {
    std::vector<std::byte> workspace(size + 3, std::byte{0x77});
    std::byte* at = size == 0 ? nullptr : workspace.data() + bytes_.Below(4);
    const auto expect = [&](aclnnStatus got, aclnnStatus want, const char* what) {
      if (got != want) Report(std::string("phase 2, ") + what + ", gave " + std::to_string(got) + " (" + RecentText() + ")");
    };
    aclrtSetDevice(0);
    bool late = false;
    std::vector<std::pair<std::string, std::vector<std::byte>>> inputs, outside;
    for (auto& [name, t] : call_.tensors) late = late || (t.no_data && IsTouched(name));
    if (bytes_.OneIn(2)) expect(call_.Phase2(at, size, nullptr, nullptr), 161001, "null executor");
    // A refusal takes the executor, unless it is a repeatable one.
    const bool repeatable = bytes_.OneIn(2);
    if (repeatable) expect(aclSetAclOpExecutorRepeatable(executor), 0, "repeatable");
    const auto refused = [&](void* w, uint64_t s, aclnnStatus want, const char* what) {
      expect(call_.Phase2(w, s, executor, nullptr), want, what);
      if (repeatable) return;
      expect(aclDestroyAclOpExecutor(executor), 161002, "destroy after a refusal");
      RecentText();
      uint64_t again = 0;
      expect(call_.Phase1(&again, &executor), 0, "phase 1 again");
      if (again != size) Report("phase 1 asks for another workspace the second time");
    };
    if (size != 0 && !late) {
      if (bytes_.OneIn(2)) refused(nullptr, size, 161001, "null workspace");
      if (bytes_.OneIn(2)) refused(at, size - 1, 161002, "small workspace");
    }
    if (late) {
      refused(at, size, 161001, "no address");
      return expect(aclDestroyAclOpExecutor(executor), 0, "destroy");
    }
    for (auto& [name, t] : call_.tensors) {
      if (t.no_data) continue;
      bool shared = false;
      for (auto& [other_name, other] : call_.tensors) shared = shared || (other_name != name && other.memory == t.memory);
      if (shared) continue;
      if (!IsUsed(name) || !IsOutput(name))
        inputs.emplace_back(name, *t.memory);
      else
        outside.emplace_back(name, Outside(t));
    }
    OpCall dense = DenseCall();
    if (bytes_.OneIn(2)) SetAddresses(executor);
    expect(call_.Phase2(at, size, executor, nullptr), 0, "exact workspace");
    if (repeatable) expect(aclDestroyAclOpExecutor(executor), 0, "destroy");
    expect(call_.Phase2(at, size, executor, nullptr), 161002, "run of a dead executor");
    RecentText();
    for (auto& [name, bytes] : inputs) {
      if (*call_.tensors[name].memory != bytes) Report(name + " has changed");
    }
    for (auto& [name, bytes] : outside) {
      if (Outside(call_.tensors[name]) != bytes) Report(name + ": written outside of the view");
    }
    CompareWith(dense);
  }

  // The address that it has already, for every tensor, used or not: that changes nothing.
  void SetAddresses(aclOpExecutor* executor) {
    const bool by_kind = bytes_.OneIn(2);
    size_t index = 0;
    for (const bool output : {false, true}) {
      if (by_kind) index = 0;
      for (const char* name : output ? InfoOf(call_.op).outputs : InfoOf(call_.op).inputs) {
        if (call_.Handle(name) == nullptr) continue;
        TestTensor& t = call_.tensors[name];
        const auto set = !by_kind ? aclSetTensorAddr : output ? aclSetOutputTensorAddr : aclSetInputTensorAddr;
        const aclnnStatus status = t.Address() == nullptr ? 0 : set(executor, index, t.Handle(), t.Address());
        if (status != 0) Report(std::string("the address of ") + name + " gave " + std::to_string(status) + " (" + RecentText() + ")");
        ++index;
      }
    }
  }

  bool IsUsed(const std::string& name) const {
    for (size_t i = 0; i < 3 && call_.op == Op::kLayerNormBackward; ++i) {
      if (name == InfoOf(call_.op).outputs[i]) return call_.mask[i];
    }
    if (call_.op == Op::kLayerNorm && IsOutput(name) && name != "out") return Product(call_.tensors.at(name).shape) != 0;
    return !(name == "xOut" && call_.op == Op::kAddLayerNorm && !call_.additional_output) &&
           !(name == "biasOptional" && call_.op == Op::kLayerNormBackward);
  }

  // Whether phase 2 of a valid call reads or writes an element of it.
  bool IsTouched(const std::string& name) const {
    const auto is_empty = [this](const char* tensor) { return Product(call_.tensors.at(tensor).shape) == 0; };
    if (!IsUsed(name) || is_empty(name.c_str())) return false;
    const bool by_list = call_.op == Op::kLayerNormBackward || call_.op == Op::kLayerNorm;
    const bool backward = call_.op == Op::kLayerNormBackward || call_.op == Op::kAddLayerNormGrad;
    if (call_.op == Op::kLayerNormBackward && call_.mask == std::vector<bool>{false, false, false}) return false;
    const bool no_columns =
        by_list ? Product(call_.normalized_shape) == 0 : is_empty(call_.tensors.count("gamma") != 0 ? "gamma" : "dgammaOut");
    if (no_columns) return !backward && IsOutput(name) && (name.rfind("mean", 0) == 0 || name.rfind("rstd", 0) == 0);
    if (is_empty(InfoOf(call_.op).inputs[0])) return backward && IsOutput(name);
    return true;
  }

  // The same call on contiguous copies, which needs neither copies nor care.
  OpCall DenseCall() {
    OpCall dense = call_;
    for (auto& [name, t] : call_.tensors) {
      if (IsUsed(name) && !t.no_data) {
        dense.tensors[name] = Dense(t, t.shape);
      } else {
        dense.tensors[name].Drop();
      }
    }
    return dense;
  }

  void CompareWith(OpCall& dense) {
    if (const aclnnStatus status = dense.Run())
      return Report("the contiguous call gave " + std::to_string(status) + " (" + RecentText() + ")");
    for (const char* name : InfoOf(call_.op).outputs) {
      if (call_.tensors.count(name) == 0 || !IsUsed(name) || call_.tensors[name].no_data) continue;
      TestTensor got = Dense(call_.tensors[name], call_.tensors[name].shape);
      if (*got.memory != *dense.tensors[name].memory) Report(std::string(name) + " differs from the contiguous call's");
    }
  }

  Bytes bytes_;
  OpCall call_;
  aclTensor* destroyed_ = nullptr;
  Finding finding_;
};

}  // namespace

Finding RunOne(const uint8_t* data, size_t size) { return Run(data, size).Check(); }

}  // namespace addnorm::aclnn_test
