"""What a package index shows of the project: its addresses, and README.md with links that lead somewhere from there.

The public address is known where a release is built, and is given in the variable `PROJECT_URL`. Without it, as in a
build on one's own machine, links stay as they are in the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE_LINK = re.compile(r"(?<=\]\()(?!https?:|#)(?=[^)\s]+\))")
"""Where, in a link of Markdown, the address of a file of the repository begins."""


class CustomMetadataHook(MetadataHookInterface):
    """Sets `urls` and `readme`. An sdist keeps what its build set, so a wheel that is built from it has the same."""

    # `override` would be one more package that every build needs.
    def update(self, metadata: dict[str, Any]) -> None:  # type: ignore[explicit-override]
        """Add the fields."""
        url = os.environ.get("PROJECT_URL", "").rstrip("/")
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["urls"] = {"Kissmetrics": "https://www.kissmetrics.io/"}
        if url:
            tree = f"{url}/blob/v{metadata['version']}"
            readme = RELATIVE_LINK.sub(f"{tree}/", readme)
            metadata["urls"] |= {
                "Source": url,
                "Documentation": f"{tree}/README.md",
                "Changelog": f"{tree}/CHANGELOG.md",
                "Issues": f"{url}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
