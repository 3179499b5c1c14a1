"""How events of all tabs are wired."""

from typing import Any

HEAVY: dict[str, Any] = {"concurrency_id": "heavy", "concurrency_limit": 1}  # shared by the heavy events of all tabs
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
