// SPDX-License-Identifier: Apache-2.0
// THE comparator: judges an output against the reference, in the contract's bounds. There is no other tolerance in the tests.
#ifndef ADDNORM_TESTS_COMPARE_H_
#define ADDNORM_TESTS_COMPARE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "addnorm/types.h"
#include "tests/reference.h"

namespace addnorm::test {

/// What was seen of one rule and output type, over any number of comparisons. Printed for docs/numerics.md.
struct Tally {
  uint64_t elements = 0, unjudged = 0, misrounded = 0;
  double worst_ratio = 0;  // |error| / bound: above 1 is a failure
  double worst_units = 0;  // (|error| - 1/2 ulp) / (u scale): to be read beside Rule::units
  double worst_error = 0;  // |error|
  std::string worst_case;  // how to see worst_ratio again
};

/// One comparison. `ok` false: `message` names the worst element.
struct Verdict {
  bool ok = true;
  size_t failures = 0;
  double ratio = 0;  // of the worst element; infinite for NaN against a number and the like
  std::string message;
};

class Comparator {
 public:
  /// `got`: any strides. `low` is added to it first (a mean in two words). `repro` goes into messages and tallies.
  Verdict Check(const TensorView& got, const Expected& want, const std::string& repro, const TensorView& low = {});
  /// The mask, element by element.
  Verdict CheckMask(const TensorView& got, const std::vector<uint8_t>& want, const std::string& repro);

  const std::map<std::string, Tally>& tallies() const { return tallies_; }
  /// One line per rule and type.
  std::string Report() const;

 private:
  std::map<std::string, Tally> tallies_;
};

/// True where the two outputs hold the same bits, NaN = NaN whatever the payload. Same dtype and shape; any strides.
/// Where not, `*where` is the first difference, in row-major order.
bool SameBits(const TensorView& a, const TensorView& b, size_t* where);

}  // namespace addnorm::test
#endif  // ADDNORM_TESTS_COMPARE_H_
