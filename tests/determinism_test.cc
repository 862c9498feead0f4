// SPDX-License-Identifier: Apache-2.0
// The same bits whatever runs the work: threads, targets, runs, batch splits, memory layout, in place or not, after fork.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>

#include "addnorm/addnorm.h"
#include "src/core/check.h"
#include "src/core/rows.h"
#include "tests/reference-inl.h"
#include "tests/slice.h"
#include "tests/threads.h"
#include "tests/trial.h"

namespace addnorm::test {
namespace {

// Problems with several blocks of 64 rows, and a few with long rows.
Options Sized(uint64_t seed) {
  Options o = RandomOptions(4000000 + seed);
  static constexpr size_t rows[] = {1, 2, 63, 64, 65, 129, 200, 641}, cols[] = {1, 3, 17, 64, 100, 257}, long_cols[] = {4096, 10001};
  o.rows = rows[seed % std::size(rows)];
  o.cols = cols[seed % std::size(cols)];
  if (seed % 10 == 9) o.rows = 1 + seed % 7, o.cols = long_cols[seed / 10 % 2];
  o.has_y = true;
  o.gradients = kAllGradients;
  Settle(&o);
  return o;
}

std::string Compute(const Problem& p, const Executor& executor) {
  Status status = Forward(p.forward, executor);
  if (status.ok()) status = Backward(p.backward, executor);
  return status.message();
}

std::vector<Operand*> Outputs(Problem* p) {
  std::vector<Operand*> outputs = p->ForwardOutputs();
  for (Operand* output : p->BackwardOutputs()) outputs.push_back(output);
  return outputs;
}
void Clear(Problem* p) {
  for (Operand* output : Outputs(p)) output->Fill(0xFF);
}

TEST(Determinism, ThreadsTargetsRuns) {
  size_t runs = 0, loops = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto problem = MakeProblem(Sized(seed));
    Clear(problem.get());
    ASSERT_EQ(Compute(*problem, SerialExecutor()), "");
    const Snapshot truth(Outputs(problem.get()));
    for (const char* target : AvailableTargets()) {
      ASSERT_TRUE(SetThreadTarget(target).ok());
      for (const size_t threads : {1, 2, 3, 7, 16}) {
        RandomThreads pool(threads, Mix(seed, threads));
        for (int run = 0; run < 20; ++run) {
          Clear(problem.get());
          ASSERT_EQ(Compute(*problem, pool.executor()), "");
          ASSERT_EQ(truth.Difference(), "") << target << ", " << threads << " threads, run " << run << ", " << Describe(problem->options);
          ++runs;
        }
        loops += pool.loops();
      }
    }
    ASSERT_TRUE(SetThreadTarget(nullptr).ok());
    for (int run = 0; run < 3; ++run) {
      Clear(problem.get());
      ASSERT_EQ(Compute(*problem, DefaultExecutor()), "");
      ASSERT_EQ(truth.Difference(), "") << "the core's own pool, " << Describe(problem->options);
    }
  }
  EXPECT_GT(loops, 1000u) << "hardly anything ran in parallel";
  std::printf("%zu runs, %zu parallel loops, 0 differing bits\n", runs, loops);
}

TEST(Determinism, BatchSplits) {
  size_t splits = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Options options = Sized(seed);
    options.gradients &= ~static_cast<unsigned>(kDweight | kDbias | kDlayerscale);  // sums over rows: a split is another sum
    if (options.rows < 2) options.rows = 2 + seed % 9;
    const auto problem = MakeProblem(options);
    Clear(problem.get());
    ASSERT_EQ(Compute(*problem, SerialExecutor()), "");
    const Snapshot truth(Outputs(problem.get()));
    for (int attempt = 0; attempt < 4; ++attempt) {
      Clear(problem.get());
      Random random(Mix(seed, static_cast<uint64_t>(attempt)));
      for (size_t first = 0; first < options.rows;) {
        const size_t rows = 1 + random.Below(options.rows - first);
        Slice slice(*problem, first, rows);
        const Status forward = Forward(slice.forward(), SerialExecutor());
        ASSERT_TRUE(forward.ok()) << forward.message();
        const Status backward = Backward(slice.backward(), SerialExecutor());
        ASSERT_TRUE(backward.ok()) << backward.message();
        first += rows;
        ++splits;
      }
      ASSERT_EQ(truth.Difference(), "") << Describe(options);
    }
  }
  std::printf("%zu slices, 0 differing bits\n", splits);
}

// Calls that are larger than the caches read ahead, write around them and group rows otherwise: below the waist, so that no test needs
// such sizes.
TEST(Determinism, Streaming) {
  size_t around = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Options options = Sized(seed);
    options.rows = 1 + options.rows % kBlockRows;
    if (seed % 2 == 1) options.cols = 1025 + seed * 7 % 3000, options.rows = 1 + seed % 11;
    Settle(&options);
    const auto problem = MakeProblem(options);
    ForwardArgs forward;
    BackwardArgs backward;
    ASSERT_TRUE(Check(problem->forward, &forward).ok());
    ASSERT_TRUE(Check(problem->backward, &backward).ok());
    for (const Out& out : {forward.y, forward.sum, backward.dx, backward.dresidual}) {
      around += out && reinterpret_cast<uintptr_t>(out.data) % 64 == 0;
    }
    for (const Target* target : BuiltTargets()) {
      if (!target->supported()) continue;
      std::vector<std::vector<std::byte>> partials(2, std::vector<std::byte>(PartialBytes(backward) + kScratchAlign));
      const auto run = [&](bool stream) {
        forward.stream = backward.stream = stream;
        Clear(problem.get());
        std::vector<std::byte> scratch(std::max(target->forward_scratch(forward), target->backward_scratch(backward)) + kScratchAlign);
        const auto aligned = [](std::vector<std::byte>& v) {
          return v.data() + (kScratchAlign - reinterpret_cast<uintptr_t>(v.data()) % kScratchAlign) % kScratchAlign;
        };
        target->forward(forward, {0, forward.shape.rows}, aligned(scratch));
        target->backward(backward, {0, backward.shape.rows}, aligned(scratch), aligned(partials[stream]));
        return std::vector<std::byte>(aligned(partials[stream]), aligned(partials[stream]) + PartialBytes(backward));
      };
      const std::vector<std::byte> cached = run(false);
      const Snapshot truth(Outputs(problem.get()));
      const std::vector<std::byte> streamed = run(true);
      ASSERT_EQ(truth.Difference(), "") << target->name << ", " << Describe(options);
      ASSERT_TRUE(cached == streamed) << "column sums, " << target->name << ", " << Describe(options);
    }
  }
  EXPECT_GT(around, 50u) << "hardly an output could be written around the caches";
}

std::vector<TensorView*> InputViews(ForwardProblem* p) {
  return {&p->pre.x0, &p->pre.residual, &p->pre.rowscale, &p->pre.layerscale, &p->pre.prebias, &p->weight, &p->bias};
}
std::vector<TensorView*> OutputViews(ForwardProblem* p) { return {&p->y, &p->prenorm, &p->keep, &p->mean, &p->mean_lo, &p->rstd}; }
std::vector<TensorView*> InputViews(BackwardProblem* p) {
  return {&p->pre.x0, &p->pre.residual, &p->pre.rowscale, &p->pre.layerscale, &p->pre.prebias, &p->weight,
          &p->dy,     &p->prenorm,      &p->dsum,         &p->mean,           &p->mean_lo,     &p->rstd};
}
std::vector<TensorView*> OutputViews(BackwardProblem* p) {
  return {&p->dx0, &p->dresidual, &p->xhat, &p->drowscale, &p->dweight, &p->dbias, &p->dlayerscale};
}

void CopyElements(const TensorView& from, const TensorView& to) {
  const std::vector<ptrdiff_t> source = Offsets(from, 0, from.shape.size()), target = Offsets(to, 0, to.shape.size());
  const ptrdiff_t size = static_cast<ptrdiff_t>(SizeOf(from.dtype));
  for (size_t i = 0; i < source.size(); ++i) {
    std::memcpy(static_cast<char*>(to.data) + target[i] * size, static_cast<const char*>(from.data) + source[i] * size,
                static_cast<size_t>(size));
  }
}

// The same tensor in other memory: rows `pad` further apart, one element off the allocator's alignment.
Operand Moved(const TensorView& view, size_t lead, size_t rank, int64_t pad, Random* random) {
  std::vector<int64_t> shape(view.shape.begin(), view.shape.end()), strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape.size() == rank && d + 1 == lead && pad != 0) stride += pad;
    strides[d] = stride;
    stride *= shape[d];
  }
  Operand moved(view.dtype, shape, strides, random->OneIn(2), Placement::kHeap);
  moved.Fill(0x5A);
  return moved;
}

template <class P>
void CheckMoved(P problem, Status (*run)(const P&, const Executor&), size_t lead, size_t rank, Random* random, const std::string& what) {
  P elsewhere = problem;
  std::vector<Operand> memory;
  const auto inputs = InputViews(&problem), moved_inputs = InputViews(&elsewhere);
  const auto outputs = OutputViews(&problem), moved_outputs = OutputViews(&elsewhere);
  const int64_t pads[] = {0, 1, 5, 64};
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!*inputs[i] || inputs[i]->data == nullptr) continue;
    memory.push_back(Moved(*inputs[i], lead, rank, random->Pick(pads), random));
    CopyElements(*inputs[i], *moved_inputs[i] = memory.back().view());
  }
  for (TensorView* output : moved_outputs) {
    if (!*output || output->data == nullptr) continue;
    memory.push_back(Moved(*output, lead, rank, random->Pick(pads), random));
    *output = memory.back().view();
  }
  // memory may have moved its operands about: views hold spans of shapes that std::vector keeps in place.
  const Status first = run(problem, SerialExecutor()), second = run(elsewhere, SerialExecutor());
  ASSERT_TRUE(first.ok()) << first.message();
  ASSERT_TRUE(second.ok()) << second.message();
  for (size_t i = 0; i < outputs.size(); ++i) {
    size_t where = 0;
    if (!*outputs[i]) continue;
    ASSERT_TRUE(SameBits(*outputs[i], *moved_outputs[i], &where)) << "output " << i << " at " << where << ", " << what;
  }
}

TEST(Determinism, StridesAndAlignment) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const auto problem = MakeProblem(Sized(seed));
    const size_t rank = problem->dy.view().shape.size(), lead = rank - static_cast<size_t>(problem->forward.normalized_rank);
    Random random(seed);
    CheckMoved<ForwardProblem>(problem->forward, Forward, lead, rank, &random, Describe(problem->options));
    CheckMoved<BackwardProblem>(problem->backward, Backward, lead, rank, &random, Describe(problem->options));
    if (HasFatalFailure()) return;
  }
}

// An output may be an input of the same type, shape and strides: x0 -> y, residual -> prenorm, dy -> dx0, dsum -> dresidual, and others.
TEST(Determinism, InPlace) {
  size_t aliased = 0;
  const auto alias = [&aliased](TensorView* output, const TensorView& input) {
    if (!*output || !input || input.data == nullptr || output->dtype != input.dtype || !input.strides.empty() || !output->strides.empty())
      return;
    output->data = input.data;
    ++aliased;
  };
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Options options = Sized(seed);
    options.layout = Layout::kContiguous, options.same_types = true, options.residual = options.prenorm = options.x0;
    options.saved = options.saved == Saved::kSaved ? Saved::kDerived : options.saved;  // prenorm may be overwritten below
    options.form_again = true;
    Settle(&options);
    const auto apart = MakeProblem(options), inside = MakeProblem(options);
    ForwardProblem forward = inside->forward;
    BackwardProblem backward = inside->backward;
    ASSERT_EQ(Compute(*apart, SerialExecutor()), "");
    if (seed % 2) {
      alias(&backward.dx0, backward.dy);
      alias(&backward.dresidual, backward.dsum);
      alias(&backward.xhat, seed % 4 == 1 ? backward.pre.residual : backward.pre.x0);
    } else {
      alias(&backward.dx0, backward.dsum);
      alias(&backward.dresidual, backward.dy);
    }
    const Status status = Backward(backward, SerialExecutor());
    ASSERT_TRUE(status.ok()) << status.message();
    BackwardProblem want = apart->backward;
    const auto wanted = OutputViews(&want), got = OutputViews(&backward);
    for (size_t i = 0; i < wanted.size(); ++i) {
      size_t where = 0;
      if (!*wanted[i]) continue;
      ASSERT_TRUE(SameBits(*wanted[i], *got[i], &where)) << "backward output " << i << " at " << where << ", " << Describe(options);
    }
    const auto fresh = MakeProblem(options);  // backward may have overwritten x0
    forward = fresh->forward;
    alias(&forward.y, seed % 2 ? forward.pre.x0 : forward.pre.residual);
    alias(&forward.prenorm, seed % 2 ? forward.pre.residual : forward.pre.x0);
    const Status again = Forward(forward, SerialExecutor());
    ASSERT_TRUE(again.ok()) << again.message();
    ForwardProblem want_forward = apart->forward;
    const auto wanted_forward = OutputViews(&want_forward), got_forward = OutputViews(&forward);
    for (size_t i = 0; i < wanted_forward.size(); ++i) {
      size_t where = 0;
      if (!*wanted_forward[i]) continue;
      ASSERT_TRUE(SameBits(*wanted_forward[i], *got_forward[i], &where))
          << "forward output " << i << " at " << where << ", " << Describe(options);
    }
  }
  EXPECT_GE(aliased, 100u);
}

// A NaN or Inf in one row of any input leaves the row outputs of all other rows alone.
TEST(Determinism, BadRowsStayAlone) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Options options = Sized(seed);
    options.layout = Layout::kContiguous;
    options.rows = std::max<size_t>(options.rows, 5);
    options.gradients &= ~static_cast<unsigned>(kDweight | kDbias | kDlayerscale);
    Settle(&options);
    const auto problem = MakeProblem(options);
    ASSERT_EQ(Compute(*problem, SerialExecutor()), "");
    const auto outputs = Outputs(problem.get());
    std::vector<std::vector<std::byte>> before;
    for (const Operand* output : outputs) before.push_back(output->Copy());
    Random random(seed);
    const size_t bad = random.Below(options.rows);
    const Operand* victims[] = {&problem->x0, &problem->residual, &problem->dy, &problem->dsum};
    const Operand* victim = victims[seed % 4];
    if (!*victim) continue;
    Store(victim->view().dtype, victim->view().data, static_cast<ptrdiff_t>(bad * options.cols + random.Below(options.cols)),
          seed % 3 ? std::numeric_limits<long double>::quiet_NaN() : -std::numeric_limits<long double>::infinity());
    ASSERT_EQ(Compute(*problem, SerialExecutor()), "");
    for (size_t k = 0; k < outputs.size(); ++k) {
      const size_t row_bytes = before[k].size() / options.rows;
      if (!outputs[k]->view().strides.empty()) continue;  // per-row scalars with strides
      for (size_t r = 0; r < options.rows; ++r) {
        if (r == bad) continue;
        ASSERT_EQ(std::memcmp(before[k].data() + r * row_bytes, outputs[k]->bytes() + r * row_bytes, row_bytes), 0)
            << "output " << k << ", row " << r << " of " << options.rows << ", bad row " << bad << ", " << Describe(options);
      }
    }
  }
}

TEST(Determinism, SeveralCallersAtOnce) {
  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<Snapshot> truth;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    Options options = Sized(seed + 3);
    options.rows = 700, options.cols = 200;
    problems.push_back(MakeProblem(options));
    ASSERT_EQ(Compute(*problems.back(), SerialExecutor()), "");
    truth.emplace_back(Outputs(problems.back().get()));
    Clear(problems.back().get());
  }
  std::vector<std::thread> callers;
  std::vector<std::string> messages(problems.size());
  for (size_t i = 0; i < problems.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int run = 0; run < 10; ++run) messages[i] += Compute(*problems[i], DefaultExecutor());
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (size_t i = 0; i < problems.size(); ++i) {
    EXPECT_EQ(messages[i], "");
    EXPECT_EQ(truth[i].Difference(), "");
  }
}

// The pool's threads do not exist in a forked child: it must neither hang nor compute something else.
TEST(Determinism, AfterFork) {
  Options options = Sized(7);
  options.rows = 900, options.cols = 300;
  const auto problem = MakeProblem(options);
  ASSERT_EQ(Compute(*problem, DefaultExecutor()), "");  // the pool is up now
  const Snapshot truth(Outputs(problem.get()));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);  // a hang ends the child with a signal, not with 0
    Clear(problem.get());
    const bool fine = Compute(*problem, DefaultExecutor()).empty() && truth.Difference().empty();
    _exit(fine ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  Clear(problem.get());
  ASSERT_EQ(Compute(*problem, DefaultExecutor()), "");
  EXPECT_EQ(truth.Difference(), "") << "in the parent, afterwards";
}

}  // namespace
}  // namespace addnorm::test
