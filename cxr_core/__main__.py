"""``python -m cxr_core <stage>``."""

from __future__ import annotations

from cxr_core.cli import main

if __name__ == "__main__":
    main()
