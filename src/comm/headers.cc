// SPDX-License-Identifier: Apache-2.0
#include "src/comm/headers.h"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace addnorm::comm {
namespace {

constexpr uint64_t kMagic = 0x6164646e6f726d01;  // "addnorm", version 1 of the fields

constexpr const char* kNames[PostedHeader::kFields] = {
    "call number",
    "operation",
    "scenario",
    "rows",
    "cols",
    "blocks",
    "epsilon",
    "reduce_op",
    "partial_type",
    "result_type",
    "the fingerprint of residual and gamma",
    "layout.rows",
    "layout.cols",
    "layout.blocks",
    "layout.partial_row_bytes",
    "layout.result_row_bytes",
};
constexpr size_t kEpsilon = 6, kPartialType = 8, kResultType = 9, kReplicated = 10;

/// FNV-1a over words.
uint64_t Check(const PostedHeader& header) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&](uint64_t word) { hash = (hash ^ word) * 0x100000001b3; };
  mix(header.magic);
  mix(header.refused);
  for (const uint64_t field : header.fields) mix(field);
  return hash;
}

void Print(size_t field, uint64_t value, char (&text)[32]) {
  if (field == kEpsilon) {
    std::snprintf(text, sizeof(text), "%.17g", std::bit_cast<double>(value));
  } else if ((field == kPartialType || field == kResultType) && value < 256) {
    std::snprintf(text, sizeof(text), "%s", NameOf(static_cast<DType>(value)));
  } else if (field == kReplicated) {
    std::snprintf(text, sizeof(text), "%016" PRIx64, value);
  } else {
    std::snprintf(text, sizeof(text), "%" PRIu64, value);
  }
}

constexpr const char* kCodeNames[] = {"ok",          "null argument",  "bad shape", "bad type", "bad value",
                                      "unsupported", "internal error", "timeout",   "peer"};

}  // namespace

PostedHeader Post(const CallHeader& header, const CallLayout& layout, uint64_t call) {
  PostedHeader posted = {.magic = kMagic,
                         .refused = header.refused,
                         .fields = {call, header.operation, header.scenario, header.rows, header.cols, header.blocks, header.epsilon_bits,
                                    header.reduce_op, header.partial_type, header.result_type, header.replicated, layout.rows, layout.cols,
                                    layout.blocks, layout.partial_row_bytes, layout.result_row_bytes}};
  posted.check = Check(posted);
  return posted;
}

bool Intact(const PostedHeader& header) { return header.magic == kMagic && header.check == Check(header); }

Verdict Judge(std::span<const PostedHeader> headers) {
  Verdict verdict;
  const int ranks = static_cast<int>(headers.size());
  const auto find = [&](Cause cause, auto&& bad) {
    for (int q = 0; q < ranks; ++q) {
      if (!bad(headers[q])) continue;
      verdict.cause = cause;
      verdict.culprit = q;
      return true;
    }
    return false;
  };
  if (find(Cause::kCorrupt, [](const PostedHeader& h) { return !Intact(h); })) {
    std::snprintf(verdict.text, sizeof(verdict.text), "rank %d's header is damaged, or of another version of addnorm", verdict.culprit);
    return verdict;
  }
  if (find(Cause::kRefused, [](const PostedHeader& h) { return h.refused != 0; })) {
    const uint64_t code = std::min<uint64_t>(headers[verdict.culprit].refused, std::size(kCodeNames) - 1);
    std::snprintf(verdict.text, sizeof(verdict.text), "rank %d refused its arguments (%s)", verdict.culprit, kCodeNames[code]);
    return verdict;
  }
  for (int q = 1; q < ranks; ++q) {
    const auto [theirs, ours] = std::ranges::mismatch(headers[q].fields, headers[0].fields);
    if (ours == std::end(headers[0].fields)) continue;
    const size_t field = static_cast<size_t>(ours - headers[0].fields);
    char their_text[32], our_text[32];
    Print(field, *theirs, their_text);
    Print(field, *ours, our_text);
    verdict.cause = Cause::kDisagree;
    verdict.culprit = q;
    std::snprintf(verdict.text, sizeof(verdict.text), "ranks disagree: %s is %s on rank %d and %s on rank 0", kNames[field], their_text, q,
                  our_text);
    break;
  }
  return verdict;
}

Status CheckLayout(const char* transport, const CallHeader& header, const CallLayout& layout, int ranks) {
  Strides strides;
  if (layout.ranks != ranks) {
    return Status::Error(Code::kBadValue, "communicator over %s: layout.ranks is %d, expected %d, the size of the group", transport,
                         layout.ranks, ranks);
  }
  if (layout.blocks < 1 || layout.blocks >= size_t{1} << kBlockBits) {
    return Status::Error(Code::kBadValue, "communicator over %s: layout.blocks is %zu, expected 1 to %zu", transport, layout.blocks,
                         (size_t{1} << kBlockBits) - 1);
  }
  if (header.refused == 0 && !MakeStrides(layout, &strides)) {
    return Status::Error(Code::kBadShape, "communicator over %s: %zu rows of %zu and %zu bytes do not fit in memory", transport,
                         layout.rows, layout.partial_row_bytes, layout.result_row_bytes);
  }
  return Status();
}

bool MakeStrides(const CallLayout& layout, Strides* out) {
  const auto rows = [](size_t whole, size_t parts) { return whole / parts + (whole % parts != 0); };
  const auto bytes = [](size_t count, size_t each, size_t* total) {  // a multiple of 64
    return !__builtin_mul_overflow(count, each, total) && !__builtin_add_overflow(*total, size_t{63}, total) &&
           (*total &= ~size_t{63}, true);
  };
  const size_t block = rows(layout.rows, layout.blocks), share = rows(block, static_cast<size_t>(layout.ranks));
  size_t partials = 0, results = 0;
  out->slots = std::min(layout.blocks, Strides::kSlots);
  return bytes(block, layout.partial_row_bytes, &out->partial) && bytes(share, layout.result_row_bytes, &out->result) &&
         !__builtin_mul_overflow(out->partial, out->slots, &partials) && !__builtin_mul_overflow(out->result, layout.blocks, &results) &&
         !__builtin_add_overflow(partials, results, &out->total) && out->total <= size_t{1} << 46;
}

}  // namespace addnorm::comm
