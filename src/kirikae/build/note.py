"""The line by which every generated file says where it comes from."""

from __future__ import annotations

NOTE = "written by `kirikae build write`; change kirikae.yml or the hosts and write it again"
