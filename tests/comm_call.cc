// SPDX-License-Identifier: Apache-2.0
#include "tests/comm_call.h"

#include <cstring>

namespace addnorm::test {
namespace {

/// At most 2^20, so that sums over 8 ranks are exact in fp32; differs between ranks, rows, columns and calls.
float Element(uint64_t call, int rank, size_t row, size_t column) {
  uint64_t x = call * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(rank) * 0xbf58476d1ce4e5b9 + row * 0x94d049bb133111eb + column;
  x ^= x >> 31;
  x *= 0xd6e8feb86659fd93;
  return static_cast<float>(x >> 44);
}

CallLayout LayoutOf(int ranks, const TestCall& call) {
  // The result has one float more per row than the partial: the number of the row.
  return {.rows = call.rows,
          .cols = call.cols,
          .blocks = call.blocks,
          .partial_row_bytes = call.cols * sizeof(float),
          .result_row_bytes = (call.cols + 1) * sizeof(float),
          .ranks = ranks};
}

CallHeader HeaderOf(const TestCall& call) {
  CallHeader header = call.header;
  header.rows += call.rows;
  header.cols += call.cols;
  header.blocks += call.blocks;
  return header;
}

void WritePartial(Communicator& ranks, const TestCall& call, CallLayout::Range rows, std::byte* partial) {
  for (size_t r = rows.begin; r < rows.end; ++r) {
    for (size_t i = 0; i < call.cols; ++i, partial += sizeof(float)) {
      const float value = Element(call.number, ranks.rank(), r, i);
      std::memcpy(partial, &value, sizeof(value));
    }
  }
}

/// A wrong element is reported after the commit: rows of a rank that has aborted may be anything, but no call that uses them succeeds.
void Reduce(const TestCall& call, CallLayout::Range share, std::span<const std::byte*> parts, std::byte* result, Status* wrong) {
  for (size_t r = share.begin; r < share.end; ++r) {
    for (size_t i = 0; i < call.cols; ++i, result += sizeof(float)) {
      float sum = 0.0f;
      for (size_t q = 0; q < parts.size(); ++q) {
        float value;
        std::memcpy(&value, parts[q] + ((r - share.begin) * call.cols + i) * sizeof(float), sizeof(value));
        if (value != Element(call.number, static_cast<int>(q), r, i)) {
          *wrong = Status::Error(Code::kInternal, "partial of rank %zu, row %zu, column %zu is %g", q, r, i, value);
        }
        sum += value;
      }
      std::memcpy(result, &sum, sizeof(sum));
    }
    const float number = static_cast<float>(r);
    std::memcpy(result, &number, sizeof(number));
    result += sizeof(float);
  }
}

Status ReduceBlock(Communicator& ranks, const TestCall& call, const CallLayout& layout, size_t b, Status* wrong) {
  std::vector<const std::byte*> parts(static_cast<size_t>(layout.ranks));
  if (const Status collected = ranks.CollectPartials(b, parts); !collected.ok()) return collected;
  call.at(Phase::kInReduce, b);
  Reduce(call, layout.Share(b, ranks.rank()), parts, ranks.Result(b), wrong);
  return ranks.PublishResult(b);
}

Status Copy(Communicator& ranks, const TestCall& call, const CallLayout& layout, std::vector<float>* output) {
  output->assign(call.rows * call.cols, 0.0f);
  for (size_t b = 0; b < call.blocks; ++b) {
    for (int q = 0; q < layout.ranks; ++q) {
      const CallLayout::Range share = layout.Share(b, q);
      const std::byte* from = ranks.ResultOf(b, q);
      for (size_t r = share.begin; r < share.end; ++r, from += layout.result_row_bytes) {
        if (call.cols != 0) std::memcpy(output->data() + r * call.cols, from, call.cols * sizeof(float));
        float number;
        std::memcpy(&number, from + call.cols * sizeof(float), sizeof(number));
        if (number != static_cast<float>(r))
          return Status::Error(Code::kInternal, "row %zu of the result of rank %d is row %g", r, q, number);
      }
    }
  }
  return Status();
}

}  // namespace

Status RunTestCall(Communicator& ranks, const TestCall& call, std::vector<float>* output) {
  const CallLayout layout = LayoutOf(ranks.size(), call);
  call.at(Phase::kBeforeHeader, 0);
  if (const Status begun = ranks.Begin(HeaderOf(call), layout, call.deadline); !begun.ok()) return begun;
  Status wrong;
  const size_t behind = call.overlap ? 1 : 0;
  for (size_t b = 0; b < call.blocks + behind; ++b) {
    if (b < call.blocks) {
      call.at(Phase::kInMatmul, b);
      WritePartial(ranks, call, layout.Block(b), ranks.Partial(b));
      if (const Status published = ranks.PublishPartial(b); !published.ok()) return published;
      call.at(Phase::kAfterPublish, b);
    }
    if (b < behind) continue;
    if (const Status reduced = ReduceBlock(ranks, call, layout, b - behind, &wrong); !reduced.ok()) return reduced;
  }
  call.at(Phase::kBeforeCommit, 0);
  if (const Status committed = ranks.Commit(); !committed.ok()) return committed;
  call.at(Phase::kAfterCommit, 0);
  const Status copied = Copy(ranks, call, layout, output);
  ranks.End();
  return wrong.ok() ? copied : wrong;
}

std::vector<float> ExpectedOutput(int ranks, const TestCall& call) {
  std::vector<float> output;
  for (size_t r = 0; r < call.rows; ++r) {
    for (size_t i = 0; i < call.cols; ++i) {
      float sum = 0.0f;
      for (int q = 0; q < ranks; ++q) sum += Element(call.number, q, r, i);
      output.push_back(sum);
    }
  }
  return output;
}

}  // namespace addnorm::test
