// SPDX-License-Identifier: Apache-2.0
#include "tests/trial.h"

#include "addnorm/addnorm.h"

namespace addnorm::test {
namespace {

struct Named {
  const Operand* operand;
  const Expected* want;
};

std::string JudgeAll(std::initializer_list<Named> all, Comparator* comparator, const std::string& repro) {
  for (const Named& one : all) {
    if (!*one.operand) continue;
    const Verdict verdict = comparator->Check(one.operand->view(), *one.want, repro);
    if (!verdict.ok) return verdict.message;
  }
  return "";
}

uint64_t HashOf(const std::vector<Operand*>& operands) {
  uint64_t hash = 0;
  for (const Operand* operand : operands) hash = hash * 31 + operand->Hash();
  return hash;
}

// Runs `call` on every target; all outputs must come out the same, whatever they held before.
template <class Call>
std::string OnEveryTarget(const std::vector<Operand*>& outputs, const char* what, Call call) {
  std::string problem;
  std::unique_ptr<Snapshot> first;
  for (const char* target : AvailableTargets()) {
    // 0xFF.. is a NaN in every type and no bool; 0xA5.. is a small number.
    const int canary = first ? 0xA5 : 0xFF;
    for (Operand* output : outputs) output->Fill(canary);
    Status status = SetThreadTarget(target);
    if (status.ok()) status = call();
    if (!status.ok()) {
      problem = std::string(what) + " on " + target + " refused: " + status.message();
      break;
    }
    for (const Operand* output : outputs) {
      if (!output->PaddingIs(canary)) problem = std::string(what) + " on " + target + " wrote between rows";
    }
    if (!first) {
      first = std::make_unique<Snapshot>(outputs);
    } else if (const std::string difference = first->Difference(); !difference.empty()) {
      problem = std::string(what) + ": " + target + " differs from " + AvailableTargets()[0] + ": " + difference;
    }
    if (!problem.empty()) break;
  }
  if (!SetThreadTarget(nullptr).ok()) problem += " (and the target could not be reset)";
  return problem;
}

// Few distinct values in a row, so that sums in all lanes round alike.
bool RepeatsValues(const Options& o) {
  if (o.data == Data::kAlternating || o.data == Data::kMixed) return true;
  return (o.data == Data::kOffset || o.data == Data::kConstant || o.data == Data::kStep) && o.p > 0;
}

}  // namespace

Snapshot::Snapshot(const std::vector<Operand*>& operands) : operands_(operands) {
  for (const Operand* operand : operands) bytes_.push_back(operand->Copy());
}

std::string Snapshot::Difference() const {
  for (size_t i = 0; i < operands_.size(); ++i) {
    const TensorView now = operands_[i]->view();
    if (now.data == nullptr) continue;
    TensorView then = now;
    then.data = const_cast<std::byte*>(bytes_[i].data()) + (static_cast<std::byte*>(now.data) - operands_[i]->bytes());
    size_t where = 0;
    if (SameBits(now, then, &where)) continue;
    return "output " + std::to_string(i) + " (" + NameOf(now.dtype) + ", rank " + std::to_string(now.shape.size()) + ") at element " +
           std::to_string(where);
  }
  return "";
}

std::string JudgeForward(const Problem& p, Fault fault, Comparator* comparator, const std::string& repro) {
  const ForwardExpected want = Reference(p.forward, fault);
  if (p.keep) {
    const Verdict verdict = comparator->CheckMask(p.keep.view(), want.keep, repro);
    if (!verdict.ok) return verdict.message;
  }
  if (p.mean) {
    const Verdict verdict =
        comparator->Check(p.mean.view(), RepeatsValues(p.options) ? want.repeated_mean : want.mean, repro, p.mean_lo.view());
    if (!verdict.ok) return verdict.message;
  }
  return JudgeAll({{&p.prenorm, &want.stored}, {&p.prenorm, &want.prenorm}, {&p.rstd, &want.rstd}, {&p.y, &want.y}}, comparator, repro);
}

std::string JudgeBackward(const Problem& p, Fault fault, Comparator* comparator, const std::string& repro) {
  const BackwardExpected want = Reference(p.backward, fault, RepeatsValues(p.options));
  return JudgeAll({{&p.xhat, &want.xhat},
                   {&p.dresidual, &want.dresidual},
                   {&p.dx0, &want.dx0},
                   {&p.drowscale, &want.drowscale},
                   {&p.dweight, &want.dweight},
                   {&p.dbias, &want.dbias},
                   {&p.dlayerscale, &want.dlayerscale}},
                  comparator, repro);
}

std::string RunTrial(Problem* p, Comparator* comparator, const std::string& repro) {
  const std::string again = "\n  again: " + repro;
  std::vector<Operand*> inputs = p->Inputs();
  const uint64_t before = HashOf(inputs);
  std::string wrong = OnEveryTarget(p->ForwardOutputs(), "forward", [&] { return Forward(p->forward, SerialExecutor()); });
  if (!wrong.empty()) return wrong + again;
  if (HashOf(inputs) != before) return "forward wrote to an input" + again;
  wrong = JudgeForward(*p, Fault::kNone, comparator, repro);
  if (!wrong.empty()) return "forward: " + wrong;

  for (Operand* output : p->ForwardOutputs()) inputs.push_back(output);  // what backward reads of them it must leave alone
  const uint64_t between = HashOf(inputs);
  wrong = OnEveryTarget(p->BackwardOutputs(), "backward", [&] { return Backward(p->backward, SerialExecutor()); });
  if (!wrong.empty()) return wrong + again;
  if (HashOf(inputs) != between) return "backward wrote to an input" + again;
  wrong = JudgeBackward(*p, Fault::kNone, comparator, repro);
  return wrong.empty() ? "" : "backward: " + wrong;
}

}  // namespace addnorm::test
