// SPDX-License-Identifier: Apache-2.0
#include "doors/aclnn/src/call.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <new>

#include "doors/aclnn/src/message.h"

namespace addnorm::aclnn {

#ifdef ADDNORM_ACLNN_SEEDED_FAULTS
aclnnStatus seeded_code = 0;
int seeded_rule = 0;
#endif

namespace {

// "[2, 3]"
class DimsText {
 public:
  DimsText(const int64_t* dims, int count) {
    size_t used = static_cast<size_t>(std::snprintf(text_, sizeof text_, "["));
    for (int i = 0; i < count; ++i) {
      used += static_cast<size_t>(std::snprintf(text_ + used, sizeof text_ - used, i == 0 ? "%" PRId64 : ", %" PRId64, dims[i]));
    }
    std::snprintf(text_ + used, sizeof text_ - used, "]");
  }
  const char* c_str() const { return text_; }

 private:
  char text_[kMaxRank * 22 + 3];
};

// What the core calls it; types that no operator takes are float, and refused before anybody looks.
DType CoreType(aclDataType dtype) {
  switch (static_cast<int>(dtype)) {
    case ACL_FLOAT16:
      return DType::kF16;
    case ACL_BF16:
      return DType::kBF16;
    case ACL_INT8:
      return DType::kI8;
    case ACL_INT32:
      return DType::kI32;
    case ACL_INT64:
      return DType::kI64;
    case ACL_UINT64:
      return DType::kU64;
    default:
      return DType::kF32;
  }
}

bool IsSupported(aclDataType dtype) { return dtype == ACL_FLOAT || dtype == ACL_FLOAT16 || dtype == ACL_BF16; }

}  // namespace

bool Call::Refuse(aclnnStatus code, int rule, const char* format, ...) noexcept {
#ifdef ADDNORM_ACLNN_SEEDED_FAULTS
  if (code == seeded_code && rule == seeded_rule) return true;
#endif
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);  // NOLINT(clang-analyzer-valist.Uninitialized): it is, one line above
  va_end(arguments);
  status_ = Fail(code, "%s: rule %d-%d: argument %s", api_, code, rule, text);
  return false;
}

bool Call::NotNull(int rule, const char* name, const void* pointer) noexcept {
  return pointer != nullptr || Refuse(ACLNN_ERR_PARAM_NULLPTR, rule, "'%s' is null, expected a pointer", name);
}

bool Call::Begin(int rule) noexcept {
  if (!NotNull(rule, "workspaceSize", workspace_size_) || !NotNull(rule, "executor", executor_out_)) return false;
  executor_.reset(new (std::nothrow) Executor);
  if (executor_ == nullptr) {
    status_ = Fail(ACLNN_ERR_INNER, "%s: no memory", api_);
    return false;
  }
  executor_->api = api_;
  return true;
}

bool Call::NoFailedCreation(std::initializer_list<Optional> optional) noexcept {
  if (failed_creation_ == nullptr) return true;
  char names[120] = "";
  size_t used = 0;
  for (const Optional& o : optional) {
    if (o.handle != nullptr || used >= sizeof names) continue;
    used += static_cast<size_t>(std::snprintf(names + used, sizeof names - used, used == 0 ? "'%s'" : " or '%s'", o.name));
  }
  return used == 0 || Refuse(ACLNN_ERR_PARAM_INVALID, kRuleCreation,
                             "%s is null after a creation that failed (%s), expected a tensor, or that text to be read first "
                             "(aclGetRecentErrMsg)",
                             names, failed_creation_);
}

bool Call::Take(int slot, const char* name, const aclTensor* handle, Role role, bool output) noexcept {
  Operand& o = executor_->operands[slot];
  executor_->count = std::max(executor_->count, slot + 1);
  o.name = name;
  o.output = output;
  if (handle == nullptr) return true;
  Pinned<Tensor> tensor(handle);
  if (!tensor) {
    return Refuse(ACLNN_ERR_PARAM_INVALID, kRuleHandle, "'%s' is %s, expected a live aclTensor", name, DescribeHandle(handle));
  }
  o.present = true;
  o.role = role;
  o.acl_dtype = tensor->dtype;
  o.dtype = CoreType(o.acl_dtype);
  o.format = tensor->format;
  o.created_rank = static_cast<int>(tensor->rank);
  o.view.rank = std::min(o.created_rank, kMaxRank);
  std::copy(tensor->shape, tensor->shape + o.view.rank, o.view.shape);
  std::copy(tensor->strides, tensor->strides + o.view.rank, o.view.strides);
  o.view.element_bytes = static_cast<int>(SizeOf(o.dtype));
  o.offset = tensor->offset;
  o.address = static_cast<std::byte*>(__atomic_load_n(&tensor->data, __ATOMIC_RELAXED));
  o.storage = StorageElements(*tensor);
  return true;
}

bool Call::TakeDims(const char* name, const aclIntArray* handle, int rule, int64_t (&dims)[kMaxRank], int* count) noexcept {
  Pinned<IntArray> array(handle);
  if (!array) {
    return Refuse(ACLNN_ERR_PARAM_INVALID, kRuleHandle, "'%s' is %s, expected a live aclIntArray", name, DescribeHandle(handle));
  }
  if (array->size > kMaxRank) {
    return Refuse(ACLNN_ERR_PARAM_INVALID, rule, "'%s' length is %" PRIu64 ", expected at most %d", name, array->size, kMaxRank);
  }
  *count = static_cast<int>(array->size);
  std::copy(array->values(), array->values() + array->size, dims);
  return true;
}

bool Call::TakeMask(const char* name, const aclBoolArray* handle, int rule, bool (&mask)[3]) noexcept {
  Pinned<BoolArray> array(handle);
  if (!array) {
    return Refuse(ACLNN_ERR_PARAM_INVALID, kRuleHandle, "'%s' is %s, expected a live aclBoolArray", name, DescribeHandle(handle));
  }
  if (array->size != 3 && !Refuse(ACLNN_ERR_PARAM_INVALID, rule, "'%s' length is %" PRIu64 ", expected 3", name, array->size)) return false;
  for (uint64_t i = 0; i < 3; ++i) mask[i] = i < array->size && array->values()[i];
  return true;
}

bool Call::Type(int rule, int slot) noexcept {
  const Operand& o = (*this)[slot];
  char buffer[32];
  return !o.present || IsSupported(o.acl_dtype) ||
         Refuse(ACLNN_ERR_PARAM_INVALID, rule, "'%s' dtype is %s, expected FLOAT, FLOAT16 or BFLOAT16", o.name,
                NameOf(o.acl_dtype, buffer));
}

bool Call::Type(int rule, int slot, aclDataType expected, const char* whose, bool or_float) noexcept {
  const Operand& o = (*this)[slot];
  if (!o.present || o.acl_dtype == expected || (or_float && o.acl_dtype == ACL_FLOAT)) return true;
  char got[32], want[32];
  return Refuse(ACLNN_ERR_PARAM_INVALID, rule, "'%s' dtype is %s, expected %s%s%s%s", o.name, NameOf(o.acl_dtype, got),
                NameOf(expected, want), or_float && expected != ACL_FLOAT ? " or FLOAT" : "", whose[0] == '\0' ? "" : ", the dtype of ",
                whose);
}

bool Call::PlainFormat(int slot) noexcept {
  const Operand& o = (*this)[slot];
  constexpr int kDhwcn = 31;  // of the graph engine; aclFormat has no name for it
  const int format = static_cast<int>(o.format);
  return !o.present || format == ACL_FORMAT_ND || format == ACL_FORMAT_NCHW || format == ACL_FORMAT_NHWC || format == ACL_FORMAT_NCL ||
         format == ACL_FORMAT_NCDHW || format == kDhwcn ||
         Refuse(ACLNN_ERR_PARAM_INVALID, kRuleFormat,
                "'%s' format is %d, expected ND (2), NCHW (0), NHWC (1), NCDHW (30), DHWCN (31) or NCL (47)", o.name, format);
}

bool Call::Rank(aclnnStatus code, int rule, int slot, int min, int max) noexcept {
  const Operand& o = (*this)[slot];
  return !o.present || (o.created_rank >= min && o.created_rank <= max) ||
         Refuse(code, rule, "'%s' rank is %d, expected %d to %d", o.name, o.created_rank, min, max);
}

bool Call::Sizes(int slot) noexcept {
  const Operand& o = (*this)[slot];
  if (!o.present) return true;
  for (int i = 0; i < o.view.rank; ++i) {
    if (o.view.shape[i] < 0) {
      return Refuse(shape_code_, kRuleSizes, "'%s' shape[%d] is %" PRId64 ", expected 0 or more", o.name, i, o.view.shape[i]);
    }
  }
  return CountElements(o.view.shape, o.view.rank) >= 0 ||
         Refuse(shape_code_, kRuleSizes, "'%s' shape is %s, expected at most 2^46 elements", o.name,
                DimsText(o.view.shape, o.view.rank).c_str());
}

bool Call::Shape(aclnnStatus code, int rule, int slot, const Expected& expected) noexcept {
  const Operand& o = (*this)[slot];
  if (!o.present || (o.view.rank == expected.count && std::equal(expected.dims, expected.dims + expected.count, o.view.shape))) return true;
  return Refuse(code, rule, "'%s' shape is %s, expected %s, %s", o.name, DimsText(o.view.shape, o.view.rank).c_str(),
                DimsText(expected.dims, expected.count).c_str(), expected.what);
}

bool Call::StatShape(int rule, int slot, const Expected& full, int normalized_rank, bool short_form) noexcept {
  const Operand& o = (*this)[slot];
  if (!o.present) return true;
  const int leading = full.count - normalized_rank;
  int64_t ones[kMaxRank];
  std::fill(std::copy(full.dims, full.dims + leading, ones), ones + full.count, 1);
  const bool same =
      (o.view.rank == full.count || (short_form && o.view.rank == leading)) && std::equal(ones, ones + o.view.rank, o.view.shape);
  return same || Refuse(shape_code_, rule, "'%s' shape is %s, expected %s, %s", o.name, DimsText(o.view.shape, o.view.rank).c_str(),
                        DimsText(ones, full.count).c_str(), full.what);
}

bool Call::Count(int rule, int slot, int64_t expected, const char* what) noexcept {
  const Operand& o = (*this)[slot];
  if (!o.present) return true;
  const int64_t count = CountElements(o.view.shape, o.view.rank);
  return count == expected ||
         Refuse(shape_code_, rule, "'%s' element count is %" PRId64 ", expected %" PRId64 ", %s", o.name, count, expected, what);
}

bool Call::Split(int slot, int normalized_rank) noexcept {
  const Operand& o = (*this)[slot];
  const int leading = o.view.rank - normalized_rank;
  executor_->normalized_rank = normalized_rank;
  executor_->rows = CountElements(o.view.shape, leading);
  executor_->cols = CountElements(o.view.shape + leading, normalized_rank);
  return (executor_->rows >= 0 && executor_->cols >= 0) ||
         Refuse(shape_code_, kRuleSizes, "'%s' shape is %s, expected at most 2^46 rows and columns", o.name,
                DimsText(o.view.shape, o.view.rank).c_str());
}

bool Call::Eps(const char* name, double eps) noexcept {
  executor_->eps = eps;
  return (std::isfinite(eps) && eps >= 0) ||
         Refuse(ACLNN_ERR_PARAM_INVALID, kRuleEps, "'%s' is %g, expected a finite number >= 0", name, eps);
}

// Without sound strides, offset and extent there is nothing to go on with, whatever a test has switched off.
bool Call::Memory(const Operand& o) noexcept {
  for (int i = 0; i < o.view.rank; ++i) {
    if (o.view.strides[i] >= 0) continue;
    return Refuse(ACLNN_ERR_PARAM_INVALID, kRuleStrides, "'%s' stride[%d] is %" PRId64 ", expected 0 or more", o.name, i,
                  o.view.strides[i]) &&
           false;
  }
  if (o.offset < 0 || o.offset > kMaxElements) {
    return Refuse(ACLNN_ERR_PARAM_INVALID, kRuleStrides, "'%s' offset is %" PRId64 ", expected 0 to 2^46", o.name, o.offset) && false;
  }
  const int64_t extent = Extent(o.view), room = o.storage < 0 ? kMaxElements : o.storage;
  if ((extent < 0 || (extent != 0 && extent + o.offset > room)) &&
      !Refuse(ACLNN_ERR_PARAM_INVALID, kRuleStorage,
              "'%s' extent is %" PRId64 "%s elements for shape %s, strides %s and offset %" PRId64 ", expected at most %" PRId64
              ", its storage",
              o.name, extent < 0 ? kMaxElements : extent + o.offset, extent < 0 ? " or more" : "",
              DimsText(o.view.shape, o.view.rank).c_str(), DimsText(o.view.strides, o.view.rank).c_str(), o.offset, room)) {
    return false;
  }
  if (extent < 0) return false;
  return !o.output || OverlapsItself(o.view) == Sharing::kNone ||
         Refuse(ACLNN_ERR_PARAM_INVALID, kRuleSelf, "'%s' stride list is %s for shape %s, expected an output that does not overlap itself",
                o.name, DimsText(o.view.strides, o.view.rank).c_str(), DimsText(o.view.shape, o.view.rank).c_str());
}

aclnnStatus Call::Finish(addnorm::Status (*make_plan)(const Executor&, Plan*)) noexcept {
  Executor& e = *executor_;
  for (int i = 0; i < e.count; ++i) {
    Operand& o = e.operands[i];
    if (!o.used()) continue;
    if (!Memory(o)) return status_;
    o.Locate();
  }
  const Clash clash = FindClash(e);
  if (clash && !Refuse(ACLNN_ERR_PARAM_INVALID, kRuleOverlap, "'%s' memory %s with '%s', expected memory of its own%s", clash.output->name,
                       clash.verb(), clash.other->name, clash.or_whose())) {
    return status_;
  }
  e.make_plan = make_plan;
  const addnorm::Status status = PlanExecutor(&e);
  if (!status.ok()) return Fail(ACLNN_ERR_INNER, "%s", status.message());
  void* handle = AddHandle(Kind::kExecutor, &e);
  if (handle == nullptr) return Fail(ACLNN_ERR_INNER, "%s: no free handle", api_);
  static_cast<void>(executor_.release());  // the handle table has it now
  *workspace_size_ = e.workspace_bytes;
  *executor_out_ = static_cast<aclOpExecutor*>(handle);
  return ACLNN_SUCCESS;
}

}  // namespace addnorm::aclnn
