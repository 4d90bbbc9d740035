"""``python -m rtnb`` is the command ``rtnb``."""

import sys

from .cli import main

sys.exit(main())
