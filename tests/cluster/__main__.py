"""`python -m tests.cluster`, or `make cluster-test`: installs the platform on a cluster and tries what operators do."""

from __future__ import annotations

import sys

from tests.cluster.run import main

if __name__ == "__main__":
    sys.exit(main())
