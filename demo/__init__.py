# SPDX-License-Identifier: Apache-2.0
"""The demo: a small GPT on real English text, trained with torch's own Add & Norm and with addnorm's, and what the two cost."""
