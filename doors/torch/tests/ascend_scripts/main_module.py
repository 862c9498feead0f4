# SPDX-License-Identifier: Apache-2.0
"""The script sees what it would see under plain python: its name, file, arguments and folder."""

import os
import sys

import addnorm.ascend

assert addnorm.ascend.is_active()
assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
assert os.path.basename(__file__) == "main_module.py"
assert sys.argv[1:] == ["first", "--second"] and sys.argv[0] == __file__
assert os.path.dirname(os.path.abspath(__file__)) in sys.path and os.getcwd() not in sys.path[:2]
print("done")
