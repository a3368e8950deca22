"""``python -m tdn.cli`` is the command ``tdn``."""

import sys

from tdn.cli import main

sys.exit(main())
