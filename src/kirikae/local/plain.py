"""JSON as it comes in and goes out: requests and answers of AWS's API, and those of the engine."""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]
