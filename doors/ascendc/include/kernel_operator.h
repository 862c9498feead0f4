// SPDX-License-Identifier: Apache-2.0
// Ascend C vector kernels on the host, with checks. docs/ascendc.md is the guide.
#ifndef ADDNORM_ASCENDC_KERNEL_OPERATOR_H_
#define ADDNORM_ASCENDC_KERNEL_OPERATOR_H_

#include <cassert>
#include <cmath>
#include <cstdio>

#include "addnorm/ascendc/data_copy.h"
#include "addnorm/ascendc/environment.h"
#include "addnorm/ascendc/normalization.h"
#include "addnorm/ascendc/pipe.h"
#include "addnorm/ascendc/print.h"
#include "addnorm/ascendc/tensor.h"
#include "addnorm/ascendc/vector.h"

#endif  // ADDNORM_ASCENDC_KERNEL_OPERATOR_H_
